"""The cache gives the bytes that lie there, whoever was killed, whatever was damaged, however little room it has."""

import errno
import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixio.errors import InvalidArgument, MixioWarning
from mixio.store import Store, open_store
from mixio.stores import cache as module
from mixio.stores.blocks import BlockFolder
from mixio.stores.cache import BLOCK, CachedStorage
from mixio.stores.ranges import Range
from mixio.stores.storage import Storage, storage_of
from tests.websites import Website, website  # noqa: F401

DATA = random.Random(0).randbytes(3 * BLOCK + 5)


def opened(website: Website, limit: int = 2**30) -> CachedStorage:  # noqa: F811
    return CachedStorage(storage_of(website.address), website.folder.parent / "cache", limit)


def put(website: Website, name: str, data: bytes) -> None:  # noqa: F811
    storage_of(website.folder).write(name, data)


def blocks(website: Website) -> list[Path]:  # noqa: F811
    return [path for path in (website.folder.parent / "cache" / "blocks").rglob("*") if path.is_file()]


def parts(website: Website) -> list[Path]:  # noqa: F811
    return list((website.folder.parent / "cache" / "parts").iterdir())


def test_what_was_read_is_not_asked_for_again(website: Website) -> None:  # noqa: F811
    put(website, "x", DATA)
    place = opened(website)
    assert place.read_range("x", BLOCK - 1, 2) == DATA[BLOCK - 1 : BLOCK + 1]
    website.asked.clear()
    assert place.read_range("x", 10, 20) == DATA[10:30]
    assert website.asked == []
    assert place.read("x") == DATA
    assert [asked for *_, asked in website.asked] == [f"bytes={2 * BLOCK}-{len(DATA) - 1}"]


def test_a_manifest_spares_the_next_process_the_question_for_the_tag(website: Website) -> None:  # noqa: F811
    put(website, "x", DATA)
    put(website, "manifest.json", b"{}")
    opened(website).read("x")
    website.asked.clear()
    assert opened(website).read("x") == DATA
    assert [path for _, path, _ in website.asked] == ["/manifest.json"]


class Flipping:
    """A place of which each range is answered wrong the first time."""

    def __init__(self, inner: Storage) -> None:
        self.inner, self.seen = inner, set[tuple[str, Range]]()

    def read_ranges(self, name: str, ranges: Sequence[Range], **options: Any) -> list[bytes]:
        answers = self.inner.read_ranges(name, ranges, **options)
        flipped = []
        for one, data in zip(ranges, answers, strict=True):
            wrong = (name, one) not in self.seen
            self.seen.add((name, one))
            flipped.append(bytes([data[0] ^ 1]) + data[1:-1] + bytes([data[-1] ^ 1]) if wrong else data)
        return flipped

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_came_wrong_over_the_line_is_asked_for_again_past_the_cache(small_store: Store, tmp_path: Path) -> None:
    place = Flipping(storage_of(small_store.path))
    place.url = "s3://bucket/elsewhere"
    for _ in range(2):
        store = Store(CachedStorage(place, tmp_path / "cache", 2**30))
        for name in small_store.names():
            assert store.row(name) == small_store.row(name)
            assert np.array_equal(store.read(name).voxels, small_store.read(name).voxels)


def test_a_block_that_is_used_outlives_one_that_is_not(website: Website) -> None:  # noqa: F811
    for name in "abc":
        put(website, name, DATA[:BLOCK])
    place = opened(website, int(2.5 * BLOCK))
    place.read("a")
    time.sleep(0.02)
    place.read("b")
    time.sleep(0.02)
    place.read("a")
    time.sleep(0.02)
    place.read("c")
    website.asked.clear()
    assert place.read("a") == DATA[:BLOCK]
    assert website.asked == []


def test_strange_files_in_the_folder_are_passed_over(website: Website, recwarn: pytest.WarningsRecorder) -> None:  # noqa: F811
    put(website, "x", DATA)
    opened(website).read("x")
    folder = website.folder.parent / "cache"
    (folder / "blocks" / ".DS_Store").write_text("")
    (folder / "parts" / "folder").mkdir()
    (folder / "blocks" / "folder" / "deeper").mkdir(parents=True)
    place = opened(website, 2 * BLOCK)
    assert place.read("x") == DATA
    assert sum(path.stat().st_size for path in blocks(website)) <= 2 * BLOCK
    assert not recwarn.list


def test_a_file_system_without_locks_is_told_and_read_past(
    website: Website,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    put(website, "x", DATA)
    monkeypatch.setattr(fcntl, "flock", refused)
    with pytest.warns(MixioWarning, match="the cache cannot be used .Function not implemented."):
        assert opened(website).read("x") == DATA


@pytest.mark.parametrize("damage", [b"", b"x", None])
def test_damaged_blocks_are_fetched_again(website: Website, damage: bytes | None) -> None:  # noqa: F811
    put(website, "x", DATA)
    place = opened(website)
    place.read("x")
    for path in blocks(website):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content if damage is None else damage)
    assert (place.read("x"), place.read("x")) == (DATA, DATA)
    assert len(blocks(website)) == 4


def test_a_block_under_the_name_of_another_is_not_believed(website: Website) -> None:  # noqa: F811
    put(website, "x", DATA)
    place = opened(website)
    place.read("x")
    first, second, *_ = (path for path in blocks(website) if path.stat().st_size > BLOCK)
    first.write_bytes(second.read_bytes())
    assert place.read("x") == DATA


@pytest.mark.parametrize("has_etags", [True, False])
def test_versions_of_an_object_never_mix(website: Website, has_etags: bool) -> None:  # noqa: F811
    website.has_etags = has_etags
    put(website, "manifest.json", b"{}")  # which stays, so that the tag that was kept is out of date
    put(website, "x", DATA)
    os.utime(website.folder / "x", (1000, 1000))
    place = opened(website)
    assert place.read_range("x", 0, 5) == DATA[:5]
    put(website, "x", DATA[::-1])
    for again in (place, opened(website)):
        assert again.read("x") == DATA[::-1]
        assert again.read_range("x", 0, 5) == DATA[::-1][:5]


def test_fresh_bytes_replace_those_of_the_cache(website: Website) -> None:  # noqa: F811
    put(website, "x", DATA)
    place = opened(website)
    place.read("x")
    website.asked.clear()
    assert place.read_ranges("x", [(0, 7)], fresh=True) == [DATA[:7]]
    assert [method for method, *_ in website.asked] == ["HEAD", "GET"]
    assert place.read_ranges("x", [(0, 7)]) == [DATA[:7]]
    assert len(website.asked) == 2


def used(website: Website) -> int:  # noqa: F811
    return sum(path.stat().st_size for path in blocks(website))


def test_the_limit_holds_and_the_least_recently_used_go_first(website: Website) -> None:  # noqa: F811
    place = opened(website, 10 * BLOCK)
    for number in range(30):
        put(website, f"{number}", bytes([number]) * BLOCK)
        assert place.read(f"{number}") == bytes([number]) * BLOCK
        assert place.read("0") == bytes(BLOCK)
        assert used(website) <= 10 * BLOCK
    website.asked.clear()
    for number in (0, 29, 28, 27, 1):
        place.read(f"{number}")
    assert [path for method, path, _ in website.asked if method == "GET"] == ["/1"]


def test_a_lower_limit_holds_from_the_next_opening(website: Website) -> None:  # noqa: F811
    put(website, "x", DATA)
    opened(website).read("x")
    opened(website, 2 * BLOCK)
    assert used(website) <= 2 * BLOCK
    with pytest.raises(InvalidArgument, match="a cache needs room, got cache_bytes=0"):
        opened(website, 0)
    with pytest.raises(InvalidArgument, match="cache_bytes must be a whole number, got '3'"):
        opened(website, "3")  # type: ignore[arg-type]


def test_a_folder_that_cannot_be_used_is_said_once(website: Website) -> None:  # noqa: F811
    put(website, "x", DATA)
    (website.folder.parent / "cache").write_text("a file")
    with pytest.warns(MixioWarning, match="the cache cannot be used"):
        place = opened(website)
    assert (place.read("x"), place.read("x")) == (DATA, DATA)  # a second warning would be an error


def test_a_full_disk_is_read_past(website: Website) -> None:  # noqa: F811
    put(website, "x", DATA)
    code = (
        "import resource, signal, sys; from mixio.stores.cache import *; from mixio.stores.storage import storage_of\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        "place = CachedStorage(storage_of(sys.argv[1]), sys.argv[2], 2**30)\n"
        "assert place.read('x') == place.read('x'); sys.stdout.write(str(len(place.read('x'))))"
    )
    command = [sys.executable, "-W", "always", "-c", code, website.address, str(website.folder.parent / "cache")]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.stdout == str(len(DATA)), ran.stderr
    assert ran.stderr.count("MixioWarning") == 1
    assert parts(website) == []
    assert opened(website).read("x") == DATA


def test_a_block_is_brought_once_for_all_who_want_it(website: Website) -> None:  # noqa: F811
    put(website, "x", DATA)
    website.latency = 0.2
    places = [opened(website) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(lambda place: place.read_range("x", 5, 10), places)) == {DATA[5:15]}
    assert [asked[:2] for asked in website.asked].count(("GET", "/x")) == 1


def test_a_bringer_that_hangs_is_not_waited_for_for_ever(
    website: Website,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_WAIT_SECONDS", 0.1)
    put(website, "x", DATA)
    place, other = opened(website), BlockFolder(website.folder.parent / "cache", 2**30)
    size, tag = place.inner.identity("x") or (0, "")
    key = place._key("x", str((size, tag)), "0")
    claim = other.claim(key)
    assert claim is not None
    assert place.read("x") == DATA
    other.release(key, claim)
    assert parts(website) == []


READER = """
import hashlib, os, random, sys
from mixio.stores.cache import CachedStorage
from mixio.stores.storage import storage_of
url, folder, limit, seed = sys.argv[1:]
draw, place = random.Random(int(seed)), CachedStorage(storage_of(url), folder, int(limit))
data = {name: random.Random(name).randbytes(4_500_000) for name in "abc"}
while True:
    name = draw.choice("abc")
    ranges = [(draw.randrange(4_400_000), draw.randrange(100_000)) for _ in range(draw.randrange(1, 6))]
    right = place.read_ranges(name, ranges) == [data[name][offset : offset + length] for offset, length in ranges]
    print("right" if right else "wrong", flush=True)
"""


def test_readers_killed_again_and_again_never_get_a_wrong_byte(website: Website) -> None:  # noqa: F811
    limit, draw = 6 * BLOCK, random.Random(1)
    for name in "abc":
        put(website, name, random.Random(name).randbytes(4_500_000))
    for turn in range(5):
        command = [sys.executable, "-c", READER, website.address, str(website.folder.parent / "cache"), str(limit)]
        readers = [
            subprocess.Popen([*command, str(4 * turn + number)], stdout=subprocess.PIPE, text=True)
            for number in range(4)
        ]
        said = [reader.stdout.readline() for reader in readers if reader.stdout]
        for reader in readers:
            time.sleep(draw.uniform(0, 0.2))
            os.kill(reader.pid, signal.SIGKILL)
        said += [line for reader in readers for line in reader.communicate()[0].splitlines(keepends=True)]
        assert {line for line in said if line.endswith("\n")} == {"right\n"}
    place = opened(website, limit)
    assert parts(website) == []
    assert place.read("a") == random.Random("a").randbytes(4_500_000)
    assert used(website) <= limit


def test_a_store_is_opened_with_a_cache(website: Website, small_store: Store, tmp_path: Path) -> None:  # noqa: F811
    website.folder = Path(small_store.path)
    name = small_store.names()[0]
    size = small_store.row(name).shape
    expected = small_store.read_patch(name, corner=(0, 0, 0), size=size)
    for _ in range(2):
        store = open_store(website.address, cache=tmp_path / "cache", cache_bytes=2**26)
        assert (store.read_patch(name, corner=(0, 0, 0), size=size) == expected).all()
        assert (store.path, store.fingerprint) == (website.address, small_store.fingerprint)
        asked, website.asked = website.asked, []
    assert {path for method, path, _ in asked if method == "GET"} == {"/zarr.json", "/manifest.json"}
    with pytest.raises(InvalidArgument, match="a folder is read without a cache"):
        open_store(small_store.path, cache=tmp_path / "cache")

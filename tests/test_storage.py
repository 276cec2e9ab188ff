"""Every place keeps the same contract: whole objects or none, names checked, faults said in one line."""

import errno
import os
import pickle
import subprocess
import sys
import uuid
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest

from mixio.errors import InvalidArgument, StoreError
from mixio.stores import patience
from mixio.stores.cache import CachedStorage
from mixio.stores.objects import PART, ObjectStorage
from mixio.stores.storage import Storage, storage_of
from tests.gcs import google  # noqa: F401
from tests.servers import Proxy, forked, proxy, s3, s3_log, s3_server  # noqa: F401
from tests.websites import website  # noqa: F401


@pytest.fixture(params=["local", "s3", "gs"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return storage_of(tmp_path / "store")
    if request.param == "gs":
        request.getfixturevalue("google")
        return storage_of(f"gs://bucket/{uuid.uuid4().hex}")
    return storage_of(f"{request.getfixturevalue('s3')}/{uuid.uuid4().hex}")


@pytest.fixture(params=["local", "s3", "gs", "web", "cached"])
def readable(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Storage, Storage]:
    """Where to write, and the same place for who reads."""
    if request.param == "local":
        return (storage_of(tmp_path / "store"),) * 2
    if request.param == "gs":
        request.getfixturevalue("google")
        return (storage_of(f"gs://bucket/{uuid.uuid4().hex}"),) * 2
    if request.param == "web":
        website = request.getfixturevalue("website")
        return storage_of(website.folder), storage_of(website.address)
    place = storage_of(f"{request.getfixturevalue('s3')}/{uuid.uuid4().hex}")
    return place, CachedStorage(place, tmp_path / "cache", 2**30) if request.param == "cached" else place


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_what_is_written_is_read(place: Storage) -> None:
    place.write("a/b/c", b"hello")
    place.write("a/pieces", iter([b"ab", b"", b"cd"]))
    place.write("empty", b"")
    assert (place.read("a/b/c"), place.read("a/pieces"), place.read("empty")) == (b"hello", b"abcd", b"")
    assert (place.size("a/b/c"), place.size("empty"), place.size("nothing")) == (5, 0, None)


def test_a_range_is_exact_or_refused(place: Storage) -> None:
    place.write("x", b"0123456789")
    assert place.read_range("x", 3, 4) == b"3456"
    for offset, length in ((8, 5), (50, 1)):
        with pytest.raises(StoreError, match=r"/x: "):
            place.read_range("x", offset, length)


RANGES = [(3_000_000, 10), (0, 3), (2**20 - 1, 2), (7, 0), (0, 3), (2, 2_000_000)]


def test_ranges_are_read_in_the_order_asked(readable: tuple[Storage, Storage]) -> None:
    there, place = readable
    data = os.urandom(3_000_010)
    there.write("a/x", data)
    for _ in range(2):
        assert place.read_ranges("a/x", RANGES) == [data[offset : offset + length] for offset, length in RANGES]
    assert place.read_ranges("a/x", RANGES, fresh=True, tag=place.tag("a/x"))[0] == data[-10:]
    assert (place.read("a/x"), place.read_range("a/x", 5, 6)) == (data, data[5:11])
    assert (place.size("a/x"), place.identity("a/x")) == (len(data), (len(data), place.tag("a/x")))
    assert (place.read_ranges("a/x", []), place.size("a/no"), place.identity("a/no")) == ([], None, None)


def test_ranges_that_are_not_there_are_refused(readable: tuple[Storage, Storage]) -> None:
    there, place = readable
    there.write("a/x", b"0123456789")
    for ranges in ([(0, 2), (8, 5)], [(0, 11)], [(50, 1)]):
        with pytest.raises(StoreError, match="/a/x: "):
            place.read_ranges("a/x", ranges)
    with pytest.raises(FileNotFoundError, match=f"{place.url}/a/no: no such object"):
        place.read_ranges("a/no", [(0, 1)])


def test_ranges_are_of_the_version_asked_for_or_refused(readable: tuple[Storage, Storage]) -> None:
    there, place = readable
    there.write("x", b"one")
    before = place.tag("x")
    assert place.read_range("x", 0, 3) == b"one"
    there.write("x", b"other")
    if isinstance(place, CachedStorage):
        assert place.read_ranges("x", [(0, 3)], tag=before) == [b"one"]
    else:
        with pytest.raises(StoreError, match=r"/x: the (object|file) was replaced"):
            place.read_ranges("x", [(0, 3)], tag=before)
    assert pickle.loads(pickle.dumps(place)).read_range("x", 0, 5) == b"other"


def test_forked_children_read_ranges_side_by_side(readable: tuple[Storage, Storage]) -> None:
    there, place = readable
    data = os.urandom(2**20)
    there.write("x", data)
    assert place.read_range("x", 0, 1) == data[:1]

    def work() -> None:
        ranges = [[(start * 1000, 1000), (start * 2000, 7)] for start in range(200)]
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda these: place.read_ranges("x", these), ranges))
        assert answers == [[data[offset : offset + length] for offset, length in these] for these in ranges]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert forked(work) == 0
    assert place.read_range("x", 5, 5) == data[5:10]


def test_a_missing_object_is_named_in_full(place: Storage) -> None:
    for ask in (lambda: place.read("d/no"), lambda: place.read_range("d/no", 0, 1)):
        with pytest.raises(FileNotFoundError, match=f"{place.url}/d/no: no such object"):
            ask()
    place.delete("d/no")
    assert place.tag("d/no") is None


def test_the_tag_changes_with_the_content(place: Storage) -> None:
    place.write("x", b"one")
    first = place.tag("x")
    assert place.tag("x") == first
    place.write("x", b"two")
    assert place.tag("x") != first


def test_only_the_first_creates(place: Storage) -> None:
    assert place.create("x", b"first")
    assert not place.create("x", b"second")
    assert place.read("x") == b"first"
    place.delete("x")
    assert place.create("x", b"third")


def broken() -> Iterator[bytes]:
    yield bytes(2 * PART)
    raise RuntimeError("the maker failed")


def test_a_failing_source_leaves_the_old_object(place: Storage) -> None:
    place.write("x", b"old")
    with pytest.raises(RuntimeError, match="the maker failed"):
        place.write("x", broken())
    assert place.read("x") == b"old"


def test_a_batch_is_all_there_at_its_end(place: Storage) -> None:
    expected = {f"v/{number}/x": bytes([number]) * number for number in range(20)}
    with place.batch() as write:
        for name, content in expected.items():
            write(name, content if len(content) % 2 else iter([content, b""]))
        write("v/0/x", b"again")
    expected["v/0/x"] = b"again"
    assert {name: place.read(name) for name in expected} == expected


def test_a_batch_that_fails_leaves_no_object_cut(place: Storage) -> None:
    place.write("a", b"old")
    with place.batch() as write:
        write("a", b"new")
        with pytest.raises(RuntimeError, match="the maker failed"):
            write("b", broken())
    assert place.read("a") in (b"old", b"new")
    assert place.size("b") is None


def test_many_are_deleted_at_once_and_missing_ones_passed_over(place: Storage) -> None:
    for name in ("a/x", "a/y", "b/c/x", "stays"):
        place.write(name, b"1")
    place.delete("a/x", "missing/z", "a/y", "b/c/x")
    place.delete()
    assert [place.size(name) for name in ("a/x", "a/y", "b/c/x", "stays")] == [None, None, None, 1]


def test_a_large_object_goes_in_parts(place: Storage) -> None:
    place.write("x", iter([b"a" * PART, b"b" * PART, b"c"]))
    assert place.size("x") == 2 * PART + 1
    assert place.read_range("x", PART - 1, 2) == b"ab"


@pytest.mark.parametrize("name", ["../x", "/x", "a//b", "", "a/../b", "./x", "a/"])
def test_names_are_checked(place: Storage, name: str) -> None:
    with pytest.raises(InvalidArgument, match="is no name of an object"):
        place.size(name)


def test_a_place_travels_by_pickle(place: Storage) -> None:
    place.write("x", b"hello")
    assert pickle.loads(pickle.dumps(place)).read("x") == b"hello"


def test_a_forked_child_reads_and_writes_and_the_parent_goes_on(place: Storage) -> None:
    place.write("x", b"of the parent")

    def work() -> None:
        assert place.read("x") == b"of the parent"
        place.write("y", b"of the child")
        place.write("large", iter([bytes(PART), b"1"]))
        with pytest.raises(FileNotFoundError, match="no such object"):
            place.read("no")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert forked(work) == 0
    assert (place.read("y"), place.size("large")) == (b"of the child", PART + 1)


def test_no_upload_is_left_open_by_a_failure(s3: str, s3_server: str) -> None:  # noqa: F811
    test_a_failing_source_leaves_the_old_object(storage_of(f"{s3}/failing"))
    client = boto3.client("s3", endpoint_url=s3_server)
    assert "Uploads" not in client.list_multipart_uploads(Bucket="bucket")


def through(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> ObjectStorage:  # noqa: F811
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
    return ObjectStorage(f"s3://bucket/{uuid.uuid4().hex}")


@pytest.mark.parametrize("fault", ["503", "drop"])
def test_a_fault_of_the_server_is_tried_again(
    s3: str,  # noqa: F811
    proxy: Proxy,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    place = through(proxy, monkeypatch)
    proxy.faults = [fault, fault]
    place.write("x", b"hello")
    proxy.faults = [fault]
    assert place.read("x") == b"hello"
    assert proxy.seen == 5


def test_a_truncated_answer_is_never_data(
    s3: str,  # noqa: F811
    proxy: Proxy,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "SECONDS", 2.0)
    place = through(proxy, monkeypatch)
    place.write("x", b"0123456789" * 1000)
    proxy.faults = ["truncate"] * 100
    try:
        assert place.read("x") == b"0123456789" * 1000
    except StoreError as error:
        assert "/x: " in str(error)  # noqa: PT017


def test_a_bucket_that_is_not_there_is_named(s3: str) -> None:  # noqa: F811
    for write in (ObjectStorage("s3://gone").write, ObjectStorage("s3://gone").create):
        with pytest.raises(StoreError, match="s3://gone/x: there is no such bucket; make it, or mend the address"):
            write("x", b"1")


def test_an_upload_leaves_nothing_on_this_machine(
    s3: str,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen: list[int] = []
    pieces = (b"a" * (len(list(tmp_path.iterdir())) and PART) or bytes(PART) for _ in range(3))
    ObjectStorage(f"{s3}/large").write("x", (seen.append(len(list(tmp_path.iterdir()))) or piece for piece in pieces))
    assert seen == [0, 0, 1]
    assert list(tmp_path.iterdir()) == []


def test_places_that_are_none_are_refused() -> None:
    for address in ("https://example.org/store?key=1", "https://user:word@example.org/store", "https://"):
        with pytest.raises(InvalidArgument, match="not the address of a store"):
            storage_of(address)
    with pytest.raises(InvalidArgument, match="not a place for a store"):
        storage_of("ftp://example.org/store")


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; from mixio.stores.storage import storage_of; place = storage_of(sys.argv[1])\n"
        "place.write('x', b'old'); signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); place.write('x', bytes(5000))"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert f"StoreError: {tmp_path}/x: {os.strerror(errno.EFBIG)}; check the disk's space" in ran.stderr
    assert contents(tmp_path) == {"x": b"old"}

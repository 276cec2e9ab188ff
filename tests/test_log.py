"""A log gives back every line it acknowledged, whatever was killed, torn or damaged."""

import random
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path

import google_crc32c
import pytest

from mixio.errors import InvalidArgument, StoreError
from mixio.stores.local import LocalStorage
from mixio.stores.log import Log, SegmentLog, open_log
from mixio.stores.storage import storage_of
from tests.servers import s3, s3_log, s3_server  # noqa: F401


def lines_of(log: Log) -> list[bytes]:
    return [line for _, line in log]


class Memory:
    """Objects in a dict; `left` writes and deletes are done, then the process "dies"."""

    url = "memory"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.left, self.asked = 10**9, 0

    def _change(self) -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1

    def read(self, name: str) -> bytes:
        self.asked += 1
        return self.objects[name]

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        return self.read(name)[offset : offset + length]

    def write(self, name: str, pieces: object) -> None:
        data = b"".join(pieces)  # type: ignore[call-overload]
        self._change()
        self.objects[name] = data

    def create(self, name: str, data: bytes) -> bool:
        self._change()
        return self.objects.setdefault(name, data) is data

    def size(self, name: str) -> int | None:
        self.asked += 1
        return len(self.objects[name]) if name in self.objects else None

    def delete(self, *names: str) -> None:
        for name in reversed(names):  # a server deletes in no order
            self._change()
            self.objects.pop(name, None)

    def tag(self, name: str) -> str | None:
        return str(self.objects.get(name))


@pytest.fixture(params=["file", "segments", "s3"])
def opened(request: pytest.FixtureRequest, tmp_path: Path):  # type: ignore[no-untyped-def]
    local = LocalStorage(str(tmp_path))
    if request.param == "file":
        return lambda: open_log(local, "log")
    if request.param == "segments":
        return lambda: SegmentLog(local, "log")
    remote = storage_of(f"{request.getfixturevalue('s3')}/{uuid.uuid4().hex}")
    return lambda: open_log(remote, "log")


def test_lines_come_back_in_order_and_by_position(opened) -> None:  # type: ignore[no-untyped-def]
    log = opened()
    assert lines_of(log) == []
    positions = log.append([b"one", b"", b"three \xff"]) + log.append([b"four"])
    assert [log.read(position) for position in positions] == [b"one", b"", b"three \xff", b"four"]
    again = opened()
    assert list(again) == list(zip(positions, [b"one", b"", b"three \xff", b"four"], strict=True))


def test_a_line_is_its_checksum_a_space_and_itself(tmp_path: Path) -> None:
    open_log(LocalStorage(str(tmp_path)), "log").append([b"123456789"])
    assert google_crc32c.value(b"123456789") == 0xE3069283  # the check value of CRC-32C
    assert (tmp_path / "log").read_bytes() == b"e3069283 123456789\n"


@pytest.mark.parametrize("tail", [b"12345678 torn", b"\0" * 100_000, b"1"])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, tail: bytes) -> None:
    storage = LocalStorage(str(tmp_path))
    open_log(storage, "log").append([b"whole"])
    with (tmp_path / "log").open("ab") as file:
        file.write(tail)
    log = open_log(storage, "log")
    log.append([b"next"])
    assert lines_of(open_log(storage, "log")) == [b"whole", b"next"]


def test_a_damaged_line_is_skipped_and_counted(tmp_path: Path) -> None:
    log = open_log(LocalStorage(str(tmp_path)), "log")
    positions = log.append([b"first", b"second", b"third"])
    content = (tmp_path / "log").read_bytes()
    (tmp_path / "log").write_bytes(content.replace(b"second", b"sEcond"))
    assert lines_of(log) == [b"first", b"third"]
    assert log.damaged == 1
    with pytest.raises(StoreError, match="does not match its checksum"):
        log.read(positions[1])


def test_a_newline_in_a_line_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="holds no newline"):
        open_log(LocalStorage(str(tmp_path)), "log").append([b"a\nb"])


def test_a_second_writer_is_noticed() -> None:
    storage = Memory()
    first, second = SegmentLog(storage, "log"), SegmentLog(storage, "log")
    first.append([b"one"])
    with pytest.raises(StoreError, match="another writer was here"):
        second.append([b"two"])


def test_many_appends_stay_few_objects_and_old_positions_hold() -> None:
    storage = Memory()
    log = SegmentLog(storage, "log")
    positions = [log.append([b"%d" % number])[0] for number in range(20_000)]
    assert len(storage.objects) == 4 + 56 + 32  # 20,000 = 4 * 64 * 64 + 56 * 64 + 32
    assert log.read(positions[5]) == b"5"
    assert log.read(positions[19_999]) == b"19999"
    storage.asked = 0
    assert lines_of(SegmentLog(storage, "log")) == [b"%d" % number for number in range(20_000)]
    assert storage.asked < 400


@pytest.mark.parametrize("death", range(0, 260, 3))
def test_a_death_between_any_two_changes_loses_and_doubles_nothing(death: int) -> None:
    storage = Memory()
    log = SegmentLog(storage, "log")
    for number in range(64 * 63):
        log.append([b"%d" % number])
    storage.left, number = death, 64 * 63
    with suppress(KeyboardInterrupt):
        while True:
            log.append([b"%d" % number])
            number += 1
    storage.left = 10**9
    kept = lines_of(SegmentLog(storage, "log"))
    assert kept in ([b"%d" % n for n in range(number)], [b"%d" % n for n in range(number + 1)])
    assert len(storage.objects) == len(kept) // 4096 + len(kept) // 64 % 64 + len(kept) % 64


def killed_once(command: list[str], seconds: float) -> list[bytes]:
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(seconds)
        child.kill()
        return child.stdout.read().split(b"\n")[:-1]


@pytest.mark.parametrize("kind", ["FileLog", "SegmentLog"])
def test_no_acknowledged_line_is_lost_by_a_kill(tmp_path: Path, kind: str) -> None:
    target = {
        "FileLog": "FileLog(Path(sys.argv[1]) / 'log')",
        "SegmentLog": "SegmentLog(LocalStorage(sys.argv[1]), 'l')",
    }
    code = (
        "import os, sys; from pathlib import Path; from mixio.stores.local import LocalStorage\n"
        f"from mixio.stores.log import FileLog, SegmentLog; log = {target[kind]}; os.write(1, b'up\\n'); n = 0\n"
        "while True: line = f'{sys.argv[2]}-{n}'.encode(); log.append([line]); os.write(1, line + b'\\n'); n += 1"
    )
    acknowledged: list[bytes] = []
    rng = random.Random(0)
    for run in range(30):
        acknowledged += killed_once([sys.executable, "-c", code, str(tmp_path), str(run)], rng.random() / 10)
    storage = LocalStorage(str(tmp_path))
    log = open_log(storage, "log") if kind == "FileLog" else SegmentLog(storage, "l")
    kept = lines_of(log)
    assert log.damaged == 0
    assert [line for line in kept if line in set(acknowledged)] == acknowledged
    assert len(kept) == len(set(kept)) <= len(acknowledged) + 30
    assert acknowledged

"""An append-only list of lines that survives a kill at any instant.

A line is kept as its crc32c in 8 hex digits, a space, the line itself. In a folder the log is one file, appended and
flushed; a last line torn by a crash is cut off when the log is opened. An object store cannot append, so there each
append is a new object `NAME/0-00000000`, found again by asking for the next number: nothing is listed. Of every 64
objects of one level one of the next is made, and the 64 deleted when that one is durable, so that a million appends
leave some 200 objects. An object found at a higher level always wins over the smaller ones it was made of: a crash
between the two steps neither loses nor doubles a line. One writer at a time is what the lease is for.
"""

import os
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from mixio.blob import crc32c
from mixio.errors import InvalidArgument, StoreError
from mixio.stores.local import LocalStorage, flush, make_folders, told
from mixio.stores.storage import Storage

FANOUT = 64
TOP = 3
"""The highest level: an object of it holds 262,144 appends and is never merged."""
_BLOCK = 8 * 2**20
_HEAD = 9


class Position(NamedTuple):
    """Where a line lies; holds for the log that gave it, as long as that is open."""

    level: int
    number: int
    offset: int
    length: int


class Log(Protocol):
    """Lines in the order they were appended; `damaged` counts those that the last walk skipped."""

    damaged: int

    def append(self, lines: Sequence[bytes]) -> list[Position]:
        """Add lines; they are durable on return. After an error some of them may be there."""

    def __iter__(self) -> Iterator[tuple[Position, bytes]]: ...

    def read(self, position: Position) -> bytes:
        """The line at a position."""


def open_log(storage: Storage, name: str) -> Log:
    """Open the log of this name for appending; one that is not there is empty."""
    return FileLog(storage.path(name)) if isinstance(storage, LocalStorage) else SegmentLog(storage, name)


class FileLog:
    """A log in one local file."""

    def __init__(self, path: Path) -> None:
        self.damaged = 0
        self._path = path
        with told(path):
            self._end = _whole(path) if path.exists() else 0

    def append(self, lines: Sequence[bytes]) -> list[Position]:
        """Write and flush; what a full disk let through is taken back."""
        data, positions = _framed(lines, self._end, 0, 0)
        try:
            with told(self._path):
                self._write(data)
        except BaseException:
            with suppress(OSError):
                os.truncate(self._path, self._end)
            raise
        self._end += len(data)
        return positions

    def _write(self, data: bytes) -> None:
        is_new = not self._path.exists()
        changed = make_folders(self._path.parent) | {self._path.parent} if is_new else set()
        with self._path.open("ab", buffering=0) as file:
            if file.tell() > self._end:
                file.truncate(self._end)  # a line torn by a crash
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        for folder in sorted(changed):
            flush(folder)

    def __iter__(self) -> Iterator[tuple[Position, bytes]]:
        """Every line whose checksum is right."""
        self.damaged, offset, end = 0, 0, self._end
        if not end:
            return
        with told(self._path):
            file = self._path.open("rb")
        with file:
            while offset < end:
                raw = file.readline()
                line = _line(raw[:-1])
                if line is None:
                    self.damaged += 1
                else:
                    yield Position(0, 0, offset, len(raw)), line
                offset += len(raw)

    def read(self, position: Position) -> bytes:
        """The line, by one seek."""
        with self._path.open("rb") as file:
            file.seek(position.offset)
            return _trusted(file.read(position.length), f"{self._path} at {position.offset}")


class SegmentLog:
    """A log in numbered objects; works on any place."""

    def __init__(self, storage: Storage, name: str) -> None:
        self.damaged = 0
        self._storage, self._name = storage, name
        self._pieces: list[tuple[int, int, int]] = []
        """Level, number and bytes of each object, in order."""
        self._bases: dict[tuple[int, int], array[int]] = {}
        """Of objects merged while this log is open: where each of their 64 parts begins."""
        self._next = 0
        while piece := self._found(self._next):
            self._pieces.append(piece)
            self._next += FANOUT ** piece[0]
        self._clear_leftovers()
        self._merge()

    def _object(self, level: int, number: int) -> str:
        return f"{self._name}/{level}-{number:08d}"

    def _found(self, start: int) -> tuple[int, int, int] | None:
        for level in range(TOP, -1, -1):
            number, inside = divmod(start, FANOUT**level)
            if not inside and (size := self._storage.size(self._object(level, number))) is not None:
                return level, number, size
        return None

    def _clear_leftovers(self) -> None:
        # Parts are deleted before anything else is merged and the last of them after the others, so that if any are
        # left, the last part of the last object of its level is among them.
        for level in range(1, TOP + 1):
            numbers = [number for found, number, _ in self._pieces if found == level]
            if numbers and self._storage.size(self._object(level - 1, numbers[-1] * FANOUT + FANOUT - 1)) is not None:
                self._delete_parts(level, numbers[-1])

    def _delete_parts(self, level: int, number: int) -> None:
        *others, last = (self._object(level - 1, number * FANOUT + part) for part in range(FANOUT))
        self._storage.delete(*others)
        self._storage.delete(last)

    def append(self, lines: Sequence[bytes]) -> list[Position]:
        """Make one new object of the lines."""
        if not lines:
            return []
        number = self._next
        data, positions = _framed(lines, 0, 0, number)
        name = self._object(0, number)
        # A PUT whose answer was lost is sent again and then finds its own object.
        if not self._storage.create(name, data) and self._storage.read(name) != data:
            raise StoreError(f"{self._storage.url}/{name}: another writer was here; end it, then open the log again")
        self._pieces.append((0, number, len(data)))
        self._next += 1
        self._merge()
        return positions

    def _merge(self) -> None:
        while len(self._pieces) >= FANOUT:
            parts = self._pieces[-FANOUT:]
            level, first, _ = parts[0]
            if level == TOP or first % FANOUT or parts[-1][0] != level:
                return
            number = first // FANOUT
            names = [self._object(level, part) for _, part, _ in parts]
            self._storage.write(self._object(level + 1, number), map(self._storage.read, names))
            bases, end = array("Q"), 0
            for _, _, size in parts:
                bases.append(end)
                end += size
            self._bases[level + 1, number] = bases
            self._pieces[-FANOUT:] = [(level + 1, number, end)]
            self._delete_parts(level + 1, number)

    def __iter__(self) -> Iterator[tuple[Position, bytes]]:
        """Every line whose checksum is right, of the objects that are there now; none may be appended meanwhile."""
        self.damaged = 0
        for level, number, size in list(self._pieces):
            offset = 0
            for raw in self._lines(self._object(level, number), size):
                line = _line(raw)
                if line is None:
                    self.damaged += 1
                else:
                    yield Position(level, number, offset, len(raw) + 1), line
                offset += len(raw) + 1

    def _lines(self, name: str, size: int) -> Iterator[bytes]:
        rest = b""
        for offset in range(0, size, _BLOCK):
            lines = (rest + self._storage.read_range(name, offset, min(_BLOCK, size - offset))).split(b"\n")
            rest = lines.pop()
            yield from lines
        if rest:
            yield rest

    def read(self, position: Position) -> bytes:
        """The line, by one range request, wherever merging has carried it."""
        level, number, offset, length = position
        while (bases := self._bases.get((level + 1, number // FANOUT))) is not None:
            offset += bases[number % FANOUT]
            level, number = level + 1, number // FANOUT
        name = self._object(level, number)
        return _trusted(self._storage.read_range(name, offset, length), f"{self._storage.url}/{name} at {offset}")


def _framed(lines: Sequence[bytes], offset: int, level: int, number: int) -> tuple[bytes, list[Position]]:
    framed, positions = [], []
    for line in lines:
        if b"\n" in line:
            raise InvalidArgument("a line of a log holds no newline; write it as JSON")
        framed.append(crc32c(line)[::-1].hex().encode() + b" " + line + b"\n")
        positions.append(Position(level, number, offset, len(framed[-1])))
        offset += len(framed[-1])
    return b"".join(framed), positions


def _line(raw: bytes) -> bytes | None:
    line = raw[_HEAD:]
    return line if raw[:_HEAD] == crc32c(line)[::-1].hex().encode() + b" " else None


def _trusted(raw: bytes, place: str) -> bytes:
    line = _line(raw[:-1])
    if line is None:
        raise StoreError(f"{place}: a line that does not match its checksum; open the log again to go on without it")
    return line


def _whole(path: Path) -> int:
    """Bytes up to the end of the last whole line."""
    end = path.stat().st_size
    with path.open("rb") as file:
        while end:
            start = max(0, end - 2**16)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0

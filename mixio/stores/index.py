"""The rows of a store for reading at random: `manifest.index`, beside the Parquet file and of the same content.

    lines     the row of each volume as a line of JSON, in the order of their names
    tables    a line of JSON on what follows; then, little-endian, where each line begins and the last ends (int64),
              the same of the keys (int64), the crc32c of each line (uint32), the number of its split (uint16), and
              the keys, one after another

`manifest.json` holds the checksum of the tables and those hold that of each line, so no byte is believed unchecked.
The tables, some 40 bytes a volume, are read and checked on opening and kept. The lines stay in the file, of which the
page cache holds one copy for all processes of a machine, and a line is checked each time it is read. A row costs about
30 microseconds wherever it lies; out of Parquet it takes 2 ms, for a thousand rows are decoded together. In a bucket
an index of up to 32 MiB is read whole, and of a larger one a range for each row.
"""

import json
import os
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.blob import extend_crc32c
from mixio.errors import DamagedStoreError, StoreError
from mixio.row import Row, row_from_line
from mixio.stores.inside import refuse_outside
from mixio.stores.plausible import refuse_implausible
from mixio.stores.storage import Storage

NAME = "manifest.index"
COLUMNS = ("<i8", "<i8", "<u4", "<u2")
_KEPT_WHOLE = 2**25
_ROWS_PER_READ = 1024
_NAMES_PER_STEP = 65_536

Read = Callable[[int, int], bytes]
"""Bytes of the lines, by offset and length."""


class Index:
    """The rows by their position in the order of names; `where` is named in errors.

    A line that does not match its checksum is read `again`, where there is a way to read that no cache is in.
    """

    def __init__(self, tables: bytes, read: Read, where: str, *, again: Read | None = None) -> None:
        self._read, self._where, self._again = read, where, again
        try:
            self._parse(tables)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise DamagedStoreError(f"{where}: is no index of a store ({error}); run `mixio convert` again") from error

    def _parse(self, tables: bytes) -> None:
        head = tables.index(b"\n") + 1
        says = json.loads(tables[:head])
        count = int(says["rows"])
        columns, start = [], head
        for dtype, length in zip(COLUMNS, (count + 1, count + 1, count, count), strict=True):
            columns.append(np.frombuffer(tables, dtype, length, start))
            start += columns[-1].nbytes
        self._lines, self._key_ends, self._crcs, self._split_numbers = columns
        self._tables, self._keys_begin = tables, start
        self._splits = [str(split) for split in says["splits"]]
        self.fingerprint = str(says["fingerprint"])
        ends = [*accumulate((int(n) for n in says["domains"].values()), initial=0)]
        self.ranges = {str(d): range(*span) for d, span in zip(says["domains"], pairwise(ends), strict=True)}
        self._domains, self._begins = [*self.ranges], ends[:-1]
        self._check(count, ends[-1], int(says["lines"]))

    def _check(self, count: int, in_domains: int, nbytes: int) -> None:
        """That the tables are whole and point nowhere else; whoever made them, reading a row stays within the file."""
        for bounds, end in ((self._lines, nbytes), (self._key_ends, len(self._tables) - self._keys_begin)):
            if bounds[0] != 0 or bounds[-1] != end or not (bounds[:-1] <= bounds[1:]).all():
                raise ValueError("its tables do not fit together")
        if in_domains != count or (self._split_numbers >= max(1, len(self._splits))).any():
            raise ValueError("its tables are not of the same rows")

    def __len__(self) -> int:
        return len(self._crcs)

    def find(self, domain: str, key: str) -> int | None:
        """The position of a volume; None if there is none."""
        span, sought = self.ranges.get(domain, range(0)), key.encode(errors="surrogatepass")
        place = span.start + bisect_left(span, sought, key=self._key)
        return place if place < span.stop and self._key(place) == sought else None

    def _key(self, position: int) -> bytes:
        begin, end = self._key_ends.item(position), self._key_ends.item(position + 1)
        return self._tables[self._keys_begin + begin : self._keys_begin + end]

    def name(self, position: int) -> str:
        """`domain/key` of the volume at this position."""
        domain = self._domains[bisect_right(self._begins, position) - 1]
        return f"{domain}/{self._key(position).decode()}"

    def names(self, positions: Sequence[int]) -> Iterator[str]:
        """The names at ascending positions; quicker than one by one."""
        for first in range(0, len(positions), _NAMES_PER_STEP):
            some = np.asarray(positions[first : first + _NAMES_PER_STEP], np.int64)
            domains = np.searchsorted(self._begins, some, side="right") - 1
            bounds = ((self._key_ends[at] + self._keys_begin).tolist() for at in (some, some + 1))
            for domain, begin, end in zip(domains.tolist(), *bounds, strict=True):
                yield f"{self._domains[domain]}/{self._tables[begin:end].decode()}"

    def positions(self, domain: str | None, split: str | None) -> Sequence[int]:
        """Where the volumes of a domain and a split lie, ascending; None stands for all."""
        span = range(len(self)) if domain is None else self.ranges.get(domain, range(0))
        if split is None or not span:
            return span
        numbers = self._split_numbers[span.start : span.stop]
        wanted = self._splits.index(split) if split in self._splits else len(self._splits)
        found = np.flatnonzero(numbers == wanted)
        if len(found) == len(span):
            return span
        return _Positions((found + span.start).astype(np.uint32 if len(self) < 2**32 else np.int64))

    def row(self, position: int) -> Row:
        """One row, once it is known to be what was written, and one that converting could have written."""
        begin, end = self._lines.item(position), self._lines.item(position + 1)
        try:
            return self._believed(position, self._read(begin, end - begin))
        except DamagedStoreError:
            if self._again is None:
                raise
            return self._believed(position, self._again(begin, end - begin))

    def rows(self) -> Iterator[Row]:
        """Every row, in order; none is kept."""
        for first in range(0, len(self), _ROWS_PER_READ):
            bounds = self._lines[first : first + _ROWS_PER_READ + 1].tolist()
            data = self._read(bounds[0], bounds[-1] - bounds[0])
            for position, (begin, end) in enumerate(pairwise(bounds), first):
                yield self._believed(position, data[begin - bounds[0] : end - bounds[0]])

    def _believed(self, position: int, line: bytes) -> Row:
        if extend_crc32c(0, line) != self._crcs.item(position):
            raise DamagedStoreError(
                f"{self._where}: what it says of {self.name(position)} does not match its checksum; "
                "run `mixio convert` again to rewrite it"
            )
        try:
            row = row_from_line(line)
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise DamagedStoreError(
                f"{self._where}: what it says of {self.name(position)} is no row ({error}); run `mixio convert` again"
            ) from error
        if row.name != self.name(position):
            raise DamagedStoreError(f"{self._where}: has {row.name} in the place of {self.name(position)}")
        refuse_implausible(row, self._where)
        return row


class _Positions(Sequence[int]):
    """Integers of an array, as Python's own."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, index: Any) -> Any:
        return _Positions(self._array[index]) if isinstance(index, slice) else self._array.item(index)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self._array.astype(dtype)


def read_tables(storage: Storage, told: dict[str, Any]) -> bytes:
    """The tables of the index of a store, once they are those that `manifest.json` speaks of."""
    refuse_outside(storage, NAME)
    nbytes, length = int(told["nbytes"]), int(told["tables"])
    size = storage.size(NAME)
    if size is None:
        raise StoreError(f"{storage.url}: the store is half-written, {NAME} is missing; run `mixio convert` again")
    where = [(nbytes - length, length)]
    for fresh in (False, True):  # what came over a network, or out of a cache, may be wrong where the object is not
        tables = storage.read_ranges(NAME, where, fresh=fresh)[0] if size == nbytes >= length > 0 else b""
        if told == {"nbytes": size, "tables": len(tables), "crc32c": f"{extend_crc32c(0, tables):08x}"}:
            return tables
    raise DamagedStoreError(
        f"{storage.url}/{NAME}: does not match its checksum in manifest.json; run `mixio convert` again to rewrite it"
    )


def reader_of(storage: Storage) -> Read:
    """Reads the lines of the index of a store."""
    path = Path(storage.url) / NAME
    if path.is_file():
        return OpenFile(os.open(path, os.O_RDONLY | os.O_CLOEXEC), str(path)).read
    if (storage.size(NAME) or 0) <= _KEPT_WHOLE:
        data = storage.read(NAME)
        return lambda offset, length: data[offset : offset + length]
    return partial(storage.read_range, NAME)


def fresh_reader_of(storage: Storage) -> Read | None:
    """The same, past any cache; None for a folder, which has none."""
    if (Path(storage.url) / NAME).is_file():
        return None
    return lambda offset, length: storage.read_ranges(NAME, [(offset, length)], fresh=True)[0]


class OpenFile:
    """A file that is open as long as somebody reads from it; safe for threads and forked processes."""

    def __init__(self, descriptor: int, where: str) -> None:
        self._descriptor, self._where = descriptor, where

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of it; fewer where it ends, which their checksum tells."""
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError as error:
            raise StoreError(f"{self._where}: cannot be read ({error.strerror}); run `mixio verify`") from error

    def __del__(self, close: Callable[[int], None] = os.close) -> None:  # `os` may be gone when the program ends
        close(self._descriptor)

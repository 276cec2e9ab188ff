"""Writes the index of a store, `manifest.index`, whose parts `index.py` describes."""

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import chain, islice
from typing import Any

import numpy as np

from mixio.blob import extend_crc32c
from mixio.row import Row, row_to_line
from mixio.stores.index import COLUMNS

_ALIGN = 8
_ROWS_PER_PIECE = 1024


class IndexWriter:
    """Makes the index of rows in the order of their names, a piece at a time; `tables` are there when it has ended."""

    def __init__(self) -> None:
        self.tables = b""
        self._lines, self._key_ends, self._crcs, self._numbers = (
            array("q", [0]),
            array("q", [0]),
            array("I"),
            array("H"),
        )
        self._keys = bytearray()
        self._domains: dict[str, int] = {}
        self._splits: dict[str, int] = {}
        self._fingerprint = Fingerprint()

    def pieces(self, rows: Iterable[Row]) -> Iterator[bytes]:
        """The bytes of the file."""
        rest = iter(rows)
        while batch := list(islice(rest, _ROWS_PER_PIECE)):
            yield b"".join(map(self._line, batch))
            self._fingerprint.add(
                [(row.name, row.split) for row in batch], [[blob.crc32c for blob in row.blobs] for row in batch]
            )
        self.tables = self._tables()
        yield self.tables

    def __len__(self) -> int:
        return len(self._crcs)

    def told(self) -> dict[str, Any]:
        """What `manifest.json` is to say of the file."""
        tables = len(self.tables)
        crc = extend_crc32c(0, self.tables)
        return {"nbytes": self._lines[-1] + tables, "tables": tables, "crc32c": f"{crc:08x}"}

    def _line(self, row: Row) -> bytes:
        line = row_to_line(row)
        self._lines.append(self._lines[-1] + len(line))
        self._crcs.append(extend_crc32c(0, line))
        self._keys += row.key.encode()
        self._key_ends.append(len(self._keys))
        self._domains[row.domain] = self._domains.get(row.domain, 0) + 1
        self._numbers.append(self._splits.setdefault(row.split, len(self._splits)))
        return line

    def _tables(self) -> bytes:
        says = {
            "rows": len(self._crcs),
            "lines": self._lines[-1],
            "domains": self._domains,
            "splits": [*self._splits],
            "fingerprint": self._fingerprint.hexdigest(),
        }
        columns = zip((self._lines, self._key_ends, self._crcs, self._numbers), COLUMNS, strict=True)
        parts = [np.asarray(column).astype(dtype).tobytes() for column, dtype in columns]
        head = json.dumps(says)
        return b"".join([f"{head:<{-(len(head) + 1) // _ALIGN * -_ALIGN - 1}}\n".encode(), *parts, self._keys])


class Fingerprint:
    """16 hex characters that change with any volume, split or stored byte; not with the place."""

    def __init__(self) -> None:
        self._names, self._counts, self._crcs = (blake2b() for _ in range(3))

    def add(self, volumes: Sequence[tuple[str, str]], crcs: Sequence[Sequence[int]]) -> None:
        """Name and split of each of the next volumes, and the crc32c of each of its shards."""
        self._names.update("".join(f"{name}={split}\n" for name, split in volumes).encode())
        self._counts.update(np.array([*map(len, crcs)], "<i8").tobytes())
        self._crcs.update(np.array([*chain(*crcs)], "<i8").tobytes())

    def hexdigest(self) -> str:
        """Of all that was added."""
        digests = self._names.digest() + self._counts.digest() + self._crcs.digest()
        return blake2b(digests, digest_size=8).hexdigest()

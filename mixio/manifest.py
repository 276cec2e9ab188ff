"""The manifest: one row per volume, written last. Three files at the root of a store.

    manifest.parquet    all rows, for any tool that reads Parquet (`stores/parquet.py`)
    manifest.index      the same rows, for reading at random (`stores/index.py`)
    manifest.json       how many they are, and the length and checksum of both

Opening reads the tables of the index and compares checksums: a million volumes open in a fraction of a second, and a
flipped bit is not taken for a volume. In a bucket the Parquet file is compared when it is read. A row is checked
before it is believed, for a checksum says that bytes are those that were written, not who wrote them. A manifest
pickles as its place and what `manifest.json` said, so that a worker process reads the rows that its parent reads or
refuses. A store that was written before there was an index has one made, in a temporary file, each time it is opened.
"""

import logging
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mixio.errors import DamagedStoreError, MixioError, StoreError
from mixio.row import Row
from mixio.stores.index import NAME as INDEX
from mixio.stores.index import Index, OpenFile, fresh_reader_of, read_tables, reader_of
from mixio.stores.index_writer import IndexWriter
from mixio.stores.sidecar import MANIFEST, half_written, length_and_crc, measured, read_told, sidecar_bytes
from mixio.stores.sidecar import NAME as SIDECAR
from mixio.stores.storage import Storage
from mixio.stores.zarr import SCHEMA_VERSION, json_bytes

if TYPE_CHECKING:  # it brings pyarrow
    from mixio.stores.parquet import Table

NAME = MANIFEST
_ROWS_KEPT = 1024
"""Of about 8 kB each."""
_PIECE = 2**22

logger = logging.getLogger("mixio")


class Manifest:
    """The rows of a store, by name (`domain/key`), in the order of their names.

    `told` is what `manifest.json` must say, for who has checked the Parquet file already.
    """

    def __init__(self, storage: Storage, *, told: dict[str, Any] | None = None) -> None:
        self._storage = storage
        self._told = read_told(storage)
        if told not in (None, self._told):
            raise StoreError(
                f"{storage.url}: its manifest has been written anew since this was handed to another process; "
                "open the store again"
            )
        is_local = Path(storage.url).is_dir()
        self._is_checked = told is not None and is_local
        if is_local and not self._is_checked:
            self._check()
        elif storage.size(NAME) is None:
            raise half_written(storage)
        self.index = self._opened_index()
        if len(self) != self._told["rows"]:
            where = INDEX if "index" in self._told else NAME
            raise DamagedStoreError(
                f"{storage.url}/{SIDECAR}: says {self._told['rows']} rows, {where} has {len(self)}; "
                "run `mixio convert` again"
            )
        self._row = lru_cache(_ROWS_KEPT)(partial(_found, self.index))  # not of self: a cycle would keep files open

    def _opened_index(self) -> Index:
        if "index" not in self._told:
            logger.warning("%s has no %s; run `mixio convert` again to open it sooner", self._storage.url, INDEX)
            return _made_index(self.table.rows(), f"{self._storage.url}/{NAME}")
        tables = read_tables(self._storage, self._told["index"])
        where, again = f"{self._storage.url}/{INDEX}", fresh_reader_of(self._storage)
        return Index(tables, reader_of(self._storage), where, again=again)

    def _check(self) -> bytes | None:
        """That the Parquet file is what was written; its bytes if it is in a bucket."""
        data, nbytes, crc = measured(self._storage)
        if sidecar_bytes(self._told["rows"], nbytes, crc, self._told.get("index")) != json_bytes(self._told):
            raise DamagedStoreError(
                f"{self._storage.url}/{NAME}: does not match its checksum in {SIDECAR}; "
                "run `mixio convert` again to rewrite it"
            )
        self._is_checked = True
        return data

    @cached_property
    def table(self) -> "Table":
        """The Parquet file."""
        from mixio.stores.parquet import Table  # only who needs it pays for loading pyarrow

        where = f"{self._storage.url}/{NAME}"
        data = None if self._is_checked else self._check()
        return Table(Path(where) if data is None else data, where)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains there are volumes of, sorted."""
        return tuple(sorted(self.index.ranges))

    def volumes(self, domain: str | None = None, split: str | None = None) -> "VolumeNames":
        """Names of volumes, sorted; of one domain, one split, or all. They are made when they are asked for."""
        return VolumeNames(self, domain, split)

    def row(self, name: str) -> Row:
        """The row of a volume; `KeyError` if there is none of this name."""
        return self._row(name)

    def rows(self) -> Iterator[Row]:
        """Every row, in order; none is kept."""
        return self.index.rows()

    def records(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Some columns of every row, in order; far quicker than whole rows. What they say is not checked."""
        return self.table.records(columns)

    def shapes(self, names: Sequence[str]) -> NDArray[np.int64]:
        """The shapes of volumes (len(names), 3), out of the Parquet file; `KeyError` if there is none of a name."""
        if isinstance(names, VolumeNames) and names._index is self.index:
            return self._shapes[np.asarray(names._positions, np.int64)]
        return self._shapes[[_position(self.index, name) for name in names]]

    @cached_property
    def _shapes(self) -> NDArray[np.int64]:
        shapes = self.table.shapes()
        if len(shapes) != len(self):
            raise DamagedStoreError(
                f"{self._storage.url}/{NAME}: has {len(shapes)} rows, {INDEX} {len(self)}; run `mixio convert` again"
            )
        return shapes

    @property
    def fingerprint(self) -> str:
        """16 hex characters that change with any volume, split or stored byte; not with the place."""
        return self.index.fingerprint

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self._storage, self._told)


def _found(index: Index, name: str) -> Row:
    return index.row(_position(index, name))


def _position(index: Index, name: str) -> int:
    domain, _, key = name.partition("/")
    position = index.find(domain, key)
    if position is None:
        raise KeyError(name)
    return position


def _reopened(storage: Storage, told: dict[str, Any]) -> Manifest:
    return Manifest(storage, told=told)


class VolumeNames(Sequence[str]):
    """Names of volumes of a store, made when they are asked for; pickles as what was asked, not as what came."""

    def __init__(self, manifest: Manifest, domain: str | None, split: str | None) -> None:
        self._manifest, self._domain, self._split = manifest, domain, split
        self._index = manifest.index
        self._positions = self._index.positions(domain, split)

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, index: Any) -> Any:
        chosen = self._positions[index]
        return self._index.name(chosen) if isinstance(chosen, int) else list(self._index.names(chosen))

    def __iter__(self) -> Iterator[str]:
        return self._index.names(self._positions)

    def __reduce__(self) -> tuple[Any, ...]:
        return VolumeNames, (self._manifest, self._domain, self._split)

    def __repr__(self) -> str:
        return f"VolumeNames({len(self)} volumes, domain={self._domain!r}, split={self._split!r})"


@contextmanager
def _temporary() -> Iterator[IO[bytes]]:
    """A file without a name; where it cannot be written, an error that says where there may be more space."""
    try:
        with tempfile.TemporaryFile() as file:
            yield file
    except OSError as error:
        if isinstance(error, MixioError):
            raise
        raise StoreError(
            f"{tempfile.gettempdir()}: {error.strerror or error}; set TMPDIR to a folder with more space"
        ) from error


def _made_index(rows: Iterable[Row], where: str) -> Index:
    """An index in a file that has no name, and is gone when nobody reads from it."""
    writer = IndexWriter()
    with _temporary() as file:
        for piece in writer.pieces(_in_order(rows, where)):
            file.write(piece)
        file.flush()
        return Index(writer.tables, OpenFile(os.dup(file.fileno()), where).read, where)


def _in_order(rows: Iterable[Row], where: str) -> Iterator[Row]:
    """The rows, those of a domain together and their keys ascending, as they are found by bisection."""
    domain, key, seen = "", "", set[str]()
    for row in rows:
        rises = row.key > key if row.domain == domain else row.domain not in seen
        if not rises:
            raise DamagedStoreError(
                f"{where}: its rows are not in the order of their names; run `mixio convert` again to rewrite it"
            )
        domain, key = row.domain, row.key
        seen.add(domain)
        yield row


def write_manifest(storage: Storage, rows: Iterable[Row]) -> int:
    """Write the manifest of a store from rows in the order of their names; returns how many there were."""
    from mixio.stores.parquet import written  # only who needs it pays for loading pyarrow

    index = IndexWriter()
    with _temporary() as file, storage.batch() as write:
        write(INDEX, index.pieces(written(rows, file)))
        file.seek(0)
        nbytes, crc = length_and_crc(file)
        file.seek(0)
        write(NAME, iter(lambda: file.read(_PIECE), b""))
        write(SIDECAR, sidecar_bytes(len(index), nbytes, crc, index.told()))
    return len(index)


def remove_manifest(storage: Storage) -> None:
    """Take the manifest away, so that it does not describe volumes that are being replaced."""
    for name in (SIDECAR, NAME, INDEX):
        storage.delete(name)


def check_version(version: int, where: str) -> None:
    """Refuse what a newer mixio, or a much older one, wrote."""
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{where}: schema version {version} is newer than {SCHEMA_VERSION}, the newest known here; upgrade mixio"
        )
    if version < SCHEMA_VERSION:
        raise StoreError(f"{where}: schema version {version} is older than {SCHEMA_VERSION}; convert into a new store")

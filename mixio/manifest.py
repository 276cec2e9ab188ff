"""The manifest: one row per volume in one Parquet file at the root of a store, written last.

Opening it reads domains, keys and splits, some tens of bytes a volume; whole rows are decoded a row group at a time,
when they are asked for, and the latest are kept. So a million volumes open in a second. Beside it lies
`manifest.json` with its length and crc32c, checked on opening: a flipped bit is not taken for a volume. Every page
has a checksum too, for a file that changes while it is open, and a row is checked before it is believed, for a
checksum says that bytes are those that were written, not who wrote them. pyarrow is used in this file alone.
"""

import json
import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import lru_cache
from hashlib import blake2b
from itertools import islice, pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mixio.blob import extend_crc32c
from mixio.errors import DamagedStoreError, StoreError
from mixio.row import Row, row_from_dict, row_to_dict
from mixio.stores.inside import refuse_outside
from mixio.stores.plausible import refuse_implausible
from mixio.stores.storage import Storage
from mixio.stores.zarr import SCHEMA_VERSION, json_bytes

NAME = "manifest.parquet"
SIDECAR = "manifest.json"
_ROWS_PER_GROUP = 1024
_GROUPS_KEPT = 128
"""Of about 1 MB each."""
_ROWS_KEPT = 8192
"""Of about 8 kB each."""
_ROWS_PER_BATCH = 65_536
_PIECE = 2**22
_FORMAT: dict[str, Any] = {"compression": "zstd", "write_statistics": False, "write_page_checksum": True}


class Manifest:
    """The rows of a store, by name (`domain/key`), in the order of their names."""

    def __init__(self, storage: Storage) -> None:
        self._where = f"{storage.url}/{NAME}"
        source, told_rows = _checked(storage)
        with _readable(self._where):
            self._file = pq.ParquetFile(source, page_checksum_verification=True)
            light = self._file.read(columns=["domain", "key", "split"])
            self._keys = light.column("key")
            self._splits = light.column("split").combine_chunks()
            self._ranges = _ranges(light.column("domain"), self._keys)
        if len(self) != told_rows:
            raise DamagedStoreError(
                f"{storage.url}/{SIDECAR}: says {told_rows} rows, {NAME} has {len(self)}; run `mixio convert` again"
            )
        self._group = lru_cache(_GROUPS_KEPT)(self._file.read_row_group)
        self._row = lru_cache(_ROWS_KEPT)(self._decode)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains there are volumes of, sorted."""
        return tuple(sorted(self._ranges))

    def names(self, domain: str | None = None, split: str | None = None) -> list[str]:
        """Names of volumes, sorted; of one domain, one split, or all."""
        chosen = self._ranges if domain is None else {d: r for d, r in self._ranges.items() if d == domain}
        found: list[str] = []
        for name, span in chosen.items():
            keys = self._keys.slice(span.start, len(span)).to_pylist()
            if split is None:
                found += [f"{name}/{key}" for key in keys]
            else:
                splits = self._splits.slice(span.start, len(span)).to_pylist()
                found += [f"{name}/{key}" for key, its in zip(keys, splits, strict=True) if its == split]
        return found

    def row(self, name: str) -> Row:
        """The row of a volume; `KeyError` if there is none of this name."""
        domain, _, key = name.partition("/")
        span = self._ranges.get(domain, range(0))
        position = span.start + bisect_left(_Keys(self._keys, span), key)
        if position >= span.stop or self._keys[position].as_py() != key:
            raise KeyError(name)
        return self._row(position)

    def rows(self) -> Iterator[Row]:
        """Every row, in order; none is kept."""
        for record in self._records(_ROWS_PER_GROUP):
            yield self._believed(record)

    def records(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Some columns of every row, in order; far quicker than whole rows. What they say is not checked."""
        return self._records(_ROWS_PER_BATCH, columns)

    def _records(self, size: int, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        for batch in self._batches(size, columns):
            yield from batch.to_pylist(maps_as_pydicts="strict")

    def _batches(self, size: int, columns: Sequence[str] | None = None) -> Iterator[Any]:
        with _readable(self._where):
            yield from self._file.iter_batches(size, columns=columns and list(columns))

    @property
    def fingerprint(self) -> str:
        """16 hex characters that change with any volume, split or stored byte; not with the place."""
        names, counts, crcs = (blake2b() for _ in range(3))
        wanted = ["domain", "key", "split", "blobs.list.element.crc32c"]
        for batch in self._batches(_ROWS_PER_BATCH, wanted):
            *columns, blobs = batch.columns
            lines = zip(*(column.to_pylist() for column in columns), strict=True)
            names.update("".join(f"{domain}/{key}={split}\n" for domain, key, split in lines).encode())
            counts.update(pc.list_value_length(blobs).to_numpy().astype("<i8").tobytes())
            crcs.update(pc.list_flatten(blobs).field(0).to_numpy().astype("<i8").tobytes())
        return blake2b(names.digest() + counts.digest() + crcs.digest(), digest_size=8).hexdigest()

    def _decode(self, position: int) -> Row:
        group, within = divmod(position, _ROWS_PER_GROUP)
        with _readable(self._where):
            (record,) = self._group(group).slice(within, 1).to_pylist(maps_as_pydicts="strict")
        return self._believed(record)

    def _believed(self, record: dict[str, Any]) -> Row:
        """The row that a record is, once it is known to be one that converting could have written."""
        with _readable(self._where):
            row = row_from_dict(record)
        refuse_implausible(row, self._where)
        return row


@contextmanager
def _readable(where: str) -> Iterator[None]:
    """Name the file where pyarrow, or what it read, fails; its errors are all of these kinds."""
    try:
        yield
    except StoreError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DamagedStoreError(
            f"{where}: is no manifest of a store ({reason}); run `mixio convert` again to rewrite it"
        ) from error


class _Keys(Sequence[str]):
    """The keys of one domain, for bisection."""

    def __init__(self, keys: Any, span: range) -> None:
        self._keys, self._span = keys, span

    def __len__(self) -> int:
        return len(self._span)

    def __getitem__(self, index: Any) -> Any:
        return self._keys[self._span[index]].as_py()


def _ranges(domains: Any, keys: Any) -> dict[str, range]:
    """Where each domain's rows lie: names are sorted, so they lie together; `ValueError` if they are not."""
    runs = pc.run_end_encode(domains.combine_chunks())
    stops, names = runs.run_ends.to_pylist(), runs.values.to_pylist()
    ranges = {name: range(*ends) for name, ends in zip(names, pairwise([0, *stops]), strict=True)}
    flat = keys.combine_chunks()
    rises = pc.fill_null(pc.less(flat[:-1], flat[1:]), False).to_numpy(zero_copy_only=False)
    falls = np.flatnonzero(~rises) + 1
    if len(ranges) != len(names) or not set(falls.tolist()) <= set(stops):
        raise ValueError("its rows are not in the order of their names")
    return ranges


def _checked(storage: Storage) -> tuple[Any, int]:
    """The Parquet file, as a path or a buffer, once its bytes are those that were written; and how many rows it has."""
    told = _told(storage)
    try:
        refuse_outside(storage, NAME)
        local = Path(storage.url) / NAME
        if local.is_file():
            with local.open("rb") as file:
                nbytes, crc = _length_and_crc(file)
            source: Any = str(local)
        else:
            data = storage.read(NAME)
            nbytes, crc, source = len(data), extend_crc32c(0, data), pa.BufferReader(data)
    except FileNotFoundError as error:
        raise _half_written(storage) from error
    if sidecar_bytes(told["rows"], nbytes, crc) != json_bytes(told):
        raise DamagedStoreError(
            f"{storage.url}/{NAME}: does not match its checksum in {SIDECAR}; run `mixio convert` again to rewrite it"
        )
    return source, told["rows"]


def _told(storage: Storage) -> dict[str, Any]:
    """What the file beside the manifest says of it."""
    where = f"{storage.url}/{SIDECAR}"
    try:
        refuse_outside(storage, SIDECAR)
        told = json.loads(storage.read(SIDECAR))
        if told["schema_version"] != SCHEMA_VERSION or type(told["rows"]) is not int:
            raise ValueError(f"schema version {told['schema_version']}, {told['rows']} rows")
    except FileNotFoundError as error:
        raise _half_written(storage) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedStoreError(f"{where}: not readable ({error}); run `mixio convert` again") from error
    return dict(told)


def _half_written(storage: Storage) -> StoreError:
    return StoreError(f"{storage.url}: the store is half-written, {NAME} is missing; run `mixio convert` again")


def sidecar_bytes(rows: int, nbytes: int, crc: int) -> bytes:
    """The file beside a manifest of so many rows and bytes with this crc32c."""
    return json_bytes({"schema_version": SCHEMA_VERSION, "rows": rows, "nbytes": nbytes, "crc32c": f"{crc:08x}"})


def _length_and_crc(file: IO[bytes]) -> tuple[int, int]:
    nbytes, crc = 0, 0
    while piece := file.read(_PIECE):
        nbytes, crc = nbytes + len(piece), extend_crc32c(crc, piece)
    return nbytes, crc


def write_manifest(storage: Storage, rows: Iterable[Row]) -> int:
    """Write the manifest of a store from rows in the order of their names; returns how many there were."""
    records = ({**row_to_dict(row), "background": repr(row.background)} for row in rows)
    schema, count = _schema(), 0
    with tempfile.TemporaryFile() as file:
        with pq.ParquetWriter(file, schema, **_FORMAT) as writer:
            while batch := list(islice(records, _ROWS_PER_GROUP)):
                writer.write_table(pa.Table.from_pylist(batch, schema=schema), row_group_size=_ROWS_PER_GROUP)
                count += len(batch)
        file.seek(0)
        nbytes, crc = _length_and_crc(file)
        file.seek(0)
        storage.write(NAME, iter(lambda: file.read(_PIECE), b""))
    storage.write(SIDECAR, sidecar_bytes(count, nbytes, crc))
    return count


def remove_manifest(storage: Storage) -> None:
    """Take the manifest away, so that it does not describe volumes that are being replaced."""
    storage.delete(SIDECAR)
    storage.delete(NAME)


def check_version(version: int, where: str) -> None:
    """Refuse what a newer mixio, or a much older one, wrote."""
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{where}: schema version {version} is newer than {SCHEMA_VERSION}, the newest known here; upgrade mixio"
        )
    if version < SCHEMA_VERSION:
        raise StoreError(f"{where}: schema version {version} is older than {SCHEMA_VERSION}; convert into a new store")


def read_table(path: Path) -> list[dict[str, Any]]:
    """The rows of any Parquet table as dictionaries, for tables of sources; `ValueError` if it is none."""
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()  # ArrowInvalid is a ValueError
    return rows


def _schema() -> pa.Schema:
    whole, real, text = pa.int64(), pa.float64(), pa.string()
    triple, percentile_names = pa.list_(whole), ("0.5", "5", "50", "95", "99.5")
    percentiles = pa.struct([(name, real) for name in percentile_names])
    statistics = pa.struct([*((n, real) for n in ("min", "max", "mean", "std")), ("percentiles", percentiles)])
    blob = pa.struct([("path", text), ("offset", whole), ("nbytes", whole), ("crc32c", whole)])
    special = {
        **dict.fromkeys(("shape", "chunk", "shard"), triple),
        **dict.fromkeys(("slope", "inter", "foreground_fraction", "quantization_error"), real),
        "spacing": pa.list_(real),
        "affine": pa.list_(pa.list_(real)),
        "statistics": statistics,
        "foreground_box": pa.list_(triple),
        "nonfinite": whole,
        "labels": pa.map_(text, text),
        "notes": pa.map_(text, text),
        "blobs": pa.list_(blob),
    }
    columns = [(field.name, special.get(field.name, text)) for field in fields(Row)]
    return pa.schema(columns, metadata={"mixio.schema_version": str(SCHEMA_VERSION)})

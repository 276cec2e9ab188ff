"""The rows of a store as a Parquet table, `manifest.parquet`: for every other tool, and for whole columns of it.

Written in row groups of 1,024 rows, with a checksum of every page. pyarrow is used in this file alone, and loaded when
the table is written or read: it takes 40 MB, which a process that reads patches does without.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mixio.errors import DamagedStoreError, StoreError
from mixio.row import Row, row_from_dict, row_to_dict
from mixio.stores.plausible import refuse_implausible
from mixio.stores.zarr import SCHEMA_VERSION

_ROWS_PER_GROUP = 1024
_ROWS_PER_BATCH = 65_536
_FORMAT: dict[str, Any] = {"compression": "zstd", "write_statistics": False, "write_page_checksum": True}


class Table:
    """The table in a file, or in bytes; `where` is named in errors."""

    def __init__(self, source: Path | bytes, where: str) -> None:
        self._where = where
        with _readable(where):
            file = str(source) if isinstance(source, Path) else pa.BufferReader(source)
            self._file = pq.ParquetFile(file, page_checksum_verification=True)

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    def rows(self) -> Iterator[Row]:
        """Every row, in order, once it is known to be one that converting could have written."""
        for record in self._records(_ROWS_PER_GROUP):
            with _readable(self._where):
                row = row_from_dict(record)
            refuse_implausible(row, self._where)
            yield row

    def records(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Some columns of every row, in order; far quicker than whole rows. What they say is not checked."""
        return self._records(_ROWS_PER_BATCH, columns)

    def shapes(self) -> NDArray[np.int64]:
        """The shape of every volume (rows, 3), in order; quicker still."""
        with _readable(self._where):
            lists = self._file.read(columns=["shape"])["shape"].combine_chunks()
            if lists.null_count or set(lists.value_lengths().unique().to_pylist()) - {3}:
                raise ValueError("a shape that is not three numbers")
            shapes: NDArray[np.int64] = lists.flatten().to_numpy().reshape(-1, 3)
            if shapes.size and shapes.min() < 1:
                raise ValueError("a volume without voxels")
        return shapes

    def _records(self, size: int, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        with _readable(self._where):
            for batch in self._file.iter_batches(size, columns=columns and list(columns)):
                yield from batch.to_pylist(maps_as_pydicts="strict")


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


def written(rows: Iterable[Row], file: IO[bytes]) -> Iterator[Row]:
    """The rows again, each once it is on its way into the file; the table is whole when they end."""
    schema, rest = _schema(), iter(rows)
    with pq.ParquetWriter(file, schema, **_FORMAT) as writer:
        while batch := list(islice(rest, _ROWS_PER_GROUP)):
            records = [{**row_to_dict(row), "background": repr(row.background)} for row in batch]
            writer.write_table(pa.Table.from_pylist(records, schema=schema), row_group_size=_ROWS_PER_GROUP)
            yield from batch


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

"""One row per volume: what was written, from what, where, and with which checksum.

The manifest is one Parquet file at the root of a store, written last. A row is all that reading needs, so that a
million volumes open with one file. No field of a source's header that could hold a name, a date or a comment is
in it. pyarrow is used in this file alone.
"""

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mixio.blob import Grid
from mixio.errors import StoreError
from mixio.foreground import CELL
from mixio.volume import Shape

NAME = "manifest.parquet"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Blob:
    """Where the bytes of one shard lie, relative to the store, and their crc32c."""

    path: str
    offset: int
    nbytes: int
    crc32c: int


@dataclass(frozen=True)
class Row:
    """One volume of a store.

    `path` is relative to the store; `background` is a stored value (as text in Parquet, which keeps every digit of a
    64-bit integer), `statistics` are real ones; `labels` maps a
    label map's name to its dtype; `orientation` is how the source's axes ran; `source` is a salted hash of the
    source's name unless names were kept; `settings` identifies the conversion settings.
    """

    key: str
    domain: str
    modality: str | None
    subject: str
    split: str
    target: str | None
    path: str
    shape: Shape
    chunk: Shape
    shard: Shape
    dtype: str
    background: int | float
    slope: float
    inter: float
    unit: str | None
    spacing: tuple[float, float, float]
    affine: tuple[tuple[float, ...], ...]
    orientation: str
    statistics: dict[str, Any]
    foreground_fraction: float
    foreground_box: tuple[Shape, Shape]
    nonfinite: int
    labels: dict[str, str]
    blobs: tuple[Blob, ...]
    source: str
    source_sha256: str
    settings: str

    @property
    def name(self) -> str:
        """`domain/key`, by which the store knows the volume."""
        return f"{self.domain}/{self.key}"

    @property
    def grid(self) -> Grid:
        """How the image is cut into shards and chunks."""
        return Grid(self.shape, self.chunk, self.shard, self.dtype, self.background)

    def label_grid(self, label: str) -> Grid:
        """How a label map is cut: as its image is."""
        return Grid(self.shape, self.chunk, self.shard, self.labels[label], 0)

    @property
    def occupancy_grid(self) -> Grid:
        """The occupancy array is one chunk."""
        cells = tuple(-(-n // CELL) for n in self.shape)
        x, y, z = cells
        return Grid((x, y, z), (x, y, z), (x, y, z), "uint8", 0)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The affine (4, 4)."""
        return np.array(self.affine, dtype=np.float64)


def row_from_dict(values: dict[str, Any]) -> Row:
    """The row of a decoded JSON object or Parquet record; lists become tuples, integers stay integers."""
    known = {f.name: values[f.name] for f in fields(Row)}
    for name in ("shape", "chunk", "shard", "spacing"):
        known[name] = tuple(known[name])
    low, high = known["foreground_box"]
    known["foreground_box"] = (tuple(low), tuple(high))
    known["affine"] = tuple(tuple(line) for line in known["affine"])
    known["labels"] = dict(known["labels"])
    known["blobs"] = tuple(Blob(**blob) for blob in known["blobs"])
    is_integer = np.dtype(known["dtype"]).kind in "iu"
    known["background"] = (int if is_integer else float)(known["background"])
    return Row(**known)


def row_to_dict(row: Row) -> dict[str, Any]:
    """The row as plain lists, dicts and numbers."""
    return asdict(row)


def write_manifest(root: Path, rows: Iterable[Row]) -> Path:
    """Write the manifest of the store at `root`, sorted by name, in one rename."""
    ordered = sorted(rows, key=lambda row: row.name)
    records = [{**row_to_dict(row), "background": repr(row.background)} for row in ordered]
    table = pa.Table.from_pylist(records, schema=_schema())
    path = root / NAME
    temporary = path.with_suffix(".tmp")
    pq.write_table(table, temporary, compression="zstd")
    os.replace(temporary, path)
    return path


def read_manifest(root: Path) -> list[Row]:
    """The rows of the store at `root`, sorted by name."""
    path = root / NAME
    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise StoreError(f"{root}: the store is half-written, {NAME} is missing; run `mixio convert` again") from error
    except pa.ArrowInvalid as error:
        raise StoreError(f"{path}: not a readable manifest ({error}); run `mixio convert` again") from error
    version = int((table.schema.metadata or {}).get(b"mixio.schema_version", b"0"))
    check_version(version, path)
    return [row_from_dict(record) for record in table.to_pylist(maps_as_pydicts="strict")]


def check_version(version: int, path: Path) -> None:
    """Refuse what a newer mixio wrote."""
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path}: schema version {version} is newer than {SCHEMA_VERSION}, the newest known here; upgrade mixio"
        )


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
        **dict.fromkeys(("slope", "inter", "foreground_fraction"), real),
        "spacing": pa.list_(real),
        "affine": pa.list_(pa.list_(real)),
        "statistics": statistics,
        "foreground_box": pa.list_(triple),
        "nonfinite": whole,
        "labels": pa.map_(text, text),
        "blobs": pa.list_(blob),
    }
    columns = [(field.name, special.get(field.name, text)) for field in fields(Row)]
    return pa.schema(columns, metadata={"mixio.schema_version": str(SCHEMA_VERSION)})

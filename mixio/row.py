"""A volume of a store, as the manifest knows it: all that reading needs, and where it came from.

No field of a source's header that could hold a name, a date or a comment is in it.
"""

import json
from dataclasses import asdict, dataclass, fields
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.blob import Grid
from mixio.codec import Codec
from mixio.foreground import CELL
from mixio.volume import Shape

SPLITS = ("train", "val", "test")
_INTEGERS = ("shape", "chunk", "shard")


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

    `path` is its folder in a Zarr store, its tar in a WebDataset one, relative to the store. `blobs` are the shards of
    the image in C order of their place, then those of each label map, by name, then the occupancy. `background` is
    a stored value, `statistics` are real ones; `labels` maps a label map's name to its dtype; `orientation` is how
    the source's axes ran. `source` is a salted hash of the source's name unless names were kept, `part` tells
    volumes of one source apart, and `source_sha256` is of its bytes. `nonfinite` voxels were replaced by background;
    `quantization_error` is the largest difference that casting made, in real units; `notes` says what was assumed.
    `settings` identifies the conversion settings.
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
    codec: str
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
    quantization_error: float
    labels: dict[str, str]
    blobs: tuple[Blob, ...]
    source: str
    part: str
    source_sha256: str
    notes: dict[str, str]
    settings: str

    @property
    def name(self) -> str:
        """`domain/key`, by which the store knows the volume."""
        return f"{self.domain}/{self.key}"

    @property
    def grid(self) -> Grid:
        """How the image is cut into shards and chunks."""
        return Grid(self.shape, self.chunk, self.shard, self.dtype, self.background, Codec.parse(self.codec))

    def label_grid(self, label: str) -> Grid:
        """How a label map is cut: as its image is."""
        return Grid(self.shape, self.chunk, self.shard, self.labels[label], 0, Codec.parse(self.codec))

    @property
    def occupancy_grid(self) -> Grid:
        """The occupancy array is one chunk."""
        return occupancy_grid(self.shape)

    def blobs_of(self, label: str | None = None) -> tuple[Blob, ...]:
        """The shards of the image, or of a label map, in C order of their place."""
        count = prod(self.grid.shards)
        first = 0 if label is None else (1 + sorted(self.labels).index(label)) * count
        return self.blobs[first : first + count]

    @property
    def occupancy_blob(self) -> Blob:
        """The one shard of the occupancy."""
        return self.blobs[-1]

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The affine (4, 4)."""
        return np.array(self.affine, dtype=np.float64)


FIELDS = tuple(field.name for field in fields(Row))
_BLOBS = FIELDS.index("blobs")


def occupancy_grid(shape: Shape) -> Grid:
    """How the occupancy of a volume of this shape is cut: one chunk."""
    x, y, z = (-(-n // CELL) for n in shape)
    return Grid((x, y, z), (x, y, z), (x, y, z), "uint8", 0)


def row_from_dict(values: dict[str, Any]) -> Row:
    """The row of a decoded JSON object or Parquet record; lists become tuples, integers stay integers."""
    known = {name: values[name] for name in FIELDS}
    known["labels"] = dict(known["labels"])
    known["notes"] = dict(known["notes"])
    known["blobs"] = tuple(Blob(**blob) for blob in known["blobs"])
    return _row(known)


def row_to_dict(row: Row) -> dict[str, Any]:
    """The row as plain lists, dicts and numbers."""
    return asdict(row)


def row_from_line(line: bytes) -> Row:
    """The row that `row_to_line` wrote; `ValueError` or `TypeError` if it is none."""
    known = dict(zip(FIELDS, json.loads(line), strict=True))
    known["blobs"] = tuple(Blob(*blob) for blob in known["blobs"])
    return _row(known)


def row_to_line(row: Row) -> bytes:
    """The row as one line of JSON, the values of its fields in their order: a third shorter, and quicker to read."""
    values = [getattr(row, name) for name in FIELDS]
    values[_BLOBS] = [(blob.path, blob.offset, blob.nbytes, blob.crc32c) for blob in row.blobs]
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


def _row(known: dict[str, Any]) -> Row:
    """Lists become tuples, and the background a number of the kind of the voxels."""
    for name in (*_INTEGERS, "spacing"):
        known[name] = tuple(known[name])
    low, high = known["foreground_box"]
    known["foreground_box"] = (tuple(low), tuple(high))
    known["affine"] = tuple(map(tuple, known["affine"]))
    is_integer = np.dtype(known["dtype"]).kind in "iu"
    known["background"] = (int if is_integer else float)(known["background"])
    return Row(**known)

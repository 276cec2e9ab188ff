"""Whether a row of a manifest can be what converting wrote, before anything is opened or allocated on its word.

A checksum tells an accident, not a forger. A row that passes names files of its own volume only, of sizes that fit
its grid, and asks for no more memory than stored bytes can come to.
"""

from functools import lru_cache
from itertools import chain, product
from math import isfinite, prod
from typing import Any

import numpy as np

from mixio.blob import SHARD_BYTES
from mixio.codec import Codec
from mixio.errors import DamagedStoreError
from mixio.row import Blob, Row
from mixio.stores.tar import is_tar
from mixio.stores.zarr import OCCUPANCY, array_path, shard_path
from mixio.volume import Shape

_LARGEST_RATIO = 2**16
_LARGEST_CHUNK = 2**31
_LARGEST_FILE = 2**62


def refuse_implausible(row: Row, where: str) -> None:
    """Raise `DamagedStoreError`, naming the volume, for a row that no conversion writes."""
    try:
        _check_names(row)
        _check_grid(row)
        _check_world(row)
        _check_blobs(row)
    except (ValueError, TypeError, KeyError, OverflowError, AttributeError) as error:
        raise DamagedStoreError(
            f"{where}: what it says of {row.domain}/{row.key} cannot be ({error}); run `mixio convert` again"
        ) from error


def _check_names(row: Row) -> None:
    for name in (row.domain, row.key, *row.labels):
        if name in ("", ".", "..") or not name.isprintable() or set(name) & set("/\\:"):
            raise ValueError(f"the name {name!r}")
    if row.path != f"{row.domain}/{row.key}" and not (is_tar(row.path) and row.path.startswith(f"{row.domain}/")):
        raise ValueError(f"the path {row.path!r}")


def _check_grid(row: Row) -> None:
    sizes = [*zip(row.shape, row.chunk, row.shard, strict=True)]
    if len(sizes) != 3 or not all(min(size) >= 1 and size[2] % size[1] == 0 for size in sizes):
        raise ValueError(f"shape {row.shape} in chunks of {row.chunk} in shards of {row.shard}")
    low, high = _limits(row.codec, row.chunk, (row.dtype, *row.labels.values()))
    if not low <= row.background <= high:
        raise ValueError(f"background {row.background} of {row.dtype}")


@lru_cache(256)
def _limits(codec: str, chunk: Shape, dtypes: tuple[str, ...]) -> tuple[Any, Any]:
    """Least and greatest number of the first dtype; the same few of these recur in all rows of a store."""
    Codec.parse(codec)
    for dtype in map(np.dtype, dtypes):
        if dtype.kind not in "iuf" or dtype.itemsize > 8 or prod(chunk) * dtype.itemsize > _LARGEST_CHUNK:
            raise ValueError(f"chunks of {chunk} {dtype}")
    first = np.dtype(dtypes[0])
    limits = np.finfo(first) if first.kind == "f" else np.iinfo(first)
    return limits.min, limits.max


def _check_world(row: Row) -> None:
    if [*map(len, row.affine)] != [4] * 4 or not all(map(isfinite, chain(*row.affine))):
        raise ValueError("its affine")
    if not (isfinite(row.slope) and isfinite(row.inter)):
        raise ValueError(f"slope {row.slope} and intercept {row.inter}")


def _check_blobs(row: Row) -> None:
    itemsize = max(np.dtype(dtype).itemsize for dtype in {row.dtype, *row.labels.values()})
    stored = sum(blob.nbytes for blob in row.blobs)
    if prod(row.shape) * itemsize > max(SHARD_BYTES, _LARGEST_RATIO * stored):
        raise ValueError(f"{stored} bytes for {row.shape} voxels")
    x, y, z = (-(-n // s) for n, s in zip(row.shape, row.shard, strict=True))
    shards = (x, y, z)
    if len(row.blobs) != prod(shards) * (1 + len(row.labels)) + 1:
        raise ValueError(f"{len(row.blobs)} shards, {prod(shards)} of each array")
    in_tar = is_tar(row.path)
    for blob, path in zip(row.blobs, _paths(row, shards), strict=True):
        _check_blob(blob, path, in_tar)


def _check_blob(blob: Blob, path: str, in_tar: bool) -> None:
    if blob.path != path:
        raise ValueError(f"{blob.path!r} in the place of {path}")
    is_somewhere = blob.offset >= 0 and (blob.offset == 0 or in_tar)
    if not is_somewhere or not 0 < blob.nbytes <= _LARGEST_FILE - blob.offset:
        raise ValueError(f"{blob.nbytes} bytes at {blob.offset}")


def _paths(row: Row, shards: Shape) -> list[str]:
    """The files of its shards, in the order of the row."""
    if is_tar(row.path):
        return [row.path] * len(row.blobs)
    arrays = [array_path(row.path, label) for label in (None, *sorted(row.labels))]
    places = list(product(*map(range, shards)))
    image_and_labels = [shard_path(array, place) for array in arrays for place in places]
    return [*image_and_labels, shard_path(f"{row.path}/{OCCUPANCY}/0", (0, 0, 0))]

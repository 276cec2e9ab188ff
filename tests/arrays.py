"""One array of a Zarr store, written without the converter."""

from itertools import product
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mixio.blob import Grid, crc32c, encode_shard, metadata
from mixio.patches import Corner, Patch, empty, read_patches
from mixio.row import Blob
from mixio.shards import ShardCache
from mixio.stores.storage import storage_of
from mixio.stores.zarr import json_bytes, shard_path
from mixio.volume import Shape


def write_array(root: Path, array: str, voxels: NDArray[Any], grid: Grid) -> list[Blob]:
    """Write an array into the folder `array` of `root`; returns its shards in C order."""
    (root / array).mkdir(parents=True, exist_ok=True)
    (root / array / "zarr.json").write_bytes(json_bytes(metadata(grid)))
    blobs = []
    for position in product(*map(range, grid.shards)):
        slices = tuple(slice(p * s, (p + 1) * s) for p, s in zip(position, grid.shard, strict=True))
        data, path = encode_shard(voxels[slices], grid), shard_path(array, position)
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
        blobs.append(Blob(path, 0, len(data), int.from_bytes(crc32c(data), "little")))
    return blobs


def cache_of(root: Path) -> ShardCache:
    """A fresh cache over a folder."""
    return ShardCache(storage_of(root))


def read_region(cache: ShardCache, blobs: list[Blob], grid: Grid, corner: Corner, size: Shape) -> NDArray[Any]:
    """One patch in an array of its own."""
    target = empty(size, grid.dtype)
    read_patches(cache, [Patch(blobs, grid, corner, target)])
    return target

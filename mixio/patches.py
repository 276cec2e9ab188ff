"""Patches out of stored arrays, several together, touching only the chunks that they need.

A patch is split into regions, one for each shard that it overlaps, and the regions of all patches that lie in one shard
are read by one call, so that a chunk which two of them share is decoded once. What leaves the array is fill.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.blob import Grid
from mixio.errors import DamagedChunkError, InvalidArgument, StoreError
from mixio.native import Region
from mixio.normalize import Linear, apply_linear
from mixio.row import Blob
from mixio.shards import ShardCache
from mixio.stores.local import LocalStorage
from mixio.volume import Shape

Corner = tuple[int, int, int]

_AT_ONCE = 8
"""Shards in a bucket that are read side by side for one batch."""


@dataclass(frozen=True)
class Patch:
    """Voxels `[corner, corner + size)` of an array, wanted in `target` (X, Y, Z); `size` is the target's shape.

    `blobs` are the array's shards in C order of their place in `grid.shards`. With `linear` the target is float32 and
    gets clip(voxel * scale + offset, 0, 1), else it has the stored dtype. A target whose strides are negative is filled
    from its far end, so the memory behind it holds the patch flipped. `volume` is what errors call it.
    """

    blobs: Sequence[Blob]
    grid: Grid
    corner: Corner
    target: NDArray[Any]
    linear: Linear | None = None
    volume: str = ""


def empty(size: Shape, dtype: str) -> NDArray[Any]:
    """An array for a patch; `StoreError` where there is no memory for it."""
    _check_size(size)
    try:
        return np.empty(size, np.dtype(dtype))
    except (MemoryError, ValueError) as error:
        voxels = " x ".join(map(str, size))
        raise StoreError(f"there is no memory for {voxels} voxels of {dtype}; read smaller patches") from error


def read_patches(cache: ShardCache, patches: Sequence[Patch]) -> None:
    """Fill the targets of all patches. Raises `DamagedChunkError`, `StoreError`, or `InvalidArgument` for a patch that
    lies wholly outside its array or has a target that cannot hold it."""
    wanted: dict[tuple[str, int], tuple[Patch, Blob, list[Region]]] = {}
    for patch in patches:
        _check(patch)
        for blob, region in _regions(patch):
            _, _, regions = wanted.setdefault((blob.path, blob.offset), (patch, blob, []))
            regions.append(region)

    def read(patch: Patch, blob: Blob, regions: list[Region]) -> None:
        try:
            cache.open(blob, patch.grid).read(regions)
        except DamagedChunkError as error:
            raise error.of(patch.volume, f"{cache.storage.url}/{blob.path}") from error

    if len(wanted) == 1 or isinstance(cache.storage, LocalStorage):
        for patch, blob, regions in wanted.values():
            read(patch, blob, regions)
    else:
        with ThreadPoolExecutor(min(len(wanted), _AT_ONCE)) as pool:
            list(pool.map(read, *zip(*wanted.values(), strict=True)))


def _regions(patch: Patch) -> list[tuple[Blob, Region]]:
    """The parts of a patch in each shard that it overlaps; fills the target first if some of it is outside."""
    grid, corner, target = patch.grid, patch.corner, patch.target
    low = [max(c, 0) for c in corner]
    high = [min(c + s, n) for c, s, n in zip(corner, target.shape, grid.shape, strict=True)]
    if prod(b - a for a, b in zip(low, high, strict=True)) < target.size:
        _fill(patch)
    shards = grid.shards
    if prod(shards) == 1:
        return [(patch.blobs[0], _region(patch, low, high, (0, 0, 0)))]
    found = []
    spans = [range(a // s, -(-b // s)) for a, b, s in zip(low, high, grid.shard, strict=True)]
    for x, y, z in product(*spans):
        origin = [p * s for p, s in zip((x, y, z), grid.shard, strict=True)]
        first = [max(a, o) for a, o in zip(low, origin, strict=True)]
        last = [min(b, o + s) for b, o, s in zip(high, origin, grid.shard, strict=True)]
        blob = patch.blobs[(x * shards[1] + y) * shards[2] + z]
        found.append((blob, _region(patch, first, last, origin)))
    return found


def _region(patch: Patch, low: Sequence[int], high: Sequence[int], origin: Sequence[int]) -> Region:
    """Voxels `[low, high)` of the array as a region of the shard that begins at `origin`."""
    place = tuple(slice(a - c, b - c) for a, b, c in zip(low, high, patch.corner, strict=True))
    (x, y, z), (a, b, c) = ([n - o for n, o in zip(end, origin, strict=True)] for end in (low, high))
    return Region((x, y, z), (a, b, c), patch.target[place], patch.linear)


def _fill(patch: Patch) -> None:
    fill = np.array(patch.grid.fill, patch.grid.dtype)
    if patch.linear is None:
        patch.target.fill(fill)
    else:
        value = np.empty((), np.float32)
        apply_linear(fill, patch.linear, out=value)
        patch.target.fill(value)


def _check_size(size: Sequence[int]) -> None:
    if len(size) != 3 or min(size) < 1:
        raise InvalidArgument(f"a patch is at least 1 voxel on each of 3 axes, got {tuple(size)}")


def _check(patch: Patch) -> None:
    size, target = patch.target.shape, patch.target
    _check_size(size)
    dtype = np.dtype(patch.grid.dtype if patch.linear is None else np.float32)
    if target.dtype != dtype or abs(target.strides[2]) != dtype.itemsize or not target.flags.writeable:
        raise InvalidArgument(
            f"the array to fill must be writeable, {dtype}, with its last axis contiguous, got {target.dtype}, strides "
            f"{target.strides}, writeable {target.flags.writeable}"
        )
    corner, shape = patch.corner, patch.grid.shape
    if any(c >= n or c + s <= 0 for c, s, n in zip(corner, size, shape, strict=True)):
        raise InvalidArgument(f"corner {tuple(corner)} with size {tuple(size)} lies outside a volume of {shape}")

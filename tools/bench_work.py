"""What a benchmark reads: the draws of a mixture from 0 on, what a patch of them weighs, and the files they lie in."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from statistics import fmean

import numpy as np

from mixio.dataset import MixtureDataset
from mixio.row import Row
from mixio.shards import ShardCache
from mixio.store import Store
from mixio.stores.local import LocalStorage
from mixio.volume import Shape

Request = tuple[str, Shape]
"""The name of a volume and the corner of a patch in it."""

_SAMPLE = 256
"""Draws whose weights are averaged."""
_DRAWS = 2048
"""Draws whose files count as those of the benchmark; a store of a million volumes is not opened whole."""
_COLD_SHARE = 0.25
"""Of the store's bytes, read in a cold turn at most: what is read once is in the cache for the rest of the turn."""
_MISSING = np.uint64(2**64 - 1)


@dataclass(frozen=True)
class Weight:
    """Means: bytes of a patch's voxels, of the stored chunks that it touches, and of one such chunk."""

    voxels: float
    stored: float
    chunk: float


@dataclass(frozen=True)
class Work:
    """A data set over a store, read in batches of this many patches."""

    dataset: MixtureDataset
    batch_size: int

    @property
    def store(self) -> Store:
        """The store that is measured."""
        store = self.dataset.source
        assert isinstance(store, Store)
        return store

    @property
    def is_local(self) -> bool:
        """Whether the store lies in files, not behind a network."""
        return isinstance(self.store.storage, LocalStorage)

    def requests(self, first: int, count: int, step: int = 1) -> list[Request]:
        """The patches of `count` draws: every `step`-th from `first` on."""
        plans = (self.dataset.plan(g) for g in range(first, first + count * step, step))
        return [(plan.volume, plan.corner) for plan in plans if plan.corner is not None]

    def rows(self) -> list[Row]:
        """The volumes that the first draws come from."""
        return [self.store.row(name) for name in sorted({name for name, _ in self.requests(0, _DRAWS)})]

    def files(self) -> list[Path]:
        """The shards, or tars, of these volumes; none for a store elsewhere."""
        if not self.is_local:
            return []
        paths = {blob.path for row in self.rows() for blob in row.blobs_of()}
        return [Path(self.store.path) / path for path in sorted(paths)]

    def weigh(self) -> Weight:
        """What a patch weighs, from the indices of the shards."""
        cache, size = ShardCache(self.store.storage), self.dataset.patch_size
        rows, lengths, voxels = [], [], []
        for name, corner in self.requests(0, _SAMPLE):
            row = self.store.row(name)
            rows.append(_chunks(cache, row, corner, size))
            lengths += rows[-1]
            voxels.append(prod(size) * np.dtype(row.dtype).itemsize)
        return Weight(fmean(voxels), fmean(map(sum, rows)), fmean(lengths) if lengths else 0.0)

    def cold_patches(self) -> int:
        """Patches that a cold turn reads at most."""
        return int(_COLD_SHARE * stored_bytes(self.rows()) / max(1.0, self.weigh().stored))


def _chunks(cache: ShardCache, row: Row, corner: Shape, size: Shape) -> list[int]:
    """Stored bytes of each chunk that a patch touches; chunks of background are not stored."""
    grid, found = row.grid, []
    low = [max(c, 0) // e for c, e in zip(corner, grid.chunk, strict=True)]
    high = [-(-min(c + s, n) // e) for c, s, n, e in zip(corner, size, grid.shape, grid.chunk, strict=True)]
    blobs = dict(zip(product(*map(range, grid.shards)), row.blobs_of(), strict=True))
    for position in product(*map(range, low, high)):
        shard, inside = zip(*map(divmod, position, grid.chunks_per_shard), strict=True)
        offset, length = cache.open(blobs[shard], grid).index[inside]
        if offset != _MISSING:
            found.append(int(length))
    return found


def stored_bytes(rows: Sequence[Row]) -> int:
    """Bytes of the images of these volumes as they are stored."""
    return sum(blob.nbytes for row in rows for blob in row.blobs_of())

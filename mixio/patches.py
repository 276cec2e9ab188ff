"""One patch out of stored blobs, touching only the chunks it needs.

The shard index is read once per blob and kept, with the open file, in a bounded cache of this process; a patch
then costs one `pread`, one checksum and one decompression per chunk it overlaps. Reading by `pread` rather than
through a memory map costs a copy that the checksum needs anyway, and turns a truncated file into an error instead
of a bus error. Files are opened on first use, never inherited: a forked child opens its own.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.blob import Grid, decode_chunk, decode_index, index_bytes, is_missing
from mixio.errors import DamagedChunkError, InvalidArgument, MissingShardError, StoreError
from mixio.row import Blob
from mixio.stores.inside import refuse_outside
from mixio.stores.storage import Storage
from mixio.volume import Shape

MAX_OPEN_FILES = 256

Corner = tuple[int, int, int]


class BlobFile:
    """An open shard and its decoded index; closed when the last user lets go."""

    def __init__(self, storage: Storage, blob: Blob, grid: Grid) -> None:
        self.where = f"{storage.url}/{blob.path}"
        self._blob, self._storage = blob, storage
        local = Path(storage.url) / blob.path
        self._descriptor = -1
        if Path(storage.url).is_dir():
            refuse_outside(storage, blob.path)
            try:
                self._descriptor = os.open(local, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError as error:
                raise MissingShardError(
                    f"{local}: the shard is missing; run `mixio verify`, then convert again", file=str(local)
                ) from error
            except OSError as error:
                raise StoreError(f"{local}: cannot be read ({error.strerror}); run `mixio verify`") from error
            if os.fstat(self._descriptor).st_size < blob.offset + blob.nbytes:
                raise DamagedChunkError(
                    f"{self.where}: truncated, it ends before byte {blob.offset + blob.nbytes}", file=self.where
                )
        footer = min(index_bytes(grid), blob.nbytes)
        self.index = decode_index(self._bytes(blob.nbytes - footer, footer), grid, self.where)

    def read(self, entry: NDArray[np.uint64]) -> bytes:
        """The stored bytes of the chunk at an index entry."""
        offset, length = int(entry[0]), int(entry[1])
        if offset + length > self._blob.nbytes:
            raise DamagedChunkError(
                f"{self.where}: the index points past the end of the shard; convert it again", file=self.where
            )
        return self._bytes(offset, length)

    def _bytes(self, offset: int, length: int) -> bytes:
        start = self._blob.offset + offset
        if self._descriptor < 0:
            try:
                return self._storage.read_range(self._blob.path, start, length)
            except FileNotFoundError as error:
                raise MissingShardError(
                    f"{self.where}: the shard is missing; run `mixio verify`", file=self.where
                ) from error
        try:
            data = os.pread(self._descriptor, length, start)
        except OSError as error:
            raise StoreError(f"{self.where}: cannot be read ({error.strerror}); run `mixio verify`") from error
        if len(data) != length:
            raise DamagedChunkError(
                f"{self.where}: truncated, a chunk at byte {start} is cut; convert it again", file=self.where
            )
        return data

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


class BlobCache:
    """The least recently used shards of this process, at most `MAX_OPEN_FILES`; safe for threads and forks."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._reset()

    def _reset(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._files: OrderedDict[tuple[str, int], BlobFile] = OrderedDict()

    def open(self, blob: Blob, grid: Grid) -> BlobFile:
        """The open shard of a blob."""
        if self._process != os.getpid():
            self._reset()
        key = blob.path, blob.offset
        with self._lock:
            file = self._files.get(key)
            if file is None:
                file = self._files[key] = BlobFile(self._storage, blob, grid)
            self._files.move_to_end(key)
            if len(self._files) > MAX_OPEN_FILES:
                self._files.popitem(last=False)
        return file

    def __reduce__(self) -> tuple[type["BlobCache"], tuple[Storage]]:
        return BlobCache, (self._storage,)


def read_region(cache: BlobCache, blobs: Sequence[Blob], grid: Grid, corner: Corner, size: Shape) -> NDArray[Any]:
    """Voxels `[corner, corner + size)` of an array in its stored dtype; fill outside it.

    `blobs` are the array's shards in C order of their place in `grid.shards`.
    """
    _check_region(grid, corner, size)
    out = _filled(size, grid)
    ends = [min(c + s, n) for c, s, n in zip(corner, size, grid.shape, strict=True)]
    starts = [max(c, 0) for c in corner]
    spans = [range(a // c, -(-b // c)) for a, b, c in zip(starts, ends, grid.chunk, strict=True)]
    shards, per_shard = grid.shards, grid.chunks_per_shard
    for position in product(*spans):
        x, y, z = (p // n for p, n in zip(position, per_shard, strict=True))
        file = cache.open(blobs[(x * shards[1] + y) * shards[2] + z], grid)
        entry = file.index[tuple(p % n for p, n in zip(position, per_shard, strict=True))]
        if is_missing(entry):
            continue
        chunk = decode_chunk(file.read(entry), grid, file.where)
        source, target = [], []
        for p, edge, c, start, end in zip(position, grid.chunk, corner, starts, ends, strict=True):
            low, high = max(p * edge, start), min((p + 1) * edge, end)
            source.append(slice(low - p * edge, high - p * edge))
            target.append(slice(low - c, high - c))
        out[tuple(target)] = chunk[tuple(source)]
    return out


def _filled(size: Shape, grid: Grid) -> NDArray[Any]:
    try:
        return np.full(size, grid.fill, np.dtype(grid.dtype))
    except MemoryError as error:
        raise StoreError(
            f"there is no memory for {tuple(size)} voxels of {grid.dtype}; read smaller patches"
        ) from error


def _check_region(grid: Grid, corner: Corner, size: Shape) -> None:
    if len(size) != 3 or min(size) < 1:
        raise InvalidArgument(f"a patch is at least 1 voxel on each of 3 axes, got {tuple(size)}")
    outside = any(c >= n or c + s <= 0 for c, s, n in zip(corner, size, grid.shape, strict=True))
    if outside:
        raise InvalidArgument(f"corner {tuple(corner)} with size {tuple(size)} lies outside a volume of {grid.shape}")

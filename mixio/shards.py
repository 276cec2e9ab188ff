"""Open shards of a store, and what regions of them hold.

The index of a shard is read once and kept, with the open file, in a bounded cache of this process; a region then costs
one `pread`, one checksum and one decompression for each chunk that it touches, all of them in one call of the compiled
part (`native.py`). Reading by `pread` rather than through a memory map costs a copy, and turns a truncated file into
an error instead of a bus error. From a bucket the chunks come in few large requests, many in flight.
Files are opened on first use, never inherited: a forked child opens its own.
"""

import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.blob import Grid, decode_chunk, decode_index, index_bytes, is_missing
from mixio.errors import DamagedChunkError, MissingShardError, StoreError
from mixio.native import Position, Region, Shard, compiled
from mixio.normalize import apply_linear
from mixio.row import Blob
from mixio.stores.inside import refuse_outside
from mixio.stores.storage import Storage

MAX_OPEN_FILES = 256
MAX_INDEX_BYTES = 64 * 2**20
_FETCH_BYTES = 32 * 2**20
"""Stored bytes of chunks that are asked of a server at a time."""

_TOO_MANY = (errno.EMFILE, errno.ENFILE)

Decode = Callable[[bytes, Grid, str], NDArray[Any]]


class OpenShard:
    """An open shard and its decoded index; closed when the last user lets go."""

    def __init__(self, storage: Storage, blob: Blob, grid: Grid) -> None:
        self.where = f"{storage.url}/{blob.path}"
        self._storage, self._blob, self._grid = storage, blob, grid
        self._descriptor = -1
        if Path(storage.url).is_dir():
            self._descriptor = self._open()
        footer = min(index_bytes(grid), blob.nbytes)
        self.index = self._decoded_index(blob.nbytes - footer, footer)
        self._shard: Shard | None = None
        fast = compiled()
        if fast is not None and np.dtype(grid.dtype).name in fast.types:
            self._shard = Shard(self._descriptor, blob, grid, self.index)

    def read(self, regions: Sequence[Region]) -> None:
        """Fill the targets of regions of this shard; each chunk is decoded once for all of them.

        Raises `DamagedChunkError` for a chunk that is not what was written.
        """
        fast, shard, is_local = compiled(), self._shard, self._descriptor >= 0
        if fast is not None and shard is not None and is_local and fast.read(shard, regions):
            return
        touched = sorted({position for region in regions for position in _positions(region, self._grid)})
        stored = self._stored([p for p in touched if not is_missing(self.index[p])])
        if fast is not None and shard is not None and not is_local:
            stored = self._stored(fast.place(shard, regions, stored))  # what it could not take, once more
        for position, data in stored:
            chunk = self._decoded(position, data)
            for region in regions:
                _copy(chunk, position, region, self._grid)
        nothing = np.broadcast_to(np.array(self._grid.fill, self._grid.dtype), self._grid.chunk)
        for position in touched:
            if is_missing(self.index[position]):
                for region in regions:
                    _copy(nothing, position, region, self._grid)

    def _stored(self, positions: Sequence[Position]) -> Iterator[tuple[Position, bytes]]:
        """The stored bytes of chunks: one by one from a file, from a server as many at once as is good for memory."""
        if self._descriptor >= 0:
            for position in positions:
                yield position, self._pread(*self._range(position))
            return
        for group in self._groups(positions):
            yield from zip(group, self._fetch([self._range(position) for position in group]), strict=True)

    def _groups(self, positions: Sequence[Position]) -> Iterator[list[Position]]:
        group: list[Position] = []
        nbytes = 0
        for position in positions:
            length = self._range(position)[1]
            if group and nbytes + length > _FETCH_BYTES:
                yield group
                group, nbytes = [], 0
            group.append(position)
            nbytes += length
        if group:
            yield group

    def _decoded(self, position: Position, data: bytes) -> NDArray[Any]:
        return self._tried(decode_chunk, data, self._range(position))

    def _decoded_index(self, offset: int, length: int) -> NDArray[np.uint64]:
        where = offset, length
        footer = self._pread(*where) if self._descriptor >= 0 else self._fetch([where])[0]
        return self._tried(decode_index, footer, where)

    def _tried(self, decode: Decode, data: bytes, where: tuple[int, int]) -> NDArray[Any]:
        """The bytes from `where`, decoded; from a server once more, where bytes may be wrong that the object has right:
        they came over a network, or out of a cache."""
        try:
            return decode(data, self._grid, self.where)
        except DamagedChunkError:
            if self._descriptor >= 0:
                raise
        return decode(self._fetch([where], fresh=True)[0], self._grid, self.where)

    def _range(self, position: Position) -> tuple[int, int]:
        """Where the bytes of a chunk lie in the shard, and how many they are."""
        offset, length = (int(n) for n in self.index[position])
        if offset + length > self._blob.nbytes:
            raise DamagedChunkError(f"{self.where}: the index points past the end of the shard; convert it again")
        return offset, length

    def _fetch(self, ranges: Sequence[tuple[int, int]], *, fresh: bool = False) -> list[bytes]:
        start = self._blob.offset
        placed = [(start + offset, length) for offset, length in ranges]
        try:
            return self._storage.read_ranges(self._blob.path, placed, fresh=fresh)
        except FileNotFoundError as error:
            raise MissingShardError(f"{self.where}: the shard is missing; run `mixio verify`") from error

    def _open(self) -> int:
        refuse_outside(self._storage, self._blob.path)
        try:
            descriptor = os.open(self.where, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise MissingShardError(
                f"{self.where}: the shard is missing; run `mixio verify`, then convert again"
            ) from error
        except OSError as error:
            way_out = "raise the limit, ulimit -n" if error.errno in _TOO_MANY else "run `mixio verify`"
            raise StoreError(f"{self.where}: cannot be read ({error.strerror}); {way_out}") from error
        end = self._blob.offset + self._blob.nbytes
        if os.fstat(descriptor).st_size < end:
            os.close(descriptor)
            raise DamagedChunkError(f"{self.where}: truncated, it ends before byte {end}")
        return descriptor

    def _pread(self, offset: int, length: int) -> bytes:
        start = self._blob.offset + offset
        try:
            data = os.pread(self._descriptor, length, start)
        except OSError as error:
            raise StoreError(f"{self.where}: cannot be read ({error.strerror}); run `mixio verify`") from error
        if len(data) != length:
            raise DamagedChunkError(f"{self.where}: truncated, a chunk at byte {start} is cut; convert it again")
        return data

    def __del__(self, close: Callable[[int], None] = os.close) -> None:  # `os` may be gone when the program ends
        if self._descriptor >= 0:
            close(self._descriptor)


class ShardCache:
    """The least recently used shards of this process; safe for threads and forks.

    At most `MAX_OPEN_FILES`, and no more than `MAX_INDEX_BYTES` of indices.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._shards: OrderedDict[tuple[str, int], OpenShard] = OrderedDict()
        self._index_bytes = 0
        self._process = os.getpid()  # last: another thread of a child that sees it must see the rest

    def open(self, blob: Blob, grid: Grid) -> OpenShard:
        """The open shard of a blob."""
        if self._process != os.getpid():
            self._reset()
        key = blob.path, blob.offset
        with self._lock:
            shard = self._shards.get(key)
            if shard is not None:
                self._shards.move_to_end(key)
                return shard
        shard = OpenShard(self.storage, blob, grid)  # not under the lock: it may take a round trip to a server
        dropped = []
        with self._lock:
            if key not in self._shards:
                self._shards[key] = shard
                self._index_bytes += shard.index.nbytes
            while len(self._shards) > MAX_OPEN_FILES or (self._index_bytes > MAX_INDEX_BYTES and len(self._shards) > 1):
                dropped.append(self._shards.popitem(last=False)[1])
                self._index_bytes -= dropped[-1].index.nbytes
        return shard

    def __reduce__(self) -> tuple[type["ShardCache"], tuple[Storage]]:
        return ShardCache, (self.storage,)


def _positions(region: Region, grid: Grid) -> Iterator[Position]:
    spans = [range(a // c, -(-b // c)) for a, b, c in zip(region.low, region.high, grid.chunk, strict=True)]
    return product(*spans)


def _copy(chunk: NDArray[Any], position: Position, region: Region, grid: Grid) -> None:
    """What a region wants of a chunk, to its place in the target."""
    source, target = [], []
    for p, edge, start, end in zip(position, grid.chunk, region.low, region.high, strict=True):
        low, high = max(p * edge, start), min((p + 1) * edge, end)
        if low >= high:
            return
        source.append(slice(low - p * edge, high - p * edge))
        target.append(slice(low - start, high - start))
    voxels, place = chunk[tuple(source)], region.target[tuple(target)]
    if region.linear is None:
        place[...] = voxels
    else:
        apply_linear(voxels, region.linear, out=place)

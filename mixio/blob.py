"""One array to one byte string and back: a standard Zarr v3 `sharding_indexed` shard.

The bytes are chunks, each `bytes(little) -> blosc(lz4, shuffle) -> crc32c`, and at the end an index: per chunk
its offset and length as little-endian uint64, in C order, then a crc32c of the index. Chunks equal to the fill
value are left out and marked by 2^64 - 1. The layout is that of the Zarr specification ("sharding codec 1.0");
nothing here opens a file, so that the same bytes can lie in a Zarr store, a tar member or an object store.
"""

from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from mixio.errors import DamagedChunkError, InvalidArgument
from mixio.volume import Shape

# Blosc's own threads do not survive a fork and help little on chunks this small.
blosc.use_threads = False

CHUNK = 48
SHARD_BYTES = 512 * 2**20
_CLEVEL = 5
_MISSING = 2**64 - 1
_CRC_BYTES = 4


@dataclass(frozen=True)
class Grid:
    """How an array is cut: into shards (one blob each), and those into chunks.

    `shard` is a multiple of `chunk` on every axis; the last shard and chunk of an axis may reach past the array.
    """

    shape: Shape
    chunk: Shape
    shard: Shape
    dtype: str
    fill: int | float

    @property
    def chunks_per_shard(self) -> Shape:
        """Chunks in a shard along x, y, z."""
        x, y, z = (s // c for s, c in zip(self.shard, self.chunk, strict=True))
        return x, y, z

    @property
    def shards(self) -> Shape:
        """Shards in the array along x, y, z."""
        x, y, z = (-(-n // s) for n, s in zip(self.shape, self.shard, strict=True))
        return x, y, z


def plan_grid(shape: Shape, dtype: str, fill: int | float, *, chunk: int = CHUNK) -> Grid:
    """Chunks of `chunk` voxels a side (less on axes that are shorter), one shard up to 512 MiB, else several."""
    if chunk < 1:
        raise InvalidArgument(f"chunk must be at least 1 voxel, got {chunk}")
    edges = [min(chunk, n) for n in shape]
    counts = [-(-n // e) for n, e in zip(shape, edges, strict=True)]
    while prod(counts) * prod(edges) * np.dtype(dtype).itemsize > SHARD_BYTES and max(counts) > 1:
        axis = int(np.argmax([c * e for c, e in zip(counts, edges, strict=True)]))
        counts[axis] = -(-counts[axis] // 2)
    cx, cy, cz = edges
    sx, sy, sz = (c * e for c, e in zip(counts, edges, strict=True))
    return Grid(shape, (cx, cy, cz), (sx, sy, sz), dtype, fill)


def encode_shard(voxels: NDArray[Any], grid: Grid) -> bytes:
    """The bytes of one shard; `voxels` is at most `grid.shard` in size, what is missing counts as fill."""
    dtype = np.dtype(grid.dtype).newbyteorder("<")
    body: list[bytes] = []
    index = np.full((*grid.chunks_per_shard, 2), _MISSING, "<u8")
    offset = 0
    for position in product(*map(range, grid.chunks_per_shard)):
        slices = tuple(slice(p * c, (p + 1) * c) for p, c in zip(position, grid.chunk, strict=True))
        part = voxels[slices]
        if part.size == 0 or bool((part == grid.fill).all()):
            continue
        encoded = encode_chunk(_full(part, grid, dtype))
        index[position] = offset, len(encoded)
        body.append(encoded)
        offset += len(encoded)
    footer = index.tobytes()
    return b"".join([*body, footer, crc32c(footer)])


def _full(part: NDArray[Any], grid: Grid, dtype: np.dtype[Any]) -> NDArray[Any]:
    if part.shape == grid.chunk:
        return np.ascontiguousarray(part, dtype)
    chunk = np.full(grid.chunk, grid.fill, dtype)
    chunk[tuple(slice(n) for n in part.shape)] = part
    return chunk


def encode_chunk(chunk: NDArray[Any]) -> bytes:
    """Compress one contiguous chunk and append the checksum."""
    encoded: bytes = blosc.compress(chunk, b"lz4", _CLEVEL, blosc.SHUFFLE)
    return encoded + crc32c(encoded)


def crc32c(data: bytes) -> bytes:
    """The four little-endian bytes that Zarr's crc32c codec appends."""
    return int(google_crc32c.value(data)).to_bytes(_CRC_BYTES, "little")


def index_bytes(grid: Grid) -> int:
    """Length of the index with its checksum, at the end of every shard."""
    return prod(grid.chunks_per_shard) * 16 + _CRC_BYTES


def decode_index(footer: bytes, grid: Grid, where: str) -> NDArray[np.uint64]:
    """Offset and length per chunk, `(nx, ny, nz, 2)`, from the last `index_bytes` of a shard."""
    if len(footer) != index_bytes(grid) or crc32c(footer[:-_CRC_BYTES]) != footer[-_CRC_BYTES:]:
        raise DamagedChunkError(f"{where}: the shard's index does not match its checksum; convert this volume again")
    return np.frombuffer(footer[:-_CRC_BYTES], "<u8").reshape(*grid.chunks_per_shard, 2)


def is_missing(entry: NDArray[np.uint64]) -> bool:
    """Whether an index entry marks a chunk that is all fill."""
    return int(entry[0]) == _MISSING


def decode_chunk(data: bytes, grid: Grid, where: str) -> NDArray[Any]:
    """One chunk `grid.chunk` from its stored bytes, checksum checked."""
    encoded = data[:-_CRC_BYTES]
    if crc32c(encoded) != data[-_CRC_BYTES:]:
        raise DamagedChunkError(f"{where}: a chunk does not match its checksum; convert this volume again")
    chunk = np.empty(grid.chunk, np.dtype(grid.dtype).newbyteorder("<"))
    if int.from_bytes(encoded[4:8], "little") != chunk.nbytes:  # the blosc header's word on the size
        raise DamagedChunkError(f"{where}: a chunk has not the size that the manifest says; convert this volume again")
    blosc.decompress(encoded, chunk)
    return chunk


def metadata(grid: Grid) -> dict[str, Any]:
    """The `zarr.json` of an array stored as such shards."""
    itemsize = np.dtype(grid.dtype).itemsize
    little: dict[str, Any] = {"name": "bytes", "configuration": {"endian": "little"}}
    compress = {"cname": "lz4", "clevel": _CLEVEL, "shuffle": "shuffle", "typesize": itemsize, "blocksize": 0}
    checksum: dict[str, Any] = {"name": "crc32c"}
    sharding = {
        "chunk_shape": list(grid.chunk),
        "codecs": [little, {"name": "blosc", "configuration": compress}, checksum],
        "index_codecs": [little, checksum],
        "index_location": "end",
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(grid.shape),
        "data_type": str(np.dtype(grid.dtype)),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(grid.shard)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": grid.fill,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "attributes": {},
        "dimension_names": ["x", "y", "z"],
    }

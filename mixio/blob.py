"""One array to one byte string and back: a standard Zarr v3 `sharding_indexed` shard that explains itself.

    header    one line of JSON, padded with spaces to a multiple of 64 bytes: what `decode_shard` needs
    chunks    each `bytes(little) -> blosc -> crc32c`, in C order of their place; none for chunks of fill
    index     per chunk its offset and length as little-endian uint64, in C order, then a crc32c of the index

Chunks that hold the fill value only are left out and marked by 2^64 - 1. The layout is that of the Zarr
specification ("sharding codec 1.0"), whose offsets are counted from the start of the shard, so that its readers
step over the header. Nothing here opens a file: the same bytes can lie in a Zarr store, a tar or an object store.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from math import isfinite, prod
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from mixio.codec import DEFAULT, FILTERS, Codec
from mixio.errors import DamagedChunkError, InvalidArgument
from mixio.memory import layout_of
from mixio.volume import Shape

# Blosc's own threads do not survive a fork and help little on chunks this small.
blosc.use_threads = False

CHUNK = 32
SHARD_BYTES = 512 * 2**20
HEADER_VERSION = 1
_ALIGN = 64
_MAX_HEADER_BYTES = 1024
_MAX_CHUNK_BYTES = 2**31 - 17
_BLOSC_HEADER_BYTES = 16
_LARGEST_RATIO = 2**16
_MISSING = 2**64 - 1
_CRC_BYTES = 4


@dataclass(frozen=True)
class Grid:
    """How an array is cut: into shards (one blob each), and those into chunks; and how chunks are compressed.

    `shard` is a multiple of `chunk` on every axis; the last shard and chunk of an axis may reach past the array.
    `codec` binds the writer only.
    """

    shape: Shape
    chunk: Shape
    shard: Shape
    dtype: str
    fill: int | float
    codec: Codec = field(default=DEFAULT, compare=False)

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


def plan_grid(
    shape: Shape, dtype: str, fill: int | float, *, chunk: int = CHUNK, shard_bytes: int | None = SHARD_BYTES
) -> Grid:
    """Chunks of `chunk` voxels a side (less on axes that are shorter), in shards of `shard_bytes` uncompressed.

    `shard_bytes=None` puts all of it into one shard whatever its size. Another codec is set by
    `dataclasses.replace(grid, codec=...)`. Raises `InvalidArgument` for a chunk of no
    voxels or of more bytes than Blosc takes, and for a fill that is not finite, which equals no voxel.
    """
    if chunk < 1:
        raise InvalidArgument(f"chunk must be at least 1 voxel, got {chunk}")
    if not isfinite(fill):
        raise InvalidArgument(f"the fill value must be a finite number, got {fill}")
    edges = [min(chunk, n) for n in shape]
    counts = [-(-n // e) for n, e in zip(shape, edges, strict=True)]
    itemsize = np.dtype(dtype).itemsize
    if prod(edges) * itemsize > _MAX_CHUNK_BYTES:
        raise InvalidArgument(f"a chunk of {chunk} voxels a side of {dtype} has over 2 GiB; choose a smaller one")
    most = prod(counts) * prod(edges) * itemsize if shard_bytes is None else shard_bytes
    while prod(counts) * prod(edges) * itemsize > most and max(counts) > 1:
        axis = int(np.argmax([c * e for c, e in zip(counts, edges, strict=True)]))
        counts[axis] = -(-counts[axis] // 2)
    cx, cy, cz = edges
    sx, sy, sz = (c * e for c, e in zip(counts, edges, strict=True))
    return Grid(shape, (cx, cy, cz), (sx, sy, sz), dtype, fill)


def encode_shard(voxels: NDArray[Any], grid: Grid) -> bytes:
    """The bytes of one shard; `voxels` is at most `grid.shard` in size, what is missing counts as fill."""
    return b"".join(shard_pieces(voxels, grid))


def shard_pieces(voxels: NDArray[Any], grid: Grid) -> Iterator[bytes]:
    """The bytes of one shard, a chunk at a time, for writing a large one without holding it.

    They depend on the voxels' values only, not on how they lie in memory.
    """
    header = _header(voxels.shape, grid)
    yield header
    index = np.full((*grid.chunks_per_shard, 2), _MISSING, "<u8")
    offset = len(header)
    cutter = _Cutter(voxels, grid)
    for position in product(*(range(-(-n // c)) for n, c in zip(voxels.shape, grid.chunk, strict=True))):
        chunk = cutter.cut(position)
        if chunk is None:
            continue
        encoded = encode_chunk(chunk, grid.codec)
        index[position] = offset, len(encoded)
        offset += len(encoded)
        yield encoded
    footer = index.tobytes()
    yield footer + crc32c(footer)


class _Cutter:
    """Copies chunks out of an array into one buffer in C order, whatever the array's layout.

    A chunk of a transposed array is first gathered as it lies in memory and turned afterwards, in cache: three
    times faster than turning it on the way, as planes of 512 x 512 voxels all fall into the same cache lines.
    """

    def __init__(self, voxels: NDArray[Any], grid: Grid) -> None:
        self._dtype = np.dtype(grid.dtype).newbyteorder("<")
        self._bits = f"<u{self._dtype.itemsize}"
        self._fill = np.array(grid.fill, self._dtype)
        self._edges, self._shape = grid.chunk, voxels.shape
        self._layout = layout_of(voxels)
        self._memory = self._layout.ordered(voxels)
        self._gathered = np.empty([grid.chunk[axis] for axis in self._layout.axes], self._dtype)
        self._chunk = np.empty(grid.chunk, self._dtype)

    def cut(self, position: tuple[int, ...]) -> NDArray[Any] | None:
        """The chunk at this place, padded with fill, valid until the next call; None if it is all fill.

        Fill is compared bit by bit, so that a negative zero is kept.
        """
        where = []
        for axis, flipped in zip(self._layout.axes, self._layout.flipped, strict=True):
            n, edge = self._shape[axis], self._edges[axis]
            low, high = position[axis] * edge, min((position[axis] + 1) * edge, n)
            where.append(slice(n - high, n - low) if flipped else slice(low, high))
        part = self._memory[tuple(where)]
        gathered = self._gathered[tuple(slice(n) for n in part.shape)]
        gathered[...] = part
        fill = self._fill.view(self._bits)
        bits = gathered.view(self._bits)
        if bits[0, 0, 0] == fill and bool((bits == fill).all()):
            return None
        if self._layout.is_plain and gathered.size == self._chunk.size:
            return gathered
        turned = self._layout.restored(gathered)
        if turned.size < self._chunk.size:
            self._chunk[...] = self._fill
        for y in range(turned.shape[1]):  # a plane at a time stays in the first-level cache
            self._chunk[: turned.shape[0], y, : turned.shape[2]] = turned[:, y]
        return self._chunk


def encode_chunk(chunk: NDArray[Any], codec: Codec = DEFAULT) -> bytes:
    """Compress one contiguous chunk and append the checksum."""
    how = codec.blosc(chunk.itemsize)
    encoded: bytes = blosc.compress(chunk, how["cname"].encode(), how["clevel"], FILTERS.index(how["shuffle"]))
    return encoded + crc32c(encoded)


def crc32c(data: bytes) -> bytes:
    """The four little-endian bytes that Zarr's crc32c codec appends."""
    return int(google_crc32c.value(data)).to_bytes(_CRC_BYTES, "little")


def extend_crc32c(crc: int, data: bytes) -> int:
    """The crc32c of what came before, which is 0 for nothing, and these bytes."""
    return int(google_crc32c.extend(crc, data))


def _header(shape: tuple[int, ...], grid: Grid) -> bytes:
    """The first line of a shard; its checksum is that of the same line with eight zeros in its place."""
    says = {
        "mixio": HEADER_VERSION,
        "shape": list(shape),
        "chunk": list(grid.chunk),
        "dtype": str(np.dtype(grid.dtype)),
        "fill": grid.fill,
        "crc32c": "0" * 8,
    }
    line = json.dumps(says, separators=(",", ":"), allow_nan=False)
    line += " " * (-(len(line) + 1) % _ALIGN) + "\n"
    return line.replace("0" * 8 + '"}', crc32c(line.encode()).hex() + '"}').encode()


def decode_header(data: bytes, where: str) -> tuple[Grid, int]:
    """What the header of a shard says, as the grid of an array that is this shard, and the header's length.

    Raises `DamagedChunkError` if there is none or it does not match its checksum.
    """
    end = data.find(b"\n", 0, _MAX_HEADER_BYTES) + 1
    line = data[:end]
    kept = line.rstrip()
    crc = kept[-10:-2]
    plain = kept[:-10] + b"0" * 8 + kept[-2:] + line[len(kept) :]
    if not end or crc32c(plain).hex().encode() != crc:
        raise DamagedChunkError(f"{where}: its first line is no shard header that matches its checksum; convert again")
    try:
        return _grid_of(json.loads(plain)), end
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise DamagedChunkError(f"{where}: the shard header describes no array ({error}); convert again") from error


def _grid_of(says: dict[str, Any]) -> Grid:
    if says["mixio"] != HEADER_VERSION:
        raise ValueError(f"version {says['mixio']}, this mixio reads {HEADER_VERSION}")
    (x, y, z), (cx, cy, cz) = says["shape"], says["chunk"]
    if any(type(n) is not int or n < 1 for n in (x, y, z, cx, cy, cz)):
        raise ValueError(f"shape {says['shape']} in chunks of {says['chunk']}")
    dtype = np.dtype(says["dtype"])
    known = dtype.kind in "iuf" and dtype.itemsize <= 8 and dtype.name == says["dtype"]
    if not known or cx * cy * cz * dtype.itemsize > _MAX_CHUNK_BYTES:
        raise ValueError(f"chunks of {says['chunk']} {says['dtype']}")
    shard = -(-x // cx) * cx, -(-y // cy) * cy, -(-z // cz) * cz
    fill = says["fill"]
    if type(fill) not in (int, float) or not _holds(dtype, fill):
        raise ValueError(f"fill {fill!r} for {dtype}")
    return Grid((x, y, z), (cx, cy, cz), shard, str(dtype), fill)


def _holds(dtype: np.dtype[Any], fill: int | float) -> bool:
    if dtype.kind == "f":
        return bool(abs(fill) <= np.finfo(dtype).max)
    return bool(np.iinfo(dtype).min <= fill <= np.iinfo(dtype).max and fill == int(fill))


def decode_shard(data: bytes, where: str) -> NDArray[Any]:
    """The array of one shard from its bytes alone, C contiguous, every checksum checked.

    Raises `DamagedChunkError` naming `where` for bytes that are damaged or contradict themselves. Sizes are checked
    before anything is allocated: an array has at most 512 MiB, or 65,536 times the bytes it comes from.
    """
    grid, start = decode_header(data, where)
    footer = index_bytes(grid)
    dtype = np.dtype(grid.dtype)
    if start + footer > len(data) or prod(grid.shape) * dtype.itemsize > max(SHARD_BYTES, _LARGEST_RATIO * len(data)):
        raise DamagedChunkError(f"{where}: {len(data)} bytes cannot be an array of {grid.shape} {dtype}; convert again")
    index = decode_index(data[-footer:], grid, where)
    end = len(data) - footer
    voxels = np.full(grid.shape, grid.fill, dtype)
    for position in product(*map(range, grid.chunks_per_shard)):
        offset, length = map(int, index[position])
        if offset == length == _MISSING:
            continue
        if not start <= offset <= offset + length <= end:
            raise DamagedChunkError(f"{where}: a chunk is said to lie at byte {offset}, outside; convert again")
        chunk = decode_chunk(data[offset : offset + length], grid, where)
        place = tuple(slice(p * c, (p + 1) * c) for p, c in zip(position, grid.chunk, strict=True))
        part = voxels[place]
        part[...] = chunk[tuple(slice(n) for n in part.shape)]
    return voxels


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
    """One chunk `grid.chunk` from its stored bytes, checksum and sizes checked before it is allocated."""
    encoded = data[:-_CRC_BYTES]
    if len(encoded) < _BLOSC_HEADER_BYTES or crc32c(encoded) != data[-_CRC_BYTES:]:
        raise DamagedChunkError(f"{where}: a chunk does not match its checksum; convert this volume again")
    dtype = np.dtype(grid.dtype).newbyteorder("<")
    # The words of the blosc header on the sizes of what comes out and of what went in.
    sizes = int.from_bytes(encoded[4:8], "little"), int.from_bytes(encoded[12:16], "little")
    if sizes != (prod(grid.chunk) * dtype.itemsize, len(encoded)):
        raise DamagedChunkError(f"{where}: a chunk has not the size that the manifest says; convert this volume again")
    chunk = np.empty(grid.chunk, dtype)
    try:
        blosc.decompress(encoded, chunk)
    except (RuntimeError, ValueError) as error:
        raise DamagedChunkError(f"{where}: a chunk cannot be decompressed ({error}); convert again") from error
    return chunk


def metadata(grid: Grid) -> dict[str, Any]:
    """The `zarr.json` of an array stored as such shards."""
    itemsize = np.dtype(grid.dtype).itemsize
    little: dict[str, Any] = {"name": "bytes", "configuration": {"endian": "little"}}
    checksum: dict[str, Any] = {"name": "crc32c"}
    sharding = {
        "chunk_shape": list(grid.chunk),
        "codecs": [little, {"name": "blosc", "configuration": grid.codec.blosc(itemsize)}, checksum],
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

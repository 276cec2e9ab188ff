"""The compiled part of the reader: all chunks of a shard that some patches want, in one call without Python's lock.

It is C (`csrc/`), built when mixio is installed and called through ctypes; checksums and decompression are those of
google-crc32c and numcodecs, whose functions it is given. Where it could not be built, or the libraries do not show
their functions, `compiled()` is None, `why_not()` says why, and the reader does the same in Python, at less than half
the speed. It never decides what an error is: it says that it did not succeed, and Python reads again and tells.
"""

import ctypes
import sys
import threading
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.util import find_spec
from math import prod
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from mixio.blob import Grid
from mixio.row import Blob
from mixio.volume import Shape

TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64", "float16")
"""Stored dtypes in the order of LINEAR in csrc/linear.h; compilers before their time leave out the last."""
_AT_ONCE = 256 * 2**10
"""Bytes of neighboring chunks that are read at once: 1.4 times as many patches from a cold disk, 2 % more else."""
_LARGEST_KEPT = 4 * 2**20
"""Bytes of the room for chunks that a thread keeps; what is larger is made for each call."""

Position = tuple[int, ...]
"""The place of a chunk in its shard."""

_Triple = ctypes.c_int64 * 3
_Pair = ctypes.c_int64 * 2


class _Library(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("crc32c", "getitem", "decompress", "lz4")]


class _Shard(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("file", "start", "nbytes")),
        ("index", ctypes.c_void_p),
        ("chunks", _Triple),
        ("chunk", _Triple),
        ("type", ctypes.c_int64),
        ("itemsize", ctypes.c_int64),
        ("fill", ctypes.c_void_p),
        ("capacity", ctypes.c_int64),
    ]


class _Region(ctypes.Structure):
    _fields_ = [
        ("low", _Triple),
        ("high", _Triple),
        ("target", ctypes.c_void_p),
        ("stride", _Pair),
        ("scale", ctypes.c_float),
        ("offset", ctypes.c_float),
        ("linear", ctypes.c_int64),
        ("backwards", ctypes.c_int64),
    ]


class Region:
    """Voxels `[low, high)` of a shard, wanted in `target`, whose last axis lies side by side in memory, either way.

    With `linear` = (scale, offset), `target` is float32 and gets clip(voxel * scale + offset, 0, 1).
    """

    def __init__(
        self, low: Shape, high: Shape, target: NDArray[Any], linear: tuple[float, float] | None = None
    ) -> None:
        self.low, self.high, self.target, self.linear = low, high, target, linear

    def _as_struct(self) -> _Region:
        scale, offset = self.linear or (0.0, 0.0)
        x, y, z = self.target.strides
        address = self.target.__array_interface__["data"][0]
        place = _Triple(*self.low), _Triple(*self.high), address, _Pair(x, y)
        return _Region(*place, scale, offset, self.linear is not None, z < 0)


class Shard:
    """An open shard as the compiled part knows it; keeps alive what it points to."""

    def __init__(self, descriptor: int, blob: Blob, grid: Grid, index: NDArray[np.uint64]) -> None:
        dtype = np.dtype(grid.dtype)
        chunk = prod(grid.chunk) * dtype.itemsize
        capacity = max(chunk + 64, _AT_ONCE)
        self._index, self._fill = np.ascontiguousarray(index), np.array(grid.fill, dtype)
        self.struct = _Shard(
            descriptor,
            blob.offset,
            blob.nbytes,
            self._index.ctypes.data,
            _Triple(*grid.chunks_per_shard),
            _Triple(*grid.chunk),
            TYPES.index(dtype.name),
            dtype.itemsize,
            self._fill.ctypes.data,
            capacity,
        )
        self.room = 2 * chunk + capacity


class Compiled:
    """The functions of the compiled part."""

    def __init__(self, path: str) -> None:
        self._library = ctypes.CDLL(path)
        numcodecs, crc32c = ctypes.CDLL(blosc.__file__), ctypes.CDLL(google_crc32c._crc32c.__file__)
        given = (crc32c.crc32c_value, numcodecs.blosc_getitem, numcodecs.blosc_decompress_ctx)
        self._given = _Library(*(_address(function) for function in (*given, numcodecs.LZ4_decompress_safe)))
        self._read = self._library.mixio_read
        self._read.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_int64, ctypes.c_void_p]
        self._place = self._library.mixio_place
        self._place.argtypes = [*[ctypes.c_void_p] * 3, ctypes.c_int64, _Triple, ctypes.c_char_p]
        self._place.argtypes += [ctypes.c_int64, ctypes.c_void_p]
        self._linear = self._library.mixio_linear
        self._linear.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_int64] * 2 + [ctypes.c_float] * 2
        self._linear.restype = None
        self.types = TYPES[: self._library.mixio_types()]
        self._rooms = threading.local()

    def read(self, shard: Shard, regions: Sequence[Region]) -> bool:
        """Fill the targets of all regions; whether every chunk was as it should be."""
        structs, room = _structs(regions), self._room(shard.room)
        done = self._read(
            ctypes.byref(self._given), ctypes.byref(shard.struct), structs, len(regions), room.ctypes.data
        )
        return bool(done)

    def place(
        self, shard: Shard, regions: Sequence[Region], chunks: Iterable[tuple[Position, bytes]]
    ) -> list[Position]:
        """The same from stored bytes of chunks; returns the places of those that are not as they should be."""
        structs, room = _structs(regions), self._room(shard.room)
        fixed = ctypes.byref(self._given), ctypes.byref(shard.struct), structs, len(regions)
        return [at for at, data in chunks if not self._place(*fixed, _Triple(*at), data, len(data), room.ctypes.data)]

    def linear(self, voxels: NDArray[Any], scale: float, offset: float, out: NDArray[np.float32]) -> None:
        """clip(voxels * scale + offset, 0, 1) into `out`; both C-contiguous and of one size."""
        self._linear(voxels.ctypes.data, out.ctypes.data, voxels.size, TYPES.index(voxels.dtype.name), scale, offset)

    def can_take(self, voxels: NDArray[Any]) -> bool:
        """Whether `linear` knows this array's dtype and layout."""
        return voxels.flags.c_contiguous and voxels.dtype.isnative and voxels.dtype.name in self.types

    @property
    def unshuffles(self) -> bool:
        """Whether the processor can undo blosc's bit shuffle fast (AVX2, or GFNI and AVX-512 VBMI)."""
        return bool(self._library.mixio_unshuffles())

    def _room(self, nbytes: int) -> NDArray[np.uint8]:
        if nbytes > _LARGEST_KEPT:
            return np.empty(nbytes, np.uint8)
        room: NDArray[np.uint8] | None = getattr(self._rooms, "room", None)
        if room is None or room.size < nbytes:
            room = self._rooms.room = np.empty(nbytes, np.uint8)
        return room


def _structs(regions: Sequence[Region]) -> Any:
    return (_Region * len(regions))(*(region._as_struct() for region in regions))


def _address(function: Any) -> int | None:
    return ctypes.cast(function, ctypes.c_void_p).value


@cache
def _loaded() -> Compiled | str:
    """The compiled part, or why there is none."""
    found = find_spec("mixio._native")
    if found is None or found.origin is None:
        return "it was not built; install a C compiler and then mixio again"
    if sys.byteorder != "little":
        return "this machine is big-endian"
    try:
        return Compiled(found.origin)
    except (OSError, AttributeError) as error:
        return f"{error}; install mixio, numcodecs and google-crc32c again, as wheels"


def compiled() -> Compiled | None:
    """The compiled part, None where there is none."""
    loaded = _loaded()
    return loaded if isinstance(loaded, Compiled) else None


def why_not() -> str | None:
    """Why there is no compiled part; None if there is."""
    loaded = _loaded()
    return loaded if isinstance(loaded, str) else None

"""`.npz` archives that hold many volumes an array, such as those of MedMNIST3D.

`item` says which: `train_images/12` is volume 12 of the array `train_images`, (N, X, Y, Z) or (N, X, Y, Z, 1). An
array is inflated whole, for only then its CRC is checked, and the last one is kept, for a table asks for its volumes
one after the other. Nothing is unpickled.
"""

import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mixio.errors import SourceError
from mixio.readers.layout import MOST_DEFLATED, Data, Layout, check_room, checked_dtype, checked_shape, room_for
from mixio.readers.parts import Part, ReadOptions
from mixio.readers.voxels import volume_of

_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, NotImplementedError, UnicodeError)


def read_archive(path: Path, options: ReadOptions) -> Iterator[Part]:
    """The one volume that `options.item` names; an archive says no spacing, so `options.spacing` must."""
    member, number = _item(path, options)
    if options.spacing is None:
        raise SourceError(f"{path.name}: an array carries no spacing; give it in mm, in a column spacing of the table")
    stat = path.stat()
    stack = _array(path, stat.st_size, stat.st_mtime_ns, member, options.max_bytes)
    if number >= len(stack):
        raise SourceError(f"{path.name}: no item {number} in {member}; it holds 0 to {len(stack) - 1}")
    shape = checked_shape(stack.shape[1:], path.name)
    if len(shape) != 3:
        raise SourceError(f"{path.name}: {member} holds volumes of shape {shape}, expected one channel; split them")
    stored = stack[number].flatten(order="F")
    layout = Layout(path.name, Data(path), 0, stack.dtype, shape, np.diag([*options.spacing, 1.0]))
    yield Part("", volume_of(stored, layout), {"affine": "assumed"})


def _item(path: Path, options: ReadOptions) -> tuple[str, int]:
    member, _, number = (options.item or "").rpartition("/")
    if not (member and number.isascii() and number.isdigit()):
        raise SourceError(
            f"{path.name}: item {options.item!r} is not ARRAY/NUMBER; the arrays are {', '.join(_members(path))}"
        )
    return member, int(number)


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    except _DAMAGED as error:
        raise SourceError(f"{path.name}: archive is damaged ({error}); fetch the file again") from error


@lru_cache(maxsize=1)
def _array(path: Path, size: int, mtime_ns: int, member: str, max_bytes: int | None) -> NDArray[Any]:
    """The array `member`, (N, X, Y, Z) or more axes; size and time of the archive are part of the cache's key."""
    try:
        with zipfile.ZipFile(path) as archive:
            try:
                information = archive.getinfo(f"{member}.npy")
            except KeyError as error:
                raise SourceError(f"{path.name}: no array {member!r}, only {', '.join(_members(path))}") from error
            with archive.open(information) as file:
                needed = _claim(file, information.file_size, path.name)
            if information.file_size > MOST_DEFLATED * max(information.compress_size, 1):
                raise SourceError(f"{path.name}: {member} claims more than its compressed bytes can hold; truncated?")
            check_room(needed, max_bytes, path.name)
            with archive.open(information) as file, room_for(needed, path.name):
                array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
    except _DAMAGED as error:
        raise SourceError(f"{path.name}: archive is damaged ({error}); fetch the file again") from error
    return array


def _claim(file: IO[bytes], size: int, name: str) -> int:
    """Bytes of the array whose header `file` begins with, which must be those that the archive says it has."""
    version = npy.read_magic(file)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise SourceError(f"{name}: an array of format {version}, expected 1.0 or 2.0; save it with numpy.savez")
    shape, _, dtype = read(file)
    checked_dtype(dtype, name)
    needed = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if len(shape) < 4 or min(shape) < 1:
        raise SourceError(f"{name}: an array of shape {shape} is not a stack of volumes, expected (N, X, Y, Z)")
    if file.tell() + needed != size:
        raise SourceError(f"{name}: an array claims {file.tell() + needed} bytes, the archive {size}; truncated?")
    return needed

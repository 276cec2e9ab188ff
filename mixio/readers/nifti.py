"""NIfTI-1 and NIfTI-2, plain or gzipped, to a `Volume`.

nibabel parses the header and maps the array; this file adds what nibabel leaves to its caller: gzip is read to
its end, so that a damaged file fails its CRC instead of giving wrong voxels, the size that the header claims is
checked against the bytes that are there before anything is allocated, and what is not one scalar volume is
refused by name.
"""

import gzip
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from mixio.errors import SourceError
from mixio.volume import Volume

SUFFIXES = (".nii", ".nii.gz")
_ALLOWED_KINDS = "iuf"
_MM = {"unknown": 1.0, "mm": 1.0, "meter": 1000.0, "micron": 0.001}


def read_nifti(path: Path) -> Volume:
    """Read one NIfTI file, not reoriented, with its stored dtype.

    Integers keep their dtype with slope and intercept beside them; floats become float32, scaled.
    Raises `SourceError` for anything but one finite, scalar, three-dimensional volume with a usable affine.
    """
    content = _content(path)
    image = _parse(content, path)
    header = image.header
    shape = _checked_shape(tuple(int(n) for n in header.get_data_shape()), path)
    dtype = header.get_data_dtype()
    if dtype.kind not in _ALLOWED_KINDS:
        raise SourceError(f"{path.name}: voxels of type {dtype} are not one number each; split the channels first")
    offset = int(image.dataobj.offset)
    needed = offset + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if needed > len(content):
        raise SourceError(f"{path.name}: the header claims {needed} bytes, the file holds {len(content)}; truncated?")
    stored = np.ndarray(shape, dtype, content, offset=offset, order="F")
    slope, inter = float(image.dataobj.slope), float(image.dataobj.inter)
    volume = _volume(stored, slope, inter, _checked_affine(image, path))
    if stored.dtype.kind == "f" and np.isinf(volume.voxels).sum() > np.isinf(stored).sum():
        raise SourceError(f"{path.name}: holds numbers too large for float32; rescale it first")
    return volume


def _content(path: Path) -> bytes:
    raw = path.read_bytes()
    if path.suffix.lower() != ".gz":
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path.name}: gzip stream is damaged ({error}); fetch the file again") from error


def _parse(content: bytes, path: Path) -> Any:
    kinds = (nib.nifti1.Nifti1Image, nib.nifti2.Nifti2Image)
    for kind in kinds:
        if kind.header_class.may_contain_header(content[:1024]):
            try:
                with nib.imageglobals.LoggingOutputSuppressor():
                    return kind.from_bytes(content)
            except (ImageFileError, HeaderDataError, ValueError, OverflowError, OSError, EOFError) as error:
                raise SourceError(f"{path.name}: unreadable NIfTI header ({error})") from error
    raise SourceError(f"{path.name}: not a NIfTI file ({len(content)} bytes)")


def _checked_shape(shape: tuple[int, ...], path: Path) -> tuple[int, int, int]:
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        raise SourceError(f"{path.name}: shape {shape} is not one 3D volume; extract the frame to convert first")
    if min(shape) < 1:
        raise SourceError(f"{path.name}: shape {shape} has an empty axis")
    return shape[0], shape[1], shape[2]


def _checked_affine(image: Any, path: Path) -> NDArray[np.float64]:
    header = image.header
    affine = np.asarray(image.affine, dtype=np.float64).copy()
    affine[:3] *= _MM[header.get_xyzt_units()[0]]
    if int(header["qform_code"]) == 0 and int(header["sform_code"]) == 0:
        raise SourceError(
            f"{path.name}: neither qform nor sform is set, so left and right are unknown; set one in the header"
        )
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) <= 1e-6 * np.prod(spacing):
        raise SourceError(f"{path.name}: the affine is singular or not finite; repair the header")
    return affine


def _volume(stored: NDArray[Any], slope: float, inter: float, affine: NDArray[np.float64]) -> Volume:
    if stored.dtype.kind in "iu":
        native = stored.dtype.newbyteorder("=")
        return Volume(stored.astype(native, copy=False), affine, slope, inter)
    real = stored.astype(np.float64 if stored.dtype.itemsize > 4 else np.float32)
    if (slope, inter) != (1.0, 0.0):
        real = real.astype(np.float64) * slope + inter
    with np.errstate(over="ignore"):
        return Volume(real.astype(np.float32), affine)

"""NIfTI-1 and NIfTI-2, one file or a pair, plain or gzipped; a pair without their magic goes to `analyze`.

nibabel understands the first 540 bytes; the voxels are read by `frames`, which checks what nibabel leaves to its
caller. Extensions and the text fields of the header are never looked at.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from mixio.errors import SourceError
from mixio.readers.affines import checked_affine, is_usable, stand_in
from mixio.readers.analyze import analyze_layout, is_analyze
from mixio.readers.frames import parts_of
from mixio.readers.layout import Data, Layout, checked_dtype, checked_shape
from mixio.readers.names import header_of, image_of
from mixio.readers.parts import Part, ReadOptions
from mixio.readers.streams import encoding_of, open_stream

_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # by unit code: unknown, meter, mm, micron
_SINGLE: dict[bytes, tuple[Any, int]] = {b"n+1": (nib.nifti1.Nifti1Header, 352), b"n+2": (nib.nifti2.Nifti2Header, 544)}
_PAIR: dict[bytes, tuple[Any, int]] = {
    b"ni1": (nib.nifti1.Nifti1PairHeader, 0),
    b"ni2": (nib.nifti2.Nifti2PairHeader, 0),
}
_LONGEST = 540
_SILENT = logging.Logger("mixio.silent")  # what nibabel finds is raised, and needs no log
_SILENT.addHandler(logging.NullHandler())


def read_nifti(path: Path, options: ReadOptions) -> Iterator[Part]:
    """The parts of a NIfTI file, not reoriented.

    Raises `SourceError` for anything but scalar, three-dimensional volumes with a usable affine.
    """
    yield from parts_of(nifti_layout(path, options), options)


def nifti_layout(path: Path, options: ReadOptions) -> Layout:
    """What the header at `path`, a single file or the `.hdr` or `.img` of a pair, claims."""
    path = header_of(path)
    image = image_of(path)
    with open_stream(Data(path, encoding_of(path)), path.name) as stream:
        content = stream.read(_LONGEST)
    if image != path and not _magic(content) & (_PAIR.keys() | _SINGLE.keys()) and is_analyze(content):
        return analyze_layout(path, image, content, options)
    header, least = _parse(content, path, is_single=image == path)
    try:
        with np.errstate(all="ignore"):
            shape = checked_shape(tuple(int(n) for n in header.get_data_shape()), path.name)
            dtype = checked_dtype(header.get_data_dtype(), path.name)
            offset = int(header.get_data_offset())
            slope, inter = header.get_slope_inter()
            affine, notes = _affine(header, options, path.name)
    except (HeaderDataError, ValueError, OverflowError) as error:
        raise SourceError(f"{path.name}: unreadable NIfTI header ({error}); make the file again") from error
    if offset < least:
        raise SourceError(f"{path.name}: voxels cannot begin at byte {offset}, expected {least} or more")
    if not np.isfinite([header["scl_slope"], header["scl_inter"]]).all():
        notes["slope"] = "ignored"
    slope, inter = (1.0, 0.0) if slope is None else (float(slope), float(inter))
    return Layout(path.name, Data(image, encoding_of(image)), offset, dtype, shape, affine, slope, inter, notes)


def _magic(content: bytes) -> set[bytes]:
    """The bytes at the places where NIfTI-1 and NIfTI-2 keep their magic."""
    return {content[344:347], content[4:7]}


def _parse(content: bytes, path: Path, *, is_single: bool) -> tuple[Any, int]:
    """The header, and the first byte at which voxels may begin."""
    magic = _magic(content)
    kinds, others = (_SINGLE, _PAIR) if is_single else (_PAIR, _SINGLE)
    for kind, least in (kinds[m] for m in magic & kinds.keys()):
        try:
            header = kind(content[: kind.sizeof_hdr], check=False)
            header.check_fix(logger=_SILENT)
            return header, least
        except (HeaderDataError, ValueError, OverflowError, nib.wrapstruct.WrapStructError) as error:
            raise SourceError(f"{path.name}: unreadable NIfTI header ({error}); make the file again") from error
    if magic & others.keys():
        raise SourceError(
            f"{path.name}: the header says it is {'half of a pair' if is_single else 'a single file'}, "
            f"the name says the opposite; rename it to {'.hdr and .img' if is_single else '.nii'}"
        )
    raise SourceError(f"{path.name}: not a NIfTI file ({len(content)} bytes of header read); fetch the file again")


def _affine(header: Any, options: ReadOptions, name: str) -> tuple[NDArray[np.float64], dict[str, str]]:
    """The sform, or else the qform, in mm; what to do where neither is there or the sform is broken."""
    unit = int(header["xyzt_units"]) % 8
    if unit not in _MM:
        raise SourceError(f"{name}: lengths in unknown unit {unit}, expected 0 to 3; repair xyzt_units in the header")
    factor = _MM[unit]
    has_sform, has_qform = int(header["sform_code"]) != 0, int(header["qform_code"]) != 0
    if not has_sform and not has_qform:
        base = _in_mm(header.get_base_affine(), factor)
        return stand_in(base, options, name, why="neither qform nor sform is set")
    best = _in_mm(header.get_best_affine(), factor)
    if has_sform and has_qform and not is_usable(best):
        return _qform_instead(header, factor, options, name)
    return checked_affine(best, name), {}


def _qform_instead(
    header: Any, factor: float, options: ReadOptions, name: str
) -> tuple[NDArray[np.float64], dict[str, str]]:
    """The qform of a header whose sform is broken, if `options` allow it."""
    try:
        qform = _in_mm(header.get_qform(), factor)
    except HeaderDataError:
        qform = np.full((4, 4), np.nan)
    if not is_usable(qform):
        raise SourceError(f"{name}: the affine is singular or not finite; repair the header")
    if not options.assume_affine:
        raise SourceError(
            f"{name}: the affine is singular or not finite: the sform is, the qform is not; "
            "repair the header, or take the qform with --assume-affine"
        )
    return qform, {"affine": "qform"}


def _in_mm(affine: NDArray[np.floating[Any]], factor: float) -> NDArray[np.float64]:
    scaled = np.array(affine, dtype=np.float64)
    scaled[:3] *= factor
    return scaled

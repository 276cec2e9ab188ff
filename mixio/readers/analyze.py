"""Analyze 7.5 pairs, the format before NIfTI, which OASIS-1 and SPM99 are written in.

The header says the spacing, but not where left and right are: a pair is read only if a guess is accepted, whatever
spacing a table says. The guess is nibabel's and SPM's: axes towards Left, Anterior, Superior, the world's origin at
the voxel that SPM99 noted, else in the middle. SPM99's scale, in a field that Analyze left unused, is taken as nibabel
takes it.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from nibabel.analyze import AnalyzeHeader
from nibabel.spatialimages import HeaderDataError
from nibabel.spm99analyze import Spm99AnalyzeHeader

from mixio.errors import SourceError
from mixio.readers.affines import stand_in
from mixio.readers.layout import Data, Layout, checked_dtype, checked_shape
from mixio.readers.parts import ReadOptions
from mixio.readers.streams import encoding_of

_HEADER = 348


def is_analyze(content: bytes) -> bool:
    """Whether these first bytes of a `.hdr`, which has no NIfTI magic, are an Analyze header's."""
    return len(content) >= _HEADER and bool(AnalyzeHeader.may_contain_header(content[:_HEADER]))


def analyze_layout(path: Path, image: Path, content: bytes, options: ReadOptions) -> Layout:
    """What the header at `path`, with this content, claims of the voxels in `image`.

    Raises `SourceError` unless `options` accept a guess of the affine, and for a spacing that is not above 0.
    """
    try:
        with np.errstate(all="ignore"):
            header = Spm99AnalyzeHeader(content[:_HEADER], check=False)
            shape = checked_shape(tuple(int(n) for n in header.get_data_shape()), path.name)
            dtype = checked_dtype(header.get_data_dtype(), path.name)
            offset = int(header.get_data_offset())
            slope, inter = header.get_slope_inter()
            spacing = np.asarray(header["pixdim"][1:4], np.float64)
            guess = np.asarray(header.get_best_affine(), np.float64)
    except (HeaderDataError, KeyError, ValueError, OverflowError) as error:
        raise SourceError(f"{path.name}: unreadable Analyze header ({error}); make the file again") from error
    why = "an Analyze 7.5 header does not say where its axes run"
    affine, notes = stand_in(guess, replace(options, spacing=None), path.name, why=why)
    if not (np.isfinite(spacing) & (spacing > 0)).all():
        raise SourceError(f"{path.name}: the header says a spacing of {spacing.tolist()} mm; repair its pixdim")
    if offset < 0:
        raise SourceError(f"{path.name}: voxels cannot begin at byte {offset}, expected 0 or more")
    slope, inter = (1.0, 0.0) if slope is None else (float(slope), float(inter or 0.0))
    return Layout(path.name, Data(image, encoding_of(image)), offset, dtype, shape, affine, slope, inter, notes)

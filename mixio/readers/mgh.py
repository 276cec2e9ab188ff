"""FreeSurfer's MGH, and MGZ, which is MGH gzipped: nibabel understands the header, `frames` reads the voxels."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from nibabel.freesurfer.mghformat import MGHHeader
from nibabel.spatialimages import HeaderDataError

from mixio.errors import SourceError
from mixio.readers.affines import checked_affine, stand_in
from mixio.readers.frames import parts_of
from mixio.readers.layout import Data, Layout, checked_shape
from mixio.readers.parts import Part, ReadOptions
from mixio.readers.streams import encoding_of, open_stream

_HEADER = 284  # bytes before the voxels
_RAS_FLAG = slice(28, 30)


def read_mgh(path: Path, options: ReadOptions) -> Iterator[Part]:
    """The parts of an MGH or MGZ file, not reoriented; raises `SourceError` for what cannot be trusted."""
    yield from parts_of(mgh_layout(path, options), options)


def mgh_layout(path: Path, options: ReadOptions) -> Layout:
    """What the header at `path` claims; the text that may follow the voxels is never looked at."""
    data = Data(path, encoding_of(path))
    with open_stream(data, path.name) as stream:
        content = stream.read(_HEADER)
    if len(content) < _HEADER:
        raise SourceError(f"{path.name}: not an MGH file ({len(content)} bytes of header read); fetch the file again")
    try:
        with np.errstate(all="ignore"):
            header = MGHHeader(content, check=False)
            if int(header["version"]) != 1:
                raise SourceError(f"{path.name}: not an MGH file of version 1; fetch the file again")
            shape = checked_shape(tuple(int(n) for n in header.get_data_shape()), path.name)
            dtype = np.dtype(header.get_data_dtype())
            affine = np.asarray(header.get_best_affine(), np.float64)
    except HeaderDataError as error:
        raise SourceError(f"{path.name}: not an MGH file ({error}); fetch the file again") from error
    except KeyError as error:
        raise SourceError(f"{path.name}: unknown MGH voxel type {error}; expected 0, 1, 3, 4 or 10") from error
    notes: dict[str, str] = {}
    if content[_RAS_FLAG] == b"\0\0":
        affine, notes = stand_in(affine, options, path.name, why="goodRASFlag is 0")
    return Layout(path.name, data, _HEADER, dtype, shape, checked_affine(affine, path.name), notes=notes)

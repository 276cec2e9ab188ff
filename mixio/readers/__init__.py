"""Paths to volumes, one format a file; nothing else in mixio imports the libraries behind them.

A source is a file, or a folder of DICOM. It holds one volume, or several parts: the frames of a 4D file, the series
of a folder, the arrays of an archive. What cannot be trusted raises `SourceError` with the reason.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from mixio.errors import SourceError
from mixio.readers.archive import read_archive
from mixio.readers.metaio import metaio_data, parse_metaio, read_metaio
from mixio.readers.mgh import read_mgh
from mixio.readers.names import (
    ARCHIVE,
    IMAGES,
    METAIO,
    MGH,
    NIFTI,
    NRRD,
    SLICE,
    SUFFIXES,
    has_suffix,
    header_of,
    image_of,
    is_volume,
    stem_of,
)
from mixio.readers.nifti import read_nifti
from mixio.readers.nrrd import nrrd_data, parse_nrrd, read_nrrd
from mixio.readers.parts import FRAMES, Part, ReadOptions
from mixio.readers.walk import files_below, walk
from mixio.volume import Volume

__all__ = ["FRAMES", "Part", "ReadOptions", "files_of", "is_volume", "read_parts", "read_volume", "stem_of", "walk"]

_DEFAULTS = ReadOptions()
_LFS = b"version https://git-lfs"
_READERS: list[tuple[tuple[str, ...], Callable[[Path, ReadOptions], Iterator[Part]]]] = [
    ((*NIFTI, *IMAGES), read_nifti),
    (MGH, read_mgh),
    (NRRD, read_nrrd),
    (METAIO, read_metaio),
    (ARCHIVE, read_archive),
]


def read_parts(path: Path, options: ReadOptions = _DEFAULTS) -> Iterator[Part]:
    """The volumes of the source at `path`, one at a time, not reoriented.

    Raises `SourceError` with the reason for a source that cannot be trusted, `SourceTooLarge` for one whose voxels
    exceed `options.max_bytes`; both before a part of it is yielded, but for a file that changes while it is read.
    """
    try:
        yield from _reader_of(path)(path, options)
    except OSError as error:
        raise SourceError(f"{path.name}: cannot be read ({error.strerror or error}); check the disk") from error


def read_volume(path: Path, options: ReadOptions = _DEFAULTS) -> Volume:
    """The one volume of the source at `path`; raises `SourceError` as `read_parts`, and if there are several."""
    parts = list(islice(read_parts(path, options), 2))
    if len(parts) != 1:
        raise SourceError(f"{path.name}: holds several volumes, expected one; name one of them as item")
    return parts[0].volume


def files_of(path: Path) -> list[Path]:
    """All files that the source at `path` consists of, for checksums and stamps; the header of a pair first.

    Never raises for a file that cannot be read: it is listed then, and reading it tells the reason. Raises `OSError`
    for a folder that cannot be looked into, or a path that cannot be.
    """
    if path.is_dir():
        return files_below(path)
    try:
        if has_suffix(path, (*NIFTI, *IMAGES)):
            header = header_of(path)
            return list(dict.fromkeys([header, image_of(header)]))
        if has_suffix(path, NRRD):
            return list(dict.fromkeys([path, nrrd_data(path, *parse_nrrd(path)).path]))
        if has_suffix(path, METAIO):
            return list(dict.fromkeys([path, metaio_data(path, *parse_metaio(path)).path]))
    except (SourceError, OSError):
        pass
    return [path]


def _reader_of(path: Path) -> Callable[[Path, ReadOptions], Iterator[Part]]:
    if path.is_dir() or has_suffix(path, SLICE):
        from mixio.readers.dicom import read_dicom

        return read_dicom
    if not path.exists():
        raise SourceError(f"{path.name}: no such file; is the disk mounted?")
    if not path.is_file():  # to open a pipe would wait for ever
        raise SourceError(f"{path.name}: neither a file nor a folder; list the file itself")
    for suffixes, read in _READERS:
        if has_suffix(path, suffixes):
            _refuse_pointer(path)
            return read
    raise SourceError(f"{path.name}: not a known format; expected one of {', '.join(SUFFIXES)}, or a DICOM folder")


def _refuse_pointer(path: Path) -> None:
    with open(path, "rb") as file:
        if file.read(len(_LFS)) == _LFS:
            raise SourceError(f"{path.name}: a git-LFS pointer, not the data; fetch it with git lfs pull")

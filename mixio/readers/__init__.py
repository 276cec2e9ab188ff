"""Paths to volumes, one format a file; nothing else in mixio imports the libraries behind them."""

from pathlib import Path

from mixio.errors import SourceError
from mixio.readers.nifti import SUFFIXES, read_nifti
from mixio.volume import Volume


def is_volume(path: Path) -> bool:
    """Whether the file name is one of a format that `read_volume` knows."""
    return path.name.lower().endswith(SUFFIXES)


def stem_of(path: Path) -> str:
    """The file name without its format suffix, `.nii.gz` included."""
    suffix = next((s for s in reversed(SUFFIXES) if path.name.lower().endswith(s)), path.suffix)
    return path.name[: len(path.name) - len(suffix)] if suffix else path.name


def read_volume(path: Path) -> Volume:
    """Read the volume at `path`; raises `SourceError` with the reason if it cannot be trusted."""
    if not path.exists():
        raise SourceError(f"{path.name}: no such file")
    if not is_volume(path):
        raise SourceError(f"{path.name}: not a known format; expected one of {', '.join(SUFFIXES)}")
    try:
        return read_nifti(path)
    except OSError as error:
        raise SourceError(f"{path.name}: cannot be read ({error.strerror or error})") from error

"""Paths to volumes, one format a file; nothing else in mixio imports the libraries behind them.

A source is a file, or a folder of DICOM. It holds one volume, or several parts: the frames of a 4D file, the series
of a folder, the arrays of an archive. What cannot be trusted raises `SourceError` with the reason.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mixio.errors import InvalidArgument, SourceError
from mixio.readers.nifti import SUFFIXES, read_nifti
from mixio.volume import Volume

FRAMES = ("first", "mean", "each")


@dataclass(frozen=True)
class ReadOptions:
    """How to read what a file leaves open.

    `frames` chooses from a 4D source: `first`, `mean` or `each` (None: refused). `item` picks one part: a frame's
    number, or `array/number` in an archive. `assume_affine` accepts a file that does not say where left and right
    are; `spacing` in mm is that of files that say nothing at all. `max_bytes` bounds the decoded voxels of a part.
    """

    frames: str | None = None
    item: str | None = None
    assume_affine: bool = False
    spacing: tuple[float, float, float] | None = None
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.frames is not None and self.frames not in FRAMES:
            raise InvalidArgument(f"frames must be one of {', '.join(FRAMES)}, got {self.frames!r}")


@dataclass(frozen=True, eq=False)
class Part:
    """One volume of a source; `name` is empty where the source holds one, else tells it from its siblings.

    `notes` are facts worth keeping, such as `{"affine": "assumed"}`; no text of a header is among them.
    """

    name: str
    volume: Volume
    notes: dict[str, str]


def is_volume(path: Path) -> bool:
    """Whether the file name is one of a format that `read_volume` knows."""
    return path.name.lower().endswith(SUFFIXES)


def stem_of(path: Path) -> str:
    """The file name without its format suffix, `.nii.gz` included."""
    suffix = next((s for s in reversed(SUFFIXES) if path.name.lower().endswith(s)), path.suffix)
    return path.name[: len(path.name) - len(suffix)] if suffix else path.name


def read_parts(path: Path, options: ReadOptions = ReadOptions()) -> Iterator[Part]:
    """The volumes of the source at `path`, one at a time, not reoriented."""
    yield Part("", read_volume(path), {})


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

"""What a header claims: where the voxels lie in which file, their type, shape, scale and place in the body.

Every format but DICOM and archives comes down to this: some bytes to pass over, then voxels, first axis fastest.
The claims are checked against the bytes that are there before anything of the claimed size is allocated.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.errors import SourceError, SourceTooLarge
from mixio.volume import Shape

MOST_DEFLATED = 1032  # bytes that one byte of deflate can stand for, at most


@dataclass(frozen=True)
class Data:
    """A stretch of a file: from byte `start` to its end, `raw` or deflated as `gzip` or `zlib`."""

    path: Path
    encoding: str = "raw"
    start: int = 0

    @property
    def nbytes(self) -> int:
        """Stored bytes."""
        return self.path.stat().st_size - self.start


@dataclass(frozen=True, eq=False)
class Layout:
    """The claims of a header; `name` stands in messages, `skip` decoded bytes lie before the voxels.

    `shape` has three axes, or four where the last one counts frames. `affine` (4, 4) is to RAS+ mm.
    """

    name: str
    data: Data
    skip: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    affine: NDArray[np.float64]
    slope: float = 1.0
    inter: float = 0.0
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def grid(self) -> Shape:
        """Voxels of one frame along x, y, z."""
        return self.shape[0], self.shape[1], self.shape[2]

    @property
    def frames(self) -> int:
        """How many volumes follow each other."""
        return self.shape[3] if len(self.shape) > 3 else 1

    @property
    def frame_bytes(self) -> int:
        """Decoded bytes of one frame."""
        return math.prod(self.grid) * self.dtype.itemsize


def checked_shape(shape: tuple[int, ...], name: str) -> tuple[int, ...]:
    """`shape` with trailing axes of 1 dropped down to three; three or four axes, none of them empty."""
    axes = len(shape)
    while axes > 3 and shape[axes - 1] == 1:
        axes -= 1
    if axes < 3:
        raise SourceError(f"{name}: shape {shape} is 2D, expected three axes; stack the slices to a volume first")
    if axes > 4:
        raise SourceError(
            f"{name}: shape {shape} is {axes}D, expected 3D, or 4D of frames; split it into volumes first"
        )
    if min(shape) < 1:
        raise SourceError(f"{name}: shape {shape} has an empty axis; make the file again from its source")
    return shape[:axes]


def checked_dtype(dtype: np.dtype[Any], name: str) -> np.dtype[Any]:
    """`dtype` if it is one real number a voxel."""
    if dtype.kind in "iuf":
        return dtype
    channels = len(dtype.names or ())
    kind = {3: "RGB", 4: "RGBA"}.get(channels, "complex" if dtype.kind == "c" else str(dtype))
    raise SourceError(f"{name}: voxels of type {kind} are not one number each; split the channels first")


def check_claim(layout: Layout) -> None:
    """Refuse a header that claims more bytes than its file can hold."""
    claimed = layout.skip + layout.frames * layout.frame_bytes
    held = layout.data.nbytes
    if layout.data.encoding == "raw" and claimed > held:
        raise SourceError(f"{layout.name}: the header claims {claimed} bytes, the file holds {held}; truncated?")
    if claimed > MOST_DEFLATED * held:
        raise SourceError(
            f"{layout.name}: the header claims {claimed} bytes, more than {held} compressed bytes can hold; truncated?"
        )


def skipped(layout: Layout, skip: int) -> Layout:
    """The layout with its voxels after so many bytes, or, for -1, at the end of the file; its claim is checked."""
    layout = replace(layout, skip=max(skip, 0))
    check_claim(layout)
    return layout if skip >= 0 else replace(layout, skip=layout.data.nbytes - layout.frames * layout.frame_bytes)


def check_room(needed: int, max_bytes: int | None, name: str) -> None:
    """Refuse voxels that need more than `max_bytes`."""
    if max_bytes is not None and needed > max_bytes:
        raise SourceTooLarge(
            f"{name}: its voxels need {needed} bytes, at most {max_bytes} are allowed; raise the memory limit",
            needed=needed,
        )


@contextmanager
def room_for(needed: int, name: str) -> Iterator[None]:
    """Around an allocation of `needed` bytes: `SourceTooLarge` in place of a bare MemoryError."""
    try:
        yield
    except MemoryError as error:
        raise SourceTooLarge(
            f"{name}: its voxels need {needed} bytes, more than can be had; use a machine with more memory",
            needed=needed,
        ) from error

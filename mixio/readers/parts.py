"""How to read a source, and what comes out of it: `ReadOptions` and `Part`."""

from dataclasses import dataclass

from mixio.errors import InvalidArgument
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
        if self.spacing is not None and not all(0 < length < float("inf") for length in self.spacing):
            raise InvalidArgument(f"spacing must be three lengths in mm above 0, got {self.spacing}")


@dataclass(frozen=True, eq=False)
class Part:
    """One volume of a source; `name` is empty where one was asked for, else tells it from its siblings.

    `notes` are facts worth keeping, such as `{"affine": "assumed"}`; no text of a header is among them.
    """

    name: str
    volume: Volume
    notes: dict[str, str]

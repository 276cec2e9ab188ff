"""Which compression the chunks of a store have, as `--codec` names it.

All are Blosc frames: the frame says how it is to be decoded, so a choice binds the writer only. What Blosc calls a
filter, regrouping bytes or bits by significance, pays for numbers of two bytes and more and does nothing for one byte.
"""

from dataclasses import dataclass
from typing import Any

from mixio.errors import InvalidArgument

NAMES = ("lz4", "lz4hc", "zstd", "none")
FILTERS = ("noshuffle", "shuffle", "bitshuffle")
"""In the order of Blosc's numbers for them."""


@dataclass(frozen=True)
class Codec:
    """Compressor, its level from 1 (fast) to 9 (small), and filter.

    >>> Codec.parse("zstd:3")
    Codec(name='zstd', level=3, shuffle='shuffle')
    >>> str(Codec())
    'lz4:5'
    """

    name: str = "lz4"
    level: int = 5
    shuffle: str = "shuffle"

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise InvalidArgument(f"codec must be one of {', '.join(NAMES)}, got {self.name!r}")
        if not 1 <= self.level <= 9:
            raise InvalidArgument(f"the level of codec {self.name} must be from 1 to 9, got {self.level}")
        if self.shuffle not in FILTERS:
            raise InvalidArgument(f"the filter of codec {self.name} must be one of {FILTERS}, got {self.shuffle!r}")

    @classmethod
    def parse(cls, text: str) -> "Codec":
        """From `NAME`, `NAME:LEVEL` or `NAME:LEVEL:FILTER`."""
        name, *rest = text.split(":")
        if len(rest) > 2 or (rest and not rest[0].isdecimal()):
            raise InvalidArgument(f"a codec is NAME, NAME:LEVEL or NAME:LEVEL:FILTER as in zstd:3, got {text!r}")
        level = int(rest[0]) if rest else cls.level
        return cls(name, level, rest[1] if len(rest) == 2 else cls.shuffle)

    def __str__(self) -> str:
        text = self.name if self.name == "none" else f"{self.name}:{self.level}"
        return text if self.shuffle == "shuffle" else f"{self.name}:{self.level}:{self.shuffle}"

    def blosc(self, itemsize: int) -> dict[str, Any]:
        """The configuration of Zarr's blosc codec for numbers of this many bytes; `none` is its level 0."""
        stored = self.name == "none"
        return {
            "cname": "lz4" if stored else self.name,
            "clevel": 0 if stored else self.level,
            "shuffle": "noshuffle" if stored or itemsize == 1 else self.shuffle,
            "typesize": itemsize,
            "blocksize": 0,
        }


DEFAULT = Codec(shuffle="bitshuffle")
"""By the study in `benchmarks/bench_chunks.py`: with the compiled reader it is the fastest, and among the smallest."""

"""How often each volume of a domain was read, in bounded memory: every volume, or a fair sample of very many.

Up to `limit` volumes are counted by name. When there are more, those stay whose hash is in the lower half of its range,
then in the lower quarter, and so on. A name that stays was never out before, so its count is exact; which names stay
depends on the names alone, not on their order; and the sample is a fair one, for hashes have nothing to do with names.
This is the adaptive sampling of Wegman and Flajolet (Computing 43, 1990). It finds the number of volumes to within
2 % or so for a limit of 4,096. A volume read too often that is not in the sample goes unseen.

    >>> repeats = Repeats()
    >>> for volume in ["a", "b", "a"]:
    ...     repeats.add(volume)
    >>> repeats.volumes, repeats.most
    (2, 2)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

LIMIT = 4096
"""Volumes of each domain that are counted by name: at most 0.4 MB, and 0.1 MB as JSON."""


@dataclass
class Repeats:
    """Reads by volume, of the volumes whose hash is below 2^(64 - `halved`)."""

    limit: int = LIMIT
    halved: int = 0
    reads: dict[str, int] = field(default_factory=dict)

    def add(self, volume: str, times: int = 1) -> None:
        """Count that a volume was read."""
        if volume in self.reads:
            self.reads[volume] += times
        elif not self.halved or _hash(volume) >> (64 - self.halved) == 0:
            self.reads[volume] = times
            self._halve(self.halved)

    @property
    def volumes(self) -> int:
        """How many different volumes were read; an estimate if `halved`."""
        return len(self.reads) << self.halved

    @property
    def most(self) -> int:
        """How often the volume of the most reads was read, among those counted by name."""
        return max(self.reads.values(), default=0)

    def merge(self, other: "Repeats") -> None:
        """Count what the other counted, too."""
        self._halve(other.halved)
        for volume, times in other.reads.items():
            self.add(volume, times)

    def state(self) -> dict[str, Any]:
        """Plain values, to be saved as JSON."""
        return {"halved": self.halved, "reads": dict(self.reads)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], *, limit: int = LIMIT) -> "Repeats":
        repeats = cls(limit, state["halved"], dict(state["reads"]))
        repeats._halve(repeats.halved)
        return repeats

    def _halve(self, at_least: int) -> None:
        """Drop volumes until no more than `limit` are left, and those that a sample so often halved has not."""
        while self.halved < at_least or len(self.reads) > self.limit:
            self.halved += 1
            shift = 64 - self.halved
            self.reads = {volume: times for volume, times in self.reads.items() if _hash(volume) >> shift == 0}


def _hash(volume: str) -> int:
    """64 bits that are the same in every process."""
    return int.from_bytes(blake2b(volume.encode(), digest_size=8).digest(), "little")

"""Which draws were consumed: three numbers, the same for any order of them and any split over ranks.

They are how many draws there were, the sum of their numbers, and a checksum: the sum of X^g over the draws g, modulo
the prime P = 2^127 - 1. Added over ranks they are the run's. For draws in a row they have closed forms, so a run of any
length is compared with its plan at once.

Theorem. Two different multisets of draws below n have equal checksums with a probability of at most n/P, which is
6 x 10^-27 at n = 10^12.
Proof. Say draw g is c_g times more in the one than in the other. The checksums differ by the sum of c_g X^g. That is
a polynomial in X of a degree below n, and not zero, for some c_g is not and all are smaller than P. So it has fewer
than n zeros among the P residues. X was picked from these at random, once and for all, before any run.

    >>> Consumed.of([3, 1, 0]) + Consumed.of([2]) == Consumed.row(0, 4)
    True
    >>> (Consumed.row(0, 1000) - Consumed.row(0, 40) - Consumed.row(44, 956)).as_row()
    (40, 4)
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_P = 2**127 - 1
_X = 0x4784D23E70D3A2A5861F4DA0567BB8A0
_PER_ROW = pow(_X - 1, -1, _P)


@dataclass(frozen=True)
class Consumed:
    """A multiset of draws, or with negative numbers what one lacks of another."""

    count: int = 0
    total: int = 0
    checksum: int = 0

    @classmethod
    def of(cls, draws: Iterable[int]) -> "Consumed":
        """These draws, each as often as it is named."""
        count = total = checksum = 0
        last, power = 0, 1
        for g in draws:
            # Draws of a batch follow each other, and then one product is enough.
            power = power * _X % _P if g == last + 1 else pow(_X, g, _P)
            count, total, checksum, last = count + 1, total + g, checksum + power, g
        return cls(count, total, checksum % _P)

    @classmethod
    def row(cls, first: int, count: int) -> "Consumed":
        """`count` draws from `first` on, each once: a geometric series."""
        series = (pow(_X, count, _P) - 1) * _PER_ROW
        return cls(count, count * first + count * (count - 1) // 2, pow(_X, first, _P) * series % _P)

    def as_row(self) -> tuple[int, int] | None:
        """`first` and `count` if this is a row of draws, each once; None otherwise."""
        first, rest = divmod(self.total - self.count * (self.count - 1) // 2, self.count or 1)
        is_row = self.count > 0 and first >= 0 and not rest and Consumed.row(first, self.count) == self
        return (first, self.count) if is_row else None

    def __add__(self, other: "Consumed") -> "Consumed":
        checksum = (self.checksum + other.checksum) % _P
        return Consumed(self.count + other.count, self.total + other.total, checksum)

    def __sub__(self, other: "Consumed") -> "Consumed":
        checksum = (self.checksum - other.checksum) % _P
        return Consumed(self.count - other.count, self.total - other.total, checksum)

    def state(self) -> dict[str, Any]:
        """Plain values; the checksum as text, for it has more digits than a JSON number keeps everywhere."""
        return {"count": self.count, "total": self.total, "checksum": f"{self.checksum:032x}"}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Consumed":
        return cls(state["count"], state["total"], int(state["checksum"], 16))

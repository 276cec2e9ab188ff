"""What shares are in force, from which draw on; checked once, and pickled as one table of numbers.

>>> Schedule.of([(0, {"ct": 1.0}), (64, {"ct": 0.5, "mri": 0.5})], 0)
((0, {'ct': 1.0}), (64, {'ct': 0.5, 'mri': 0.5}))
"""

from collections.abc import Mapping, Sequence
from itertools import chain, islice
from math import fsum
from typing import Any, Self

import numpy as np

from mixio.allocation import check_shares
from mixio.errors import InvalidArgument, MixioError, whole_number
from mixio.tree import in_proportion

Shares = Mapping[str, float]
_NEAREST = 2.0**-52
"""How near to 1 floats may sum up."""


class Schedule(tuple[tuple[int, dict[str, float]], ...]):
    """Pairs of a first draw and the shares from there on, ascending; shares are sorted by name and `normalised`."""

    @classmethod
    def of(cls, shares: object, start: int) -> Self:
        """From shares, or a list of (first draw, shares), that begins with draw `start`; a `Schedule` is believed.

        `AllocationError` or `InvalidArgument` says what is wrong with it.
        """
        if isinstance(shares, Mapping) or not isinstance(shares, Sequence):
            return cls([(start, normalised(check_shares(shares)))])
        parts = shares if isinstance(shares, Schedule) else _checked(shares)
        firsts = [first for first, _ in parts]
        if firsts[:1] != [start] or firsts != sorted(set(firsts)):
            raise InvalidArgument(f"a schedule begins with draw {start} and goes on to later ones, got {firsts}")
        return cls(parts if isinstance(shares, Schedule) else [(first, normalised(each)) for first, each in parts])

    def until(self, end: int) -> "Schedule":
        """What begins before draw `end`; the first part in any case."""
        return Schedule([part for part in self if part[0] < end] or self[:1])

    def __reduce__(self) -> tuple[Any, ...]:
        known: dict[tuple[str, ...], tuple[str, ...]] = {}  # pickle writes an object once, not what is equal to it
        names = [known.setdefault(each, each) for each in (tuple(shares) for _, shares in self)]
        numbers = np.array([*chain.from_iterable(shares.values() for _, shares in self)], "<f8")
        return _unpickled, ([first for first, _ in self], names, numbers.tobytes())


def _unpickled(firsts: Sequence[int], names: Sequence[tuple[str, ...]], numbers: bytes) -> Schedule:
    rest = iter(np.frombuffer(numbers, "<f8").tolist())
    tables = (dict(zip(each, islice(rest, len(each)), strict=True)) for each in names)
    return Schedule(zip(firsts, tables, strict=True))


def _checked(shares: Sequence[Any]) -> list[tuple[int, dict[str, float]]]:
    try:
        return [(whole_number(first, "the first draw of a segment"), check_shares(each)) for first, each in shares]
    except (TypeError, ValueError) as error:
        if isinstance(error, MixioError):
            raise
        raise InvalidArgument(f"a schedule is a list of (first draw, shares), got {shares!r}") from error


def normalised(shares: Shares) -> dict[str, float]:
    """Shares that sum to 1 as nearly as floats can; those that do so already stay as they are."""
    off = [*shares.values(), -1.0]
    if fsum([*off, -_NEAREST]) <= 0 <= fsum([*off, _NEAREST]):  # their signs are exact
        return dict(shares)
    exact = in_proportion(shares.values())
    total = sum(exact)
    return {domain: share / total for domain, share in zip(shares, exact, strict=True)}

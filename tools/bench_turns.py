"""Contestants take turns, and a figure is the median of its turns.

What is compared is measured interleaved, in an order that changes: whatever else the machine does in these seconds
then falls on all of them. Quartiles far apart mean that it did too much.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TypeVar

import numpy as np

T = TypeVar("T")

TURNS = 5
_NOISY = 0.25


@dataclass(frozen=True)
class Spread:
    """The median of some turns and their quartiles."""

    median: float
    low: float
    high: float

    @property
    def is_noisy(self) -> bool:
        """Whether the quartiles are more than a quarter of the median apart."""
        return self.high - self.low > _NOISY * self.median


def spread_of(values: Sequence[float]) -> Spread:
    """The spread of at least one value; one alone is its own quartiles.

    >>> spread_of([3.0, 1.0, 2.0])
    Spread(median=2.0, low=1.5, high=2.5)
    """
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, _, high = quantiles(values, n=4, method="inclusive")
    return Spread(median(values), low, high)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all values do not exceed.

    >>> percentile([4.0, 1.0, 3.0, 2.0], 0.5)
    2.0
    """
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def in_turns(contestants: Mapping[str, Callable[[float], T]], *, seconds: float) -> dict[str, list[T]]:
    """What each contestant returns from each of its `TURNS` turns; it is given the seconds that a turn may take."""
    rng = np.random.default_rng(0)
    results: dict[str, list[T]] = {name: [] for name in contestants}
    for _ in range(TURNS):
        for name in rng.permutation(list(contestants)):
            results[str(name)].append(contestants[str(name)](seconds / TURNS))
    return results


def rate_of(work: Callable[[], float], seconds: float) -> float:
    """How much `work` does a second, called until the seconds are over, once at least; it returns how much it did."""
    done, started = 0.0, time.perf_counter()
    while True:
        done += work()
        took = time.perf_counter() - started
        if took >= seconds:
            return done / took

"""What a fine-tuned network reaches on held-out cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Scores:
    """`metrics` over all cases and `cases` one by one; None is a value that is not defined.

    `intervals` are 95 % intervals of those metrics that have one, `masks` predicted label maps (X, Y, Z).
    """

    metrics: dict[str, float | None]
    cases: dict[str, dict[str, float | None]]
    intervals: dict[str, tuple[float, float] | None] = field(default_factory=dict)
    masks: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)

    def recorded(self) -> dict[str, Any]:
        """As the result of a log holds it."""
        return {"metrics": self.metrics, "intervals": self.intervals, "cases": self.cases}


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean of those that are defined."""
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None

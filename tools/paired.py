"""Two ways to begin, over the same seeds and held-out cases: means, spreads, and their difference with intervals.

There are two questions. Would other seeds say the same? The mean of the differences of each seed has Student's interval
over the seeds: wide with three of them, as it should be. Would other subjects? The differences of each case, averaged
over the seeds, are resampled by subject (percentile bootstrap): that interval is for the networks at hand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

Interval = tuple[float, float]
RESAMPLES = 5_000


@dataclass(frozen=True)
class Arm:
    """The mean of a metric over the seeds and its standard deviation, None with one seed."""

    mean: float
    deviation: float | None


@dataclass(frozen=True)
class Paired:
    """The second arm minus the first: the mean, and 95 % intervals over seeds and over subjects, None without two."""

    metric: str
    arms: tuple[Arm, Arm]
    difference: float
    over_seeds: Interval | None
    over_subjects: Interval | None


def summary(values: Sequence[float]) -> Arm:
    """Mean and sample standard deviation."""
    return Arm(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None)


def paired(
    metric: str,
    first: Sequence[float],
    second: Sequence[float],
    *,
    cases: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    subjects: Sequence[str] = (),
) -> Paired:
    """Compare a metric of two arms, a number a seed (S,); `cases` are those of each case, two of (S, N).

    `subjects` (N,) says whose the cases are. One that is not a number in a run is left out of the interval over them.
    """
    differences = np.subtract(second, first)
    over_subjects = None
    if cases is not None:
        over_subjects = bootstrap((cases[1] - cases[0]).mean(0), subjects)
    return Paired(
        metric, (summary(first), summary(second)), float(differences.mean()), interval(differences), over_subjects
    )


def interval(values: NDArray[np.float64], *, level: float = 0.95) -> Interval | None:
    """Student's interval of the mean of values (S,); None for fewer than two."""
    if len(values) < 2:
        return None
    reach = student.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - reach), float(values.mean() + reach)


def bootstrap(values: NDArray[np.float64], subjects: Sequence[str], *, level: float = 0.95) -> Interval | None:
    """Percentile interval of the mean of values (N,), whole subjects drawn again; None for fewer than two of them."""
    groups: dict[str, list[float]] = {}
    for subject, value in zip(subjects, values.tolist(), strict=True):
        if np.isfinite(value):
            groups.setdefault(subject, []).append(value)
    if len(groups) < 2:
        return None
    sums, counts = (np.array([of(group) for group in groups.values()], float) for of in (sum, len))
    drawn = np.random.default_rng(0).integers(len(groups), size=(RESAMPLES, len(groups)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def by_seed(metrics: Sequence[Mapping[str, float | None]], name: str) -> list[float] | None:
    """A metric of the runs, a run a seed; None if it is not defined in one of them."""
    values = [one[name] for one in metrics]
    return None if any(value is None for value in values) else [float(value or 0) for value in values]


def interval_text(interval: Interval | None) -> str:
    """Both ends, or a dash where there is no interval."""
    return "-" if interval is None else f"{interval[0]:.3g} to {interval[1]:.3g}"

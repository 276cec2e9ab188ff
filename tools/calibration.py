"""Predicted beside measured losses: residuals, how much is explained, and whether the stated doubt is the real one.

A prediction's distribution is the mean over bootstrap samples of normal ones, of log losses, as wide as the noise of
runs around the law. An interval of 90 % should then hold 90 % of what is measured. That of fitted runs is a
check of the noise only, as the law has followed these very runs; that of held-out ones is the test.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtr

from tools.forms.form import Array
from tools.laws import Laws
from tools.runlog import Run

LEVELS = (0.5, 0.8, 0.9, 0.95)
_LEAST = 1e-9


@dataclass(frozen=True)
class Outcomes:
    """What laws said of N runs and what they gave, both (N, T); `measured` is NaN where there is none."""

    predicted: Array
    measured: Array

    @cached_property
    def residual(self) -> Array:
        """Log of measured over predicted losses (N, T)."""
        residual: Array = np.log(self.measured / self.predicted)
        return residual

    @property
    def error(self) -> float:
        """Mean relative error."""
        return float(np.nanmean(np.abs(self.predicted / self.measured - 1)))

    @property
    def correlation(self) -> float | None:
        """Pearson's r of all log losses; None for fewer than three or without any spread."""
        kept = np.isfinite(self.measured)
        x, y = np.log(self.predicted[kept]), np.log(self.measured[kept])
        return float(np.corrcoef(x, y)[0, 1]) if len(x) > 2 and np.ptp(x) > 0 and np.ptp(y) > 0 else None

    @property
    def explained(self) -> float | None:
        """R² of log losses around the mean of each target; None without any spread."""
        kept = np.isfinite(self.measured).any(0)
        log = np.log(self.measured[:, kept])
        around = float(np.nansum((log - np.nanmean(log, 0)) ** 2))
        return 1 - float(np.nansum(self.residual**2)) / around if around > 0 else None


def outcomes(laws: Laws, runs: Sequence[Run]) -> Outcomes:
    """Predictions for these runs beside what they gave."""
    measured = np.array([[run.loss.get(target, np.nan) for target in laws.targets] for run in runs])
    return Outcomes(laws.predict(draws_of(laws, runs)), measured)


def draws_of(laws: Laws, runs: Sequence[Run]) -> Array:
    """Draws of each run from each domain (N, K)."""
    return np.array([laws.array(run.draws) for run in runs])


def noise_of(laws: Laws) -> Array | None:
    """Deviation of log losses around the law of each target (T,), given what was fitted; None if not recorded."""
    told = [law.diagnostics for law in laws.targets.values()]
    if not all("noise" in each and "n" in each for each in told):
        return None
    form, own = laws.layout.form, laws.own
    held = sum(np.isfinite(fixed).sum(1) for one in form.local if (fixed := form.held(one.name, own)) is not None)
    count = np.array([each["n"] for each in told], float)
    left = np.maximum(count - laws.local.shape[1] + held, 0.2 * count)
    deviation: Array = np.array([each["noise"] for each in told]) * np.sqrt(count / left)
    return np.maximum(deviation, _LEAST)


def places(laws: Laws, runs: Sequence[Run]) -> Array | None:
    """Where each measured loss lies in its predicted distribution, 0 to 1; None without a bootstrap or noise."""
    noise = noise_of(laws)
    if laws.resampled is None or noise is None or not runs:
        return None
    predicted = np.log(laws.resampled.predict(draws_of(laws, runs)))  # (M, T, N)
    measured = np.log(outcomes(laws, runs).measured.T)  # (T, N)
    place = ndtr((measured - predicted) / noise[:, None]).mean(0)
    found: Array = place[np.isfinite(measured)]
    return found


def coverage(place: Array) -> list[float]:
    """What part of the losses lies inside the intervals of `LEVELS`."""
    return [float(np.mean(np.abs(place - 0.5) <= level / 2)) for level in LEVELS]

"""Repeated data on real language-model runs: the published constants reproduced, and how well they are known.

    L = E + A / N'^alpha + B / D'^beta      D' = U + U R*_D (1 - exp(-R_D / R*_D)),  R_D = D / U - 1; N' alike

with E, A, B, alpha and beta as published; N' counts parameters beyond those that are best for the unique data.
Muennighoff et al., "Scaling Data-Constrained Language Models", arXiv 2305.16264. `tools.forms` has the same S(D) with
lambda = 1 / R*_D.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from benchmarks.laws.tables import repeated_runs

Array = NDArray[np.float64]
PUBLISHED = (15.387756, 5.309743)
ALSO = 47.0
"""Where another study finds the objective slightly lower."""
A, B, E = np.exp([6.255414, 7.3049974, 0.6254804])
ALPHA = 0.3526596
HUBER = 1e-3


def log_losses(runs: dict[str, Array], stars: Array) -> Array:
    """Log of the predicted loss of each run for R*_D and R*_N."""
    tokens = np.minimum(runs["unique_tokens"], runs["tokens"])
    best = (ALPHA * A / (ALPHA * B)) ** (1 / ALPHA) * tokens  # parameters that suit so many tokens: exponents are equal
    size = np.minimum(runs["params"], best)
    repeats, excess = runs["tokens"] / tokens - 1, runs["params"] / size - 1
    data = tokens * (1 + stars[0] * -np.expm1(-np.maximum(repeats, 0) / stars[0]))
    parameters = size * (1 + stars[1] * -np.expm1(-np.maximum(excess, 0) / stars[1]))
    losses: Array = np.log(E + A / parameters**ALPHA + B / data**ALPHA)
    return losses


def repetition(path: Path, samples: int = 400) -> list[list[object]]:
    """Rows: R², objective of the published constants and of ours, and the interval of R*_D over resampled runs."""
    runs = repeated_runs(path)
    measured = np.log(runs["val_loss"])
    ours = _fit(runs, measured, np.ones(len(measured)))
    rng = np.random.default_rng(0)
    count = len(measured)
    drawn = [
        _fit(runs, measured, rng.multinomial(count, np.full(count, 1 / count)).astype(float)) for _ in range(samples)
    ]
    low, high = np.percentile([stars[0] for stars in drawn], [5, 95])
    rows: list[list[object]] = [
        [name, float(stars[0]), float(stars[1]), _r2(runs, stars), _objective(runs, measured, stars)]
        for name, stars in (("published", np.array(PUBLISHED)), ("ours", ours))
    ]
    holds = "yes" if low <= PUBLISHED[0] and high >= ALSO else "no"
    return [*rows, [f"90 % interval of R*_D: {low:.1f} to {high:.1f}; holds 15.4 and 47: {holds}", *[None] * 4]]


def _fit(runs: dict[str, Array], measured: Array, weight: Array) -> Array:
    """R*_D and R*_N of the lowest Huber objective, of logarithms from three starts."""
    used = weight > 0
    root = np.sqrt(weight[used])
    some = {name: column[used] for name, column in runs.items()}

    def residual(logs: Array) -> Array:
        return (log_losses(some, np.exp(logs)) - measured[used]) * root

    box = (np.log([0.5, 0.5]), np.log([1e3, 1e3]))
    starts = np.log([[15.4, 5.3], [47.0, 2.3], [5.0, 20.0]])
    found = [least_squares(residual, start, loss="huber", f_scale=HUBER, bounds=box) for start in starts]
    return np.exp(min(found, key=lambda one: one.cost).x)


def _r2(runs: dict[str, Array], stars: Array) -> float:
    loss = runs["val_loss"]
    return float(1 - ((np.exp(log_losses(runs, stars)) - loss) ** 2).sum() / ((loss - loss.mean()) ** 2).sum())


def _objective(runs: dict[str, Array], measured: Array, stars: Array) -> float:
    off = np.abs(log_losses(runs, stars) - measured)
    return float(np.where(off <= HUBER, off**2 / 2, HUBER * (off - HUBER / 2)).sum())

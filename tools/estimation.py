"""Fits by the hundred: of all targets, from several starts, robustly, with a bootstrap.

Least squares on the logarithm of the loss (so that every budget weighs alike), within bounds, from a few starts that
are always the same; with all targets together where they share parameters; then with Huber's loss at 1.5 times the
median absolute deviation of the residuals, so that a run gone astray does not bend the law. The bootstrap draws runs
with replacement and fits again from the fit; runs of one draw and another seed are runs like any other.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tools.forms.form import Array
from tools.forms.layout import Layout
from tools.laws import Samples
from tools.least_squares import EXACT, Problem, Solved, least_squares
from tools.observations import Observations, free_parameters

REFITS = 3
"""Robust fits, each with the noise that the one before has left."""
NOISE = 0.02
"""Deviation of log losses that is assumed until it is measured."""
NORMAL = 1.4826
"""Standard deviation of a normal distribution, in median absolute deviations."""
_AT_ONCE = 1 << 22
"""Numbers in a derivative that are held at once."""
_SAMPLES_AT_ONCE = 25
_NOTHING = (np.empty(0), np.empty(0), np.empty(0), np.empty(0))


@dataclass(frozen=True)
class Estimate:
    """Parameters (T, P) and (G,), Huber's width and the deviation of log residuals (T, 1), and how much worse each
    target's worst start ended (T,).
    """

    local: Array
    shared: Array
    width: Array
    noise: Array
    spread: Array


@dataclass(frozen=True)
class _Task:
    """What is fitted, how: weights of observations (M, T, N) or (T, N), Huber's width and the noise (T, 1)."""

    seen: Observations
    layout: Layout
    weights: Array
    width: Array
    noise: Array
    tolerance: float = 1e-9


def estimate(seen: Observations, layout: Layout) -> Estimate:
    """The best fit over all starts, with all targets together where they share something, and refitted robustly."""
    starts = [layout.pack(start, len(seen.targets)) for start in layout.form.starts(seen.inputs, seen.loss, seen.own)]
    plain, noise = np.full((len(seen.targets), 1), np.inf), np.full((len(seen.targets), 1), NOISE)
    _, _, center, _ = layout.shared_box(0.0)
    task = _Task(seen, layout, np.isfinite(seen.loss).astype(float)[None], plain, noise, tolerance=1e-7)
    solved = _apart(task, np.stack(starts), np.tile(center, (len(starts), 1)))
    cost = solved.cost.reshape(len(starts), -1)  # (starts, T)
    best = cost.argmin(0)
    local = solved.local.reshape(len(starts), len(seen.targets), -1)[best, np.arange(len(best))]
    spread = (cost.max(0) - cost.min(0)) / np.maximum(cost.min(0), EXACT**2)
    shared, width = center, plain
    for _ in range(REFITS):
        noise = _noise(seen, layout, local, shared)
        width = np.where(noise > EXACT, 1.5 / NORMAL * noise, np.inf)
        refitted = _refit(replace(task, width=width, noise=noise, tolerance=1e-9), local, shared)
        local, shared = refitted[0][0], refitted[1][0]
    return Estimate(local, shared, width, noise, spread)


def bootstrap(seen: Observations, layout: Layout, found: Estimate, samples: int, *, seed: int = 0) -> Samples:
    """Fits to runs drawn with replacement, from the fit on, some at a time in threads."""
    count = seen.loss.shape[1]
    drawn = np.random.default_rng([seed, samples]).multinomial(count, np.full(count, 1 / count), samples)
    known = np.isfinite(seen.loss)
    pieces = [drawn[first : first + _SAMPLES_AT_ONCE] for first in range(0, samples, _SAMPLES_AT_ONCE)]

    def fitted(piece: Any) -> tuple[Array, Array]:
        weights = np.where(known, piece[:, None, :], 0.0)
        return _refit(_Task(seen, layout, weights, found.width, found.noise), found.local, found.shared)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        parts = list(threads.map(fitted, pieces))
    return Samples(*(np.concatenate([part[side] for part in parts]) for side in (0, 1)))


def residuals(seen: Observations, layout: Layout, local: Array, shared: Array) -> Array:
    """Log of predicted over measured losses (T, N), NaN where there is none."""
    values = layout.unpack(local[None], shared[None])
    predicted = layout.form.losses(values, seen.inputs, seen.own[None]).value[0]
    return np.where(np.isfinite(seen.loss), np.log(predicted) - _log(seen.loss), np.nan)


def _refit(task: _Task, local: Array, shared: Array) -> tuple[Array, Array]:
    """From one fit (T, P) and (G,) on, for every row of the weights: (M, T, P) and (M, G)."""
    count = len(task.weights)
    if len(shared):
        return _together(task, local, shared)
    starts = np.broadcast_to(local, (count, *local.shape))
    return _apart(task, starts, np.empty((count, 0))).local.reshape(starts.shape), np.empty((count, 0))


def _together(task: _Task, local: Array, shared: Array) -> tuple[Array, Array]:
    """All targets of a row of weights as one unit."""
    seen, layout, count = task.seen, task.layout, len(task.weights)
    problem = Problem(
        layout.log_losses(seen.inputs, _stack(seen.own, count)),
        _stack(_log(seen.loss), count),
        task.weights,
        _stack(task.width, count),
        *(_stack(side, count) for side in (*seen.box(layout), *_prior(layout, task.noise))),
        layout.shared_box(float(np.sqrt(np.mean(task.noise**2)))),
    )
    solved = least_squares(problem, _stack(local, count), _stack(shared, count), tolerance=task.tolerance)
    return solved.local, solved.shared


def _apart(task: _Task, starts: Array, shared: Array) -> Solved:
    """Every target of every start (M, T, P) as a unit of its own, with shared parameters (M, G) held."""
    seen, layout, (count, targets) = task.seen, task.layout, starts.shape[:2]
    weights = np.broadcast_to(task.weights, (count, *task.weights.shape[1:])).reshape(count * targets, 1, -1)
    held, rows = np.repeat(shared, targets, 0), np.tile(np.arange(targets), count)
    sides = [*seen.box(layout), *_prior(layout, task.noise)]
    model = layout.log_losses(seen.inputs, seen.own[rows][:, None])
    size = max(1, _AT_ONCE // (starts.shape[2] * weights.shape[-1]))
    parts = []
    for first in range(0, count * targets, size):
        piece = np.arange(first, min(first + size, count * targets))
        at = rows[piece]

        def of_piece(local: Array, none: Array, units: Any, piece: Any = piece) -> tuple[Array, Array, Array]:
            value, jacobian, _ = model(local, held[piece[units]], piece[units])
            return value, jacobian, np.empty((*value.shape, 0))

        seen_here = _log(seen.loss)[at][:, None]
        boxes = [side[at][:, None] for side in sides]
        problem = Problem(of_piece, seen_here, weights[piece], task.width[at][:, None], *boxes, _NOTHING)
        begin = starts.reshape(count * targets, 1, -1)[piece]
        parts.append(least_squares(problem, begin, np.empty((len(piece), 0)), tolerance=task.tolerance))
    names = ("local", "shared", "cost", "converged")
    return Solved(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _log(loss: Array) -> Array:
    logs: Array = np.log(np.where(np.isfinite(loss), loss, 1.0))
    return logs


def _stack(one: Array, count: int) -> Array:
    return np.broadcast_to(one, (count, *one.shape)).copy()


def _noise(seen: Observations, layout: Layout, local: Array, shared: Array) -> Array:
    """Deviation of log residuals, told from their median (T, 1), allowing for the parameters that were fitted."""
    off = residuals(seen, layout, local, shared)
    middle = np.nanmedian(off, 1, keepdims=True)
    count, fitted = np.isfinite(off).sum(1), free_parameters(seen, layout)
    fewer = np.sqrt(count / np.maximum(count - fitted, 0.2 * count))
    noise: Array = NORMAL * fewer[:, None] * np.nanmedian(np.abs(off - middle), 1, keepdims=True)
    return noise


def _prior(layout: Layout, noise: Array) -> tuple[Array, Array]:
    """Center and precision (T, P) for log residuals of this deviation (T, 1)."""
    center, spread = layout.prior()
    return np.tile(center, (len(noise), 1)), (noise / spread) ** 2

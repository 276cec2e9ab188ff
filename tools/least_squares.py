"""Bounded nonlinear least squares of many small problems at once: Levenberg-Marquardt on stacked arrays.

A unit is a group of targets that share some parameters; every target has others of its own. Bootstrap samples, folds,
starts and targets without shared parameters are all units, so a thousand fits are a few calls of NumPy's:

    minimize   1/2 sum w rho(value - seen) + 1/2 sum precision (parameter - center)^2   within the boxes

rho is the square, or Huber's loss, which goes on straight beyond `width`. A parameter on the edge of its box, with the
gradient pointing outward, is held for that step, and steps are cut at the box. The normal equations of a unit have
the shape of an arrow (a block a target, a border that is shared) and are solved by their Schur complement. Damping
follows H. B. Nielsen, "Damping parameter in Marquardt's method", 1999.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

EXACT = 1e-7
"""Residuals of this root mean square are rounding."""

Model = Callable[[Array, Array, Indices], tuple[Array, Array, Array]]
"""(local (U, T, P), shared (U, G), which units (U,)) -> value (U, T, N), its derivatives (U, T, N, P), (U, T, N, G)."""


@dataclass(frozen=True)
class Problem:
    """U units of T targets: all but the boxes and the prior of the shared parameters have those two axes first.

    `seen` (N), `weight` (N) with 0 where nothing was seen, `width` (1) of Huber's loss or infinity, `lower` and
    `upper` (P), and `center` and `precision` (P) of the prior. `shared` holds lower, upper, center and precision of
    the G shared parameters, each (G,).
    """

    model: Model
    seen: Array
    weight: Array
    width: Array
    lower: Array
    upper: Array
    center: Array
    precision: Array
    shared: tuple[Array, Array, Array, Array]

    def residuals(self, value: Array, units: Indices) -> Array:
        """Value less seen, 0 where nothing was seen."""
        return np.where(self.weight[units] > 0, value - self.seen[units], 0.0)


@dataclass(frozen=True)
class Solved:
    """Parameters (U, T, P) and (U, G), the cost of each unit (U,), and whether it stopped falling (U,)."""

    local: Array
    shared: Array
    cost: Array
    converged: NDArray[np.bool_]


@dataclass
class _Normal:
    """The normal equations at a point: blocks (U, T, P, P), border (U, T, P, G), corner (U, G, G), gradients, cost."""

    block: Array
    border: Array
    corner: Array
    slope: Array
    shared_slope: Array
    cost: Array

    def put(self, rows: NDArray[np.bool_], other: "_Normal") -> None:
        """Take over the rows of another."""
        for name, mine in vars(self).items():
            mine[rows] = getattr(other, name)[rows]

    def only(self, rows: NDArray[np.bool_]) -> "_Normal":
        """These rows alone."""
        return _Normal(**{name: mine[rows] for name, mine in vars(self).items()})


def least_squares(
    problem: Problem, local: Array, shared: Array, *, steps: int = 200, tolerance: float = 1e-9
) -> Solved:
    """Minimise every unit from its start, which is moved into the box.

    A unit has converged when a step promises less than `tolerance` of its cost, or when no step lowers it any more.
    """
    local = np.clip(local, problem.lower, problem.upper)
    shared = np.clip(shared, problem.shared[0], problem.shared[1])
    units = np.arange(len(local))
    now = _normal(problem, local, shared, units)
    cost, done = now.cost.copy(), np.zeros(len(local), bool)
    damping, growth = np.full(len(local), 1e-3), np.full(len(local), 2.0)
    enough = EXACT**2 * problem.weight.sum((1, 2))
    for _ in range(steps):
        step, shared_step, hoped = _step(problem, now, local[units], shared[units], damping, units)
        small = (hoped <= tolerance * now.cost) | (now.cost <= enough[units]) | (damping > 1e12)
        done[units[small]] = True
        if small.all():
            break
        if small.any():
            kept = ~small
            now, units, damping, growth = now.only(kept), units[kept], damping[kept], growth[kept]
            step, shared_step = step[kept], shared_step[kept]
        promised = _promised(now, step, shared_step)
        there = _normal(problem, local[units] + step, shared[units] + shared_step, units)
        gained = (now.cost - there.cost) / np.maximum(promised, 1e-300)
        better = (promised > 0) & (gained > 1e-4)
        local[units[better]] += step[better]
        shared[units[better]] += shared_step[better]
        now.put(better, there)
        cost[units] = now.cost
        trust = np.maximum(1 / 3, 1 - (2 * np.clip(gained, 0, 2) - 1) ** 3)
        damping = np.maximum(damping * np.where(better, trust, growth), 1e-12)
        growth = np.where(better, 2.0, 2 * growth)
    return Solved(local, shared, cost, done)


def huber(residuals: Array, width: Array) -> tuple[Array, Array]:
    """Huber's loss, the square within `width` and straight beyond it, and the weight that its slope amounts to."""
    size = np.abs(residuals)
    with np.errstate(invalid="ignore"):
        loss = np.where(size <= width, size**2, 2 * width * size - width**2)
    return loss, np.where(size <= width, 1.0, width / np.maximum(size, 1e-300))


def _normal(problem: Problem, local: Array, shared: Array, units: Indices) -> _Normal:
    _, _, center, precision = problem.shared
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        value, jacobian, shared_jacobian = problem.model(local, shared, units)
        residuals = problem.residuals(value, units)
        loss, pull = huber(residuals, problem.width[units])
        weight = problem.weight[units] * pull
        away, held = local - problem.center[units], problem.precision[units]
        cost = 0.5 * (problem.weight[units] * loss).sum((1, 2)) + 0.5 * (held * away**2).sum((1, 2))
        cost += 0.5 * (precision * (shared - center) ** 2).sum(1)
    cost = np.where(np.isfinite(cost), cost, np.inf)
    bad = ~np.isfinite(cost)
    weighted = np.where(bad[:, None, None, None], 0.0, jacobian * weight[..., None]).swapaxes(-1, -2)  # (U, T, P, N)
    residuals = np.where(bad[:, None, None], 0.0, residuals)
    if bad.any():
        jacobian, shared_jacobian = np.nan_to_num(jacobian), np.nan_to_num(shared_jacobian)
    pulled = np.where(bad[:, None, None], 0.0, weight)[..., None] * shared_jacobian
    corner = (pulled.swapaxes(-1, -2) @ shared_jacobian).sum(1)
    return _Normal(
        weighted @ jacobian + held[..., None] * np.eye(local.shape[-1]),
        weighted @ shared_jacobian,
        corner + precision * np.eye(len(precision)),
        (weighted @ residuals[..., None])[..., 0] + held * away,
        (pulled * residuals[..., None]).sum((1, 2)) + precision * (shared - center),
        cost,
    )


def _step(
    problem: Problem, now: _Normal, local: Array, shared: Array, damping: Array, units: Indices
) -> tuple[Array, Array, Array]:
    """The damped step of every unit, cut at its box, and by how much the cost would fall if it were not cut."""
    lower, upper = problem.lower[units], problem.upper[units]
    low, high = problem.shared[:2]
    free, shared_free = _free(local, now.slope, lower, upper), _free(shared, now.shared_slope, low, high)
    scale, shared_scale = _scale(now.block) * free, _scale(now.corner) * shared_free
    count, shared_count = local.shape[-1], shared.shape[-1]
    mu = damping[:, None, None, None]
    block = now.block * scale[..., :, None] * scale[..., None, :]
    block += np.eye(count) * np.where(free, mu[..., 0] + 1e-12, 1.0)[..., None]
    right = -(now.slope * scale)[..., None]
    if shared_count:
        border = now.border * scale[..., None] * shared_scale[:, None, None, :]
        both = np.linalg.solve(block, np.concatenate([right, border], -1))
        inner, across = both[..., :1], both[..., 1:]
        corner = now.corner * shared_scale[:, :, None] * shared_scale[:, None, :]
        corner += np.eye(shared_count) * np.where(shared_free, mu[..., 0, 0] + 1e-12, 1.0)[..., None]
        corner -= (border.swapaxes(-1, -2) @ across).sum(1)
        shared_right = -(now.shared_slope * shared_scale)[..., None] - (border.swapaxes(-1, -2) @ inner).sum(1)
        outer = np.linalg.solve(corner, shared_right)  # (U, G, 1)
        inner = inner - across @ outer[:, None]
        shared_step = outer[..., 0] * shared_scale
    else:
        inner, shared_step = np.linalg.solve(block, right), np.zeros_like(shared)
    step = inner[..., 0] * scale
    hoped = -0.5 * ((now.slope * step * free).sum((1, 2)) + (now.shared_slope * shared_step * shared_free).sum(1))
    step = np.clip(local + step, lower, upper) - local
    shared_step = np.clip(shared + shared_step, low, high) - shared
    return step, shared_step, hoped


def _promised(now: _Normal, step: Array, shared_step: Array) -> Array:
    """The fall of the cost that the quadratic model promises for a step; below 0 where cutting it has spoilt it."""
    across = step[..., None, :] @ now.border @ shared_step[:, None, :, None]
    bend = 0.5 * (step[..., None, :] @ now.block @ step[..., None])[..., 0, 0] + across[..., 0, 0]
    corner = 0.5 * (shared_step[:, None, :] @ now.corner @ shared_step[..., None])[:, 0, 0]
    fall: Array = -((now.slope * step).sum(-1) + bend).sum(1) - (now.shared_slope * shared_step).sum(1) - corner
    return fall


def _free(place: Array, slope: Array, lower: Array, upper: Array) -> Array:
    """1 where a parameter may move, 0 where its box holds it."""
    held = (lower == upper) | ((place <= lower) & (slope > 0)) | ((place >= upper) & (slope < 0))
    return (~held).astype(float)


def _scale(block: Array) -> Array:
    """What makes the diagonal 1; parameters that nothing depends on are left as they are."""
    diagonal = np.diagonal(block, axis1=-2, axis2=-1)
    most = diagonal.max(-1, keepdims=True, initial=0.0)
    return np.where(diagonal > 1e-14 * most, 1 / np.sqrt(np.maximum(diagonal, 1e-300)), 0.0)

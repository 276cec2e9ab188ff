"""The mixture that the laws promise the lowest loss for, and who helps whom at it.

    minimize sum_i w_i L_i(p B)   over   sum p = 1,   floor <= p_j <= cap_j

The problem is convex (see `tools.laws`), so one start, at the uniform mixture, finds the only minimum. With
p = floor + (1 - K floor) q the floor holds exactly. SLSQP gets the analytic gradient of the part of the loss
that draws can remove, in units of its value at the uniform mixture. The answer is then certified, whatever
the solver says about itself: for a convex F no allowed mixture v is better than F(p) - max_v F'(p).(p - v).
The maximum is the Frank-Wolfe gap; the v that attains it fills the domains up in the order of their gradient.

A plan is only as good as its laws. The floor insures against their error where a domain would get nothing, and
budgets far from the fitted ones are extrapolation.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from mixio.errors import AllocationError, InvalidArgument
from tools.laws import Array, Laws

ISLAND = 0.2
"""A domain that gets less than this part of its effective draws from others is an island."""


@dataclass(frozen=True)
class Solution:
    """An optimal mixture.

    `objective` and `uniform_objective` are the weighted mean losses predicted for it and for the uniform
    mixture, `losses` and `uniform_losses` those of each target. `gap` is a proven bound: no allowed mixture is
    predicted to be better by more than this part of the objective.
    """

    shares: dict[str, float]
    objective: float
    uniform_objective: float
    gap: float
    losses: dict[str, float]
    uniform_losses: dict[str, float]


@dataclass(frozen=True)
class Role:
    """What a domain gives and takes.

    `outgoing` is the sum of what one draw of it is worth to every other target, `incoming` the sum of what one
    draw of every other is worth to it, `self_reliance` the part of its effective draws that are its own.
    `label`: a hub gives more than it takes and more than the average domain; an island is no hub and gets less
    than a fifth of its effective draws from others; "" is neither.
    """

    outgoing: float
    incoming: float
    self_reliance: float
    label: str


def solve(
    laws: Laws,
    budget: float,
    *,
    floor: float = 0.05,
    weights: Mapping[str, float] | None = None,
    caps: Mapping[str, float] | None = None,
) -> Solution:
    """The best shares for `budget` draws in all.

    `weights` say how much each target's loss counts (default: all alike; those left out count 0), `caps` the
    largest share a domain may get (default 1). Raises `AllocationError` if no mixture obeys floor and caps.
    """
    if not 0 < budget < np.inf:
        raise InvalidArgument(f"budget must be a positive number of draws, got {budget}")
    weight = _weights(laws, weights)
    low, high = _box(laws.domains, floor, caps or {})
    share = _minimize(laws, budget, weight, low, high)
    uniform = np.full(len(share), 1 / len(share))
    losses, even = laws.predict(share * budget), laws.predict(uniform * budget)
    return Solution(
        dict(zip(laws.domains, share.tolist(), strict=True)),
        float(weight @ losses),
        float(weight @ even),
        _gap(weight @ laws.gradient(share * budget) * budget, share, low, high) / float(weight @ losses),
        dict(zip(laws.targets, losses.tolist(), strict=True)),
        dict(zip(laws.targets, even.tolist(), strict=True)),
    )


def structure(laws: Laws, shares: Mapping[str, float], budget: float) -> dict[str, Role]:
    """The role of each target when `budget` draws are given out in these shares, with the rules of `Role`."""
    draws = laws.array(shares) * budget
    effective = laws.effective(draws)
    own = np.array([laws.domains.index(target) for target in laws.targets])
    given = laws.transfer.sum(0) - np.isin(np.arange(len(draws)), own)  # (K,)
    taken = laws.transfer.sum(1) - 1  # (T,)
    others = (laws.transfer @ draws - draws[own]) / effective  # (T,)
    roles = {}
    for row, (name, column) in enumerate(zip(laws.targets, own, strict=True)):
        hub = given[column] > max(taken[row], given.mean())
        label = "hub" if hub else "island" if others[row] < ISLAND else ""
        alone = draws[column] / effective[row]
        roles[name] = Role(float(given[column]), float(taken[row]), float(alone), label)
    return roles


def _weights(laws: Laws, weights: Mapping[str, float] | None) -> Array:
    """Weights of the targets (T,), summing to 1."""
    given = dict.fromkeys(laws.targets, 1.0) if weights is None else weights
    if unknown := sorted(set(given) - set(laws.targets)):
        raise InvalidArgument(f"weights for {unknown}, but the laws have the targets {list(laws.targets)}")
    weight = np.array([given.get(target, 0.0) for target in laws.targets], float)
    if not (np.isfinite(weight).all() and weight.min() >= 0 and weight.sum() > 0):
        raise InvalidArgument(f"weights must be finite, not negative and not all zero, got {dict(given)}")
    return weight / weight.sum()


def _box(domains: tuple[str, ...], floor: float, caps: Mapping[str, float]) -> tuple[Array, Array]:
    """The smallest and largest share of each domain (K,), or an error that says what to change."""
    if unknown := sorted(set(caps) - set(domains)):
        raise InvalidArgument(f"caps for {unknown}, but the laws have the domains {list(domains)}")
    count = len(domains)
    if not 0 <= floor <= 1 / count:
        raise AllocationError(
            f"a floor of {floor:g} for each of {count} domains needs {floor * count:g} of the budget; "
            f"it must lie between 0 and {1 / count:.4g}"
        )
    low, high = np.full(count, float(floor)), np.array([min(caps.get(name, 1.0), 1.0) for name in domains])
    for name, cap in zip(domains, high, strict=True):
        if not cap >= floor:
            raise AllocationError(
                f"the cap of {name!r} is {cap:g}, which is {floor - cap:.4g} below the floor of {floor:g}"
            )
    if high.sum() < 1 - 1e-12:
        raise AllocationError(
            f"the caps of {', '.join(domains)} add up to {high.sum():.4g}, {1 - high.sum():.4g} short of 1"
        )
    return low, high


def _minimize(laws: Laws, budget: float, weight: Array, low: Array, high: Array) -> Array:
    """Shares (K,) of the minimum, exactly inside [low, high] and summing to 1 but for rounding."""
    count, spare = len(low), 1 - low.sum()
    if spare < 1e-12:
        return low / low.sum()
    constant = float(weight @ laws.curves[0])
    unit = float(weight @ laws.predict(np.full(count, budget / count))) - constant

    def removable(q: Array) -> tuple[float, Array]:
        draws = (low + spare * q) * budget
        value = float(weight @ laws.predict(draws)) - constant
        return value / unit, weight @ laws.gradient(draws) * budget * spare / unit

    upper = (high - low) / spare
    answer = minimize(
        removable,
        np.full(count, 1 / count),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, cap) for cap in upper],
        constraints={"type": "eq", "fun": lambda q: q.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-15, "maxiter": 500},
    )
    q = np.clip(answer.x, 0, upper)
    return low + spare * q / q.sum()


def _gap(slope: Array, share: Array, low: Array, high: Array) -> float:
    """max over allowed v of slope.(share - v): the best v gives all it may to the steepest descent first."""
    best, left = low.copy(), 1 - low.sum()
    for j in np.argsort(slope):
        more = min(left, high[j] - low[j])
        best[j] += more
        left -= more
    return float(slope @ (share - best))

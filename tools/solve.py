"""The mixture that the laws promise the lowest loss for.

    minimize sum_i w_i L_i(p B)   over   sum p = 1,   floor <= p_j <= cap_j

or the largest w_i L_i (minimax), or the mean over the laws of a bootstrap (robust). For convex forms (see
`tools.forms`) one start, at the uniform mixture, finds the only minimum; others are tried from every domain. With
p = floor + (1 - K floor) q the floor holds exactly. SLSQP gets the analytic gradient, in units of the objective at the
uniform mixture. The answer is then certified, whatever the solver says about itself: a convex F is nowhere below its
tangent, so no allowed mixture v is better than F(p) - max_v F'(p).(p - v). That maximum is the Frank-Wolfe gap, and
the v that attains it fills the domains up in the order of their gradient; for minimax it is a linear program.

A plan is only as good as its laws. The floor insures against their error where a domain would get nothing, and
budgets far from the fitted ones are extrapolation.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog, minimize

from mixio.errors import AllocationError, InvalidArgument
from tools.forms.form import Array
from tools.laws import Curves, Laws


@dataclass(frozen=True)
class Solution:
    """An optimal mixture.

    `objective` and `uniform_objective` are what is predicted for it and for the uniform mixture (the weighted mean of
    losses, or the largest), `losses` and `uniform_losses` those of each target. `gap` is a proven bound where the law
    is convex: no allowed mixture is predicted to be better by more than this part of the objective.
    """

    shares: dict[str, float]
    objective: float
    uniform_objective: float
    gap: float
    losses: dict[str, float]
    uniform_losses: dict[str, float]


@dataclass(frozen=True)
class Terms:
    """Shares from `low` to `high` (K,) that a mixture must have; a mean or the largest, by weights (T,), counts."""

    low: Array
    high: Array
    weight: Array
    minimax: bool = False

    @property
    def measured(self) -> str:
        """What the objective is, in words."""
        return "largest weighted loss" if self.minimax else "mean loss"

    def of(self, losses: Array) -> Array:
        """The objective of losses (..., T)."""
        largest: Array = (losses * self.weight).max(-1) if self.minimax else losses @ self.weight
        return largest


def solve(
    laws: Laws,
    budget: float,
    *,
    floor: float = 0.05,
    weights: Mapping[str, float] | None = None,
    caps: Mapping[str, float] | None = None,
    minimax: bool = False,
    robust: bool = False,
) -> Solution:
    """The best shares for `budget` draws in all.

    `weights` say how much each target's loss counts (default: all alike; those left out count 0), `caps` the
    largest share a domain may get (default 1). `minimax` makes the largest weighted loss as small as can be, in place
    of their mean; `robust` takes the mean over the laws' bootstrap samples. Raises `AllocationError` if no mixture
    obeys floor and caps.
    """
    if not 0 < budget < np.inf:
        raise InvalidArgument(f"budget must be a positive number of draws, got {budget}")
    terms = terms_of(laws, floor=floor, weights=weights, caps=caps, minimax=minimax)
    curves = laws.curves
    if robust:
        if laws.resampled is None:
            raise InvalidArgument("these laws have no bootstrap samples to be robust over; fit them with --samples 200")
        curves = laws.resampled
    share, gap = best_shares(curves, budget, terms)
    uniform = np.full(len(share), 1 / len(share))
    losses, even = laws.predict(share * budget), laws.predict(uniform * budget)
    return Solution(
        dict(zip(laws.domains, share.tolist(), strict=True)),
        float(terms.of(losses)),
        float(terms.of(even)),
        gap,
        dict(zip(laws.targets, losses.tolist(), strict=True)),
        dict(zip(laws.targets, even.tolist(), strict=True)),
    )


def terms_of(
    laws: Laws,
    *,
    floor: float = 0.05,
    weights: Mapping[str, float] | None = None,
    caps: Mapping[str, float] | None = None,
    minimax: bool = False,
) -> Terms:
    """Floor, caps and weights by name as arrays, checked."""
    return Terms(*_box(laws.domains, floor, caps or {}), _weights(laws, weights, minimax), minimax)


def best_shares(curves: Curves, budget: float, terms: Terms) -> tuple[Array, float]:
    """Shares (K,) of the lowest objective, averaged over the sets of `curves`, and the gap as a part of it."""
    starts = [terms.low + (terms.high - terms.low) * _spare(terms)]
    if not curves.form.convex:
        starts += [_filled(terms, np.where(np.arange(len(terms.low)) == j, -1.0, 0.0)) for j in range(len(terms.low))]
    found = [_minimize(curves, budget, terms, start) for start in starts]
    share = min(found, key=lambda one: _objective(curves, budget, terms, one)[0])
    return share, _gap(curves, budget, terms, share)


def _weights(laws: Laws, weights: Mapping[str, float] | None, minimax: bool) -> Array:
    """Weights of the targets (T,), summing to 1 where they are those of a mean."""
    given = dict.fromkeys(laws.targets, 1.0) if weights is None else weights
    if unknown := sorted(set(given) - set(laws.targets)):
        raise InvalidArgument(f"weights for {unknown}, but the laws have the targets {list(laws.targets)}")
    weight = np.array([given.get(target, 0.0) for target in laws.targets], float)
    if not (np.isfinite(weight).all() and weight.min() >= 0 and weight.sum() > 0):
        raise InvalidArgument(f"weights must be finite, not negative and not all zero, got {dict(given)}")
    scaled: Array = weight if minimax else weight / weight.sum()
    return scaled


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


def _spare(terms: Terms) -> float:
    """How far between low and high a mixture lies that sums to 1."""
    room = float((terms.high - terms.low).sum())
    return (1 - float(terms.low.sum())) / room if room > 0 else 0.0


def _objective(curves: Curves, budget: float, terms: Terms, share: Array) -> tuple[float, Array]:
    """The mean objective over the sets of curves, and its derivative by the shares (K,)."""
    draws = (share * budget)[None]
    losses = curves.predict(draws)[:, :, 0]  # (U, T)
    slope = curves.slope(draws)[:, :, 0] * budget  # (U, T, K)
    if terms.minimax:
        worst = (losses * terms.weight).argmax(-1)
        chosen = np.take_along_axis(slope, worst[:, None, None], 1)[:, 0] * terms.weight[worst][:, None]
        return float(terms.of(losses).mean()), chosen.mean(0)
    return float(terms.of(losses).mean()), (terms.weight @ slope.mean(0))


def _minimize(curves: Curves, budget: float, terms: Terms, start: Array) -> Array:
    """Shares (K,) of the minimum, exactly inside [low, high] and summing to 1 but for rounding."""
    low, spare = terms.low, 1 - float(terms.low.sum())
    if spare < 1e-12 or not (terms.high > low).any():
        return low / low.sum()
    upper = (terms.high - low) / spare
    uniform = np.full(len(low), 1 / len(low))
    if terms.minimax:
        q = _smallest_largest(curves, budget, terms, start)
    else:
        constant, slope = _objective(curves, budget, terms, uniform)
        unit = max(float(np.ptp(slope)), 1e-9 * constant)

        def scaled(q: Array) -> tuple[float, Array]:
            value, slope = _objective(curves, budget, terms, low + spare * q)
            return (value - constant) / unit, slope * spare / unit

        answer = minimize(
            scaled,
            (start - low) / spare,
            jac=True,
            method="SLSQP",
            bounds=[(0.0, cap) for cap in upper],
            constraints={"type": "eq", "fun": lambda q: q.sum() - 1, "jac": np.ones_like},
            options={"ftol": 1e-13, "maxiter": 500},
        )
        q = answer.x
    q = np.clip(q, 0, upper)
    shares: Array = low + spare * q / q.sum()
    return np.minimum(shares, terms.high)


def _smallest_largest(curves: Curves, budget: float, terms: Terms, start: Array) -> Array:
    """q of the smallest bound on every weighted loss, averaged over the sets: the bounds are variables too."""
    low, spare, count = terms.low, 1 - float(terms.low.sum()), len(terms.low)
    first = curves.predict((start * budget)[None])[:, :, 0] * terms.weight
    unit, sets = float(first.max()), len(first)

    def room(x: Array) -> Array:
        losses = curves.predict(((low + spare * x[:count]) * budget)[None])[:, :, 0]
        slack: Array = x[count:, None] - losses * terms.weight / unit
        return slack.ravel()

    def room_slope(x: Array) -> Array:
        slope = curves.slope(((low + spare * x[:count]) * budget)[None])[:, :, 0] * budget * spare
        by_share = -(slope * terms.weight[:, None] / unit).reshape(-1, count)
        return np.concatenate([by_share, np.repeat(np.eye(sets), len(terms.weight), 0)], 1)

    toward = np.concatenate([np.zeros(count), np.full(sets, 1 / sets)])
    answer = minimize(
        lambda x: float(x[count:].mean()),
        np.concatenate([(start - low) / spare, first.max(1) / unit]),
        jac=lambda x: toward,
        method="SLSQP",
        bounds=[(0.0, cap) for cap in (terms.high - low) / spare] + [(None, None)] * sets,
        constraints=[
            {"type": "eq", "fun": lambda x: x[:count].sum() - 1, "jac": lambda x: np.arange(len(x)) < count},
            {"type": "ineq", "fun": room, "jac": room_slope},
        ],
        options={"ftol": 1e-13, "maxiter": 500},
    )
    found: Array = answer.x[:count]
    return found


def _filled(terms: Terms, slope: Array) -> Array:
    """The allowed mixture of the lowest slope.v: all that may be given goes to the steepest descent first."""
    best, left = terms.low.copy(), 1 - float(terms.low.sum())
    for j in np.argsort(slope, kind="stable"):
        more = min(left, terms.high[j] - terms.low[j])
        best[j] += more
        left -= more
    return best


def _gap(curves: Curves, budget: float, terms: Terms, share: Array) -> float:
    """How much lower an allowed mixture's objective might be, by the tangents at `share`, as a part of it."""
    value, slope = _objective(curves, budget, terms, share)
    if not terms.minimax:
        return max(float(slope @ (share - _filled(terms, slope))), 0.0) / abs(value)
    draws = (share * budget)[None]
    losses = curves.predict(draws)[:, :, 0] * terms.weight  # (U, T)
    tangent = curves.slope(draws)[:, :, 0] * budget * terms.weight[:, None]  # (U, T, K)
    sets, targets, count = tangent.shape
    sign = np.repeat(np.eye(sets), targets, 0)
    lowest = linprog(
        np.concatenate([np.zeros(count), np.full(sets, 1 / sets)]),
        A_ub=np.concatenate([tangent.reshape(-1, count), -sign], 1),
        b_ub=(tangent @ share - losses).ravel(),
        A_eq=np.concatenate([np.ones(count), np.zeros(sets)])[None],
        b_eq=[1.0],
        bounds=[*zip(terms.low, terms.high, strict=True), *[(None, None)] * sets],
    )
    return max(value - float(lowest.fun), 0.0) / abs(value)

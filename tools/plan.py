"""The plan of a report solved again: at other budgets and floors, and under the laws of a bootstrap.

The allocation's provenance says what it was solved with (floor, weights, caps, minimax), as tools.allocate writes it;
one without counts every target alike, with a floor of 5 %, or the whole of an equal share where that is less.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tools.evidence import BASELINE, Evidence
from tools.forms.form import Array
from tools.laws import COVERED, Curves
from tools.solve import Terms, best_shares, terms_of

FLOOR = 0.05
SAMPLES = 100
"""So many bootstrap samples are solved for an interval of shares."""
RANGE = (0.25, 16.0)
"""The budgets shown, in units of the largest fitted one."""


@dataclass(frozen=True)
class Plan:
    """What is asked for: `budget` draws, and the terms of the mixture, whose lowest shares are `floor`."""

    budget: float
    floor: float
    highest: float
    terms: Terms

    def at(self, floor: float) -> Terms:
        """The same terms with another floor."""
        return replace(self.terms, low=np.full(len(self.terms.low), floor))


def plan_of(evidence: Evidence) -> Plan:
    """What the allocation was solved for."""
    told: Mapping[str, Any] = evidence.allocation.provenance or {}
    caps, count = told.get("caps") or {}, len(evidence.laws.domains)
    highest = min([1 / count, *caps.values()])
    floor = told.get("floor")
    floor = min(FLOOR if floor is None else float(floor), highest)
    minimax = bool(told.get("minimax"))
    terms = terms_of(evidence.laws, floor=floor, weights=told.get("weights"), caps=caps, minimax=minimax)
    return Plan(evidence.budget, floor, highest, terms)


def by_budget(evidence: Evidence, plan: Plan, budgets: Sequence[float] | Array) -> Array:
    """The best shares at each budget (N, K)."""
    return np.array([best_shares(evidence.laws.curves, budget, plan.terms)[0] for budget in budgets])


def by_floor(evidence: Evidence, plan: Plan, floors: Sequence[float] | Array) -> Array:
    """The best shares under each floor (N, K)."""
    return np.array([best_shares(evidence.laws.curves, plan.budget, plan.at(floor))[0] for floor in floors])


def by_sample(evidence: Evidence, plan: Plan) -> Array | None:
    """The best shares under each of the first bootstrap samples (M, K); None without a bootstrap."""
    curves = evidence.laws.resampled
    if curves is None or evidence.laws.samples is None:
        return None
    count = min(SAMPLES, len(evidence.laws.samples.local))
    return np.array([best_shares(curves.only([m]), plan.budget, plan.terms)[0] for m in range(count)])


def baseline_of(evidence: Evidence) -> tuple[str, Array]:
    """What the plan is measured against: the trial's proportional mixture, else the uniform one."""
    for strategy in evidence.trial.strategies if evidence.trial else []:
        if strategy.name == BASELINE:
            return BASELINE, evidence.laws.array(strategy.shares)
    return "uniform", np.full(len(evidence.laws.domains), 1 / len(evidence.laws.domains))


def means(curves: Curves, plan: Plan, shares: Array, budgets: Sequence[float] | Array) -> Array:
    """What counts of the predicted losses, of shares (K,) at each budget under each set of curves (U, N)."""
    losses = curves.predict(np.multiply.outer(np.asarray(budgets, float), shares))  # (U, T, N)
    return plan.terms.of(losses.swapaxes(1, 2))


def gain_interval(evidence: Evidence, plan: Plan) -> tuple[float, float, float] | None:
    """How much lower the plan's loss is than the baseline's, as a part of it, and the ends of its interval."""
    if evidence.laws.resampled is None:
        return None
    _, other = baseline_of(evidence)
    shares, budgets = evidence.laws.array(evidence.allocation.shares), [plan.budget]
    told = [
        1 - (means(curves, plan, shares, budgets) / means(curves, plan, other, budgets))[:, 0]
        for curves in (evidence.laws.curves, evidence.laws.resampled)
    ]
    tail = 50 * (1 - COVERED)
    low, high = np.percentile(told[1], [tail, 100 - tail])
    return float(told[0][0]), float(low), float(high)


def same_loss(evidence: Evidence, plan: Plan) -> float | None:
    """How many times the budget the baseline needs for the plan's loss; None where a thousand times do not do."""
    _, other = baseline_of(evidence)
    shares, curves = evidence.laws.array(evidence.allocation.shares), evidence.laws.curves
    aim = float(means(curves, plan, shares, [plan.budget])[0, 0])
    ratios = np.geomspace(1e-3, 1e3, 6001)
    reached = means(curves, plan, other, plan.budget * ratios)[0] <= aim
    return float(ratios[reached.argmax()]) if reached.any() else None

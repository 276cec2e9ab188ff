"""The plan of a report solved again: at other budgets and floors, and under the laws of a bootstrap.

The allocation's provenance says what it was solved with (floor, weights, caps), as tools.allocate writes it; one
without counts every target alike, with a floor of 5 %, or the whole of an equal share where that is less.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tools.evidence import Evidence
from tools.forms.form import Array
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
    told: dict[str, Any] = evidence.allocation.provenance or {}
    caps, count = told.get("caps") or {}, len(evidence.laws.domains)
    highest = min([1 / count, *caps.values()])
    floor = told.get("floor")
    floor = min(FLOOR if floor is None else float(floor), highest)
    terms = terms_of(evidence.laws, floor=floor, weights=told.get("weights"), caps=caps)
    return Plan(evidence.budget, floor, highest, terms)


def by_budget(evidence: Evidence, plan: Plan, budgets: Sequence[float]) -> Array:
    """The best shares at each budget (N, K)."""
    return np.array([best_shares(evidence.laws.curves, budget, plan.terms)[0] for budget in budgets])


def by_floor(evidence: Evidence, plan: Plan, floors: Sequence[float]) -> Array:
    """The best shares under each floor (N, K)."""
    return np.array([best_shares(evidence.laws.curves, plan.budget, plan.at(floor))[0] for floor in floors])


def by_sample(evidence: Evidence, plan: Plan) -> Array | None:
    """The best shares under each of the first bootstrap samples (M, K); None without a bootstrap."""
    curves = evidence.laws.resampled
    if curves is None or evidence.laws.samples is None:
        return None
    count = min(SAMPLES, len(evidence.laws.samples.local))
    return np.array([best_shares(curves.only([m]), plan.budget, plan.terms)[0] for m in range(count)])

"""What a report's plan was solved for, and the same solved again at other budgets and under other floors.

The allocation's provenance says what it was solved with (floor, weights, caps, largest passes, minimax, robust), as
tools.allocate writes it; one without counts every target alike, with a floor of 5 %, or the whole of an equal share
where that is less.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mixio.errors import InvalidArgument
from tools.evidence import BASELINE, Evidence
from tools.forms.form import Array
from tools.laws import Curves
from tools.plan import capped
from tools.solve import Terms, best_shares, terms_of

FLOOR = 0.05
RANGE = (0.25, 16.0)
"""The budgets shown, in units of the largest fitted one."""


@dataclass(frozen=True)
class Problem:
    """What is asked for: `budget` draws, and the terms of the mixture, whose lowest shares are `floor` and may be
    `highest`. `curves` are the laws whose mean is minimized: the fitted ones, or those of the bootstrap (robust).
    """

    budget: float
    floor: float
    highest: float
    terms: Terms
    curves: Curves
    robust: bool = False

    def by_budget(self, budgets: Sequence[float] | Array) -> Array:
        """The best shares at each budget (N, K)."""
        return np.array([best_shares(self.curves, budget, self.terms)[0] for budget in budgets])

    def by_floor(self, floors: Sequence[float] | Array) -> Array:
        """The best shares under each floor (N, K)."""
        terms = [replace(self.terms, low=np.full(len(self.terms.low), floor)) for floor in floors]
        return np.array([best_shares(self.curves, self.budget, each)[0] for each in terms])


def problem_of(evidence: Evidence) -> Problem:
    """What the allocation was solved for."""
    laws, told = evidence.laws, evidence.allocation.provenance or {}
    caps = capped(laws, evidence.budget, told.get("caps"), told.get("max_repeats")) or {}
    highest = min([1 / len(laws.domains), *caps.values()])
    floor = told.get("floor")
    floor = min(FLOOR if floor is None else float(floor), highest)
    robust = bool(told.get("robust"))
    if robust and laws.resampled is None:
        raise InvalidArgument("the allocation was solved over the bootstrap of laws, and these have none")
    terms = terms_of(laws, floor=floor, weights=told.get("weights"), caps=caps, minimax=bool(told.get("minimax")))
    curves = laws.resampled if robust and laws.resampled is not None else laws.curves
    return Problem(evidence.budget, floor, highest, terms, curves, robust)


def baseline_of(evidence: Evidence) -> tuple[str, Array]:
    """What the plan is measured against: the trial's proportional mixture, else the uniform one."""
    for strategy in evidence.trial.strategies if evidence.trial else []:
        if strategy.name == BASELINE:
            return BASELINE, evidence.laws.array(strategy.shares)
    return "uniform", np.full(len(evidence.laws.domains), 1 / len(evidence.laws.domains))


def predicted(evidence: Evidence, terms: Terms, shares: Array, budgets: Sequence[float] | Array) -> Array:
    """What counts of the losses that the laws predict for shares (K,) at each budget (N,)."""
    return terms.of(evidence.laws.predict(np.multiply.outer(np.asarray(budgets, float), shares)))


def same_loss(evidence: Evidence, problem: Problem) -> float | None:
    """How many times the budget the baseline needs for the plan's loss; None where a thousand times do not do."""
    _, other = baseline_of(evidence)
    aim = predicted(evidence, problem.terms, evidence.laws.array(evidence.allocation.shares), [problem.budget])[0]
    ratios = np.geomspace(1e-3, 1e3, 6001)
    reached = predicted(evidence, problem.terms, other, problem.budget * ratios) <= aim
    return float(ratios[reached.argmax()]) if reached.any() else None

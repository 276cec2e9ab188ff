"""AutoScale: the best mixtures of two small budgets, carried on to a larger one without trusting a law out there.

With N1 and N2 the best draws of a domain at two budgets, N3 = N2 N1^-1 N2 are those of a third; and so on. Between and
beyond, the draws of each domain go on along

    N(t) = N1 (N2 / N1)^t,   t so that the draws of all domains add up to the budget that is asked for

which passes through N1, N2, N3, ... at t = 0, 1, 2, ...; for losses that are sums of power laws of each domain's own
draws it is exact at every budget, for then N = (a b / price)^(1 / (1 + b)), a line in logarithms. After Kang et al.,
"AutoScale", arXiv 2407.20177. The two optima come from that paper's law, E + a (d0 + D)^-b of own draws alone (the form
`own`), fitted to runs and solved at their smallest and largest budget.

    >>> extrapolate(Optimum(100, {"ct": 0.5, "mr": 0.5}), Optimum(500, {"ct": 0.2, "mr": 0.8}), 3400)["mr"] > 0.94
    True
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from mixio.errors import FitError, InvalidArgument
from tools.fitting import fit_laws
from tools.runlog import Run
from tools.solve import solve

LEAST = 1e-3
"""Share that every domain has at both budgets, for what has no draws has no ratio either."""


@dataclass(frozen=True)
class Optimum:
    """The best shares at a budget (draws)."""

    budget: float
    shares: dict[str, float]


def optima(runs: Sequence[Run]) -> tuple[Optimum, Optimum]:
    """The best mixtures at the smallest and the largest budget of the runs; `FitError` if these are one."""
    budgets = sorted({run.budget for run in runs})
    if len(budgets) < 2:
        raise FitError(
            f"AutoScale goes on from two budgets and all runs have {budgets[0]:g} draws; make runs of another"
        )
    laws = fit_laws(runs, form="own")
    small, large = (Optimum(at, solve(laws, at, floor=LEAST).shares) for at in (budgets[0], budgets[-1]))
    return small, large


def extrapolate(small: Optimum, large: Optimum, budget: float) -> dict[str, float]:
    """Shares at `budget` draws, which is not below the smaller of the two.

    Raises `InvalidArgument` where the two do not rise in budget, or a domain has a share at only one of them.
    """
    if not small.budget < large.budget:
        raise InvalidArgument(f"two budgets must rise, got {small.budget:g} and {large.budget:g}")
    if not small.budget <= budget < np.inf:
        raise InvalidArgument(
            f"AutoScale goes on from {small.budget:g} draws to more, got {budget:g}; ask for a larger --budget"
        )
    first, second = ({name for name, share in one.shares.items() if share} for one in (small, large))
    if appearing := sorted(first ^ second):
        raise InvalidArgument(f"{appearing} have draws at one budget and none at the other; nothing follows from that")
    names = [name for name in small.shares if name in first]
    start, end = (np.log([one.budget * one.shares[name] for name in names]) for one in (small, large))

    def draws(t: float) -> np.ndarray:
        return np.exp(start + t * (end - start))  # (K,)

    # Convex in t, and larger at 1 than at 0: one t from 0 on has a given sum.
    upper = 1.0
    while draws(upper).sum() < budget:
        upper *= 2
    t = brentq(lambda t: np.log(draws(t).sum() / budget), 0.0, upper, xtol=1e-14) if budget > small.budget else 0.0
    found = dict(zip(names, (draws(t) / draws(t).sum()).tolist(), strict=True))
    return {name: found.get(name, 0.0) for name in small.shares}

"""A report's evidence from planted laws, for the tests of its parts: fits of noisy runs, a plan, a trial."""

from functools import cache

from mixio.allocation import Allocation
from tests.truths import DOMAINS, planted, runs_under
from tools.evidence import Evidence, Strategy, Trial
from tools.fitting import fit_laws
from tools.laws import Laws
from tools.runlog import Run
from tools.solve import solve

BUDGET = 8192
FITTED = 2048
"""The largest budget that is fitted; the runs of 4096 are held out."""


@cache
def evidence_of(*, form: str = "transfer", samples: int = 0, noise: float = 0.03, trial: bool = False) -> Evidence:
    """54 runs of a planted truth, those of the three smaller budgets fitted, and a plan at four times the largest."""
    runs = runs_under(planted(0), noise=noise)
    laws = fit_laws([run for run in runs if run.total < FITTED * 1.01], form=form, samples=samples)
    shares = solve(laws, BUDGET).shares
    plan = Allocation(shares, BUDGET, "transfer-aware", {"floor": 0.05, "weights": None, "caps": None})
    strategies = {
        "proportional": dict(zip(DOMAINS, (0.4, 0.2, 0.15, 0.15, 0.06, 0.04), strict=True)),
        "transfer-aware": shares,
    }
    given = Trial(BUDGET, [_strategy(name, parts, runs, laws) for name, parts in strategies.items()]) if trial else None
    return Evidence(runs, [], {}, laws, plan, given)


def _strategy(name: str, shares: dict[str, float], runs: list[Run], laws: Laws) -> Strategy:
    truth = planted(0)
    predicted, true = (
        dict(zip(law.targets, law.predict(law.array(shares) * BUDGET).tolist(), strict=True)) for law in (laws, truth)
    )
    measured = [{target: loss * factor for target, loss in true.items()} for factor in (0.99, 1.01)]
    return Strategy(name, shares, predicted, measured)

"""What the strategies of others lose under laws that are known, from the very runs that our laws are fitted to."""

from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.laws.truths import FLOOR, TARGET, regret_of, runs_of, truth_of
from mixio.errors import FitError
from tools.autoscale import extrapolate, optima
from tools.baselines import with_floor
from tools.fitting import fit_laws
from tools.regmix import best_mixture, regression
from tools.runlog import Run
from tools.solve import solve

Shares = dict[str, float]


def _law(form: str) -> Callable[[Sequence[Run]], Shares]:
    return lambda runs: solve(fit_laws(runs, form=form), TARGET, floor=FLOOR).shares


def _regmix(runs: Sequence[Run]) -> Shares:
    return with_floor(best_mixture(regression(runs), draws=TARGET), FLOOR)


def _autoscale(runs: Sequence[Run]) -> Shares:
    return with_floor(extrapolate(*optima(runs), TARGET), FLOOR)


def _uniform(runs: Sequence[Run]) -> Shares:
    return dict.fromkeys(runs[0].draws, 1 / len(runs[0].draws))


STRATEGIES: dict[str, Callable[[Sequence[Run]], Shares]] = {
    "transfer": _law("transfer"),
    "Data Mixing Laws": _law("exponential"),
    "RegMix": _regmix,
    "BiMix": _law("bimix"),
    "AutoScale": _autoscale,
    "uniform": _uniform,
}


def others(truths: int) -> list[list[object]]:
    """Rows: strategy, and the mean, the median and the largest regret over the laws, in percent."""
    rows: list[list[object]] = []
    for name, shares in STRATEGIES.items():
        try:
            found = [_regret(shares, seed) for seed in range(truths)]
        except FitError as error:
            print(f"    {name}: left out: {error}")
            continue
        rows.append([name, *(100 * float(of(found)) for of in (np.mean, np.median, np.max))])
        print(f"    {rows[-1]}", flush=True)
    return rows


def _regret(shares: Callable[[Sequence[Run]], Shares], seed: int) -> float:
    truth = truth_of("transfer", seed)
    found = shares(runs_of(truth, seed))
    return regret_of(truth, truth.laws.array(found))

"""How well laws predict runs, measured so that ignoring the mixture does not score well.

Losses fall with budget whatever the mixture, so a correlation over runs of several budgets is near 1 even for a
law that knows only total draws. What counts is the correlation across mixtures at equal budget, the relative
error, and what it costs to choose a mixture by the law; each to be read beside the two nulls of `tools.laws`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixio.errors import FitError
from tools.laws import Array, Laws
from tools.runlog import Run, draws_matrix


@dataclass(frozen=True)
class Score:
    """Predictions of one target's loss against `n` runs.

    `mre` is the mean relative error; `r` the correlation of log losses once each budget's mean is taken away, None
    where predictions or losses do not differ within a budget.
    """

    n: int
    mre: float
    r: float | None


def score(laws: Laws, runs: Sequence[Run]) -> dict[str, Score]:
    """The score of every target that any of the runs was scored on."""
    if unknown := sorted({name for run in runs for name in run.draws} - set(laws.domains)):
        raise FitError(f"runs draw from {unknown}, but the laws know only {list(laws.domains)}")
    predicted = np.log(laws.predict(draws_matrix(runs, laws.domains)))  # (N, T)
    scores = {}
    for column, target in enumerate(laws.targets):
        rows = [row for row, run in enumerate(runs) if target in run.loss]
        if rows:
            observed = np.log([runs[row].loss[target] for row in rows])
            expected = predicted[rows, column]
            mre = float(np.mean(np.abs(np.expm1(expected - observed))))
            budgets = [runs[row].budget for row in rows]
            r = _correlation(_within(expected, budgets), _within(observed, budgets))
            scores[target] = Score(len(rows), mre, r)
    return scores


def selection_regret(laws: Laws, runs: Sequence[Run]) -> float | None:
    """What choosing a mixture by the laws costs: the measured mean loss of the run they rank first, over that of
    the run that is the best, minus 1; averaged over runs ranked first together, and over budgets with two or more
    runs scored on every target. None where the laws rank nothing, predicting the same for all.
    """
    regrets = []
    for budget in sorted({run.budget for run in runs}):
        rivals = [run for run in runs if run.budget == budget and set(laws.targets) <= set(run.loss)]
        if len(rivals) > 1:
            predicted = laws.predict(draws_matrix(rivals, laws.domains)).mean(1)
            measured = [float(np.mean([run.loss[target] for target in laws.targets])) for run in rivals]
            first = np.isclose(predicted, predicted.min(), rtol=1e-9)
            if not first.all():
                regrets.append(float(np.mean(np.array(measured)[first])) / min(measured) - 1)
    return float(np.mean(regrets)) if regrets else None


def _within(values: Array, groups: Sequence[float]) -> Array:
    """Values less the mean of their group."""
    _, member = np.unique(groups, return_inverse=True)
    return values - (np.bincount(member, values) / np.bincount(member))[member]


def _correlation(x: Array, y: Array) -> float | None:
    scale = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / scale if scale > 1e-12 else None

"""Which form of law to believe: the error of each on runs that its fit has not seen.

Two questions, with equal weight. Budgets: fit all runs but those of the largest budget, predict these. Mixtures: leave
out an eighth of the mixtures, at every budget, and predict it; eight times. The error of a run is the mean over targets
of the absolute difference of log losses, in which a run gone astray counts little.

Forms differ by less than the noise of the runs, which is the same for all of them, so errors are compared run by run.
The form chosen is the simplest whose error is within one standard error of the best one's, or within a hundredth of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixio.errors import FitError
from tools.estimation import estimate, residuals
from tools.forms import FORMS
from tools.forms.form import Array
from tools.forms.layout import Layout
from tools.observations import Observations, check, free_parameters, observations
from tools.runlog import Run

FOLDS = 8
ALIKE = 0.01
"""Errors that differ by less than this part are alike, however surely they differ."""
CANDIDATES = tuple(name for name in FORMS if name != "signed")


@dataclass(frozen=True)
class Entry:
    """How a form did: free parameters of a target, mean errors (None where the runs do not allow the question).

    `worse` is how much larger its error is than the best one's, `doubt` the standard error of that; `refused` says why
    the form could not be fitted.
    """

    form: str
    parameters: float
    budget_error: float | None = None
    mixture_error: float | None = None
    error: float | None = None
    worse: float = 0.0
    doubt: float = 0.0
    refused: str = ""


@dataclass(frozen=True)
class Comparison:
    """All forms, simplest first, and the name of the one to use."""

    entries: tuple[Entry, ...]
    chosen: str


@dataclass(frozen=True)
class _Errors:
    """Errors of held-out runs (N,), NaN for those that were not held out."""

    budget: Array
    mixture: Array


def compare_forms(runs: Sequence[Run], forms: Sequence[str] = CANDIDATES, *, seed: int = 0) -> Comparison:
    """Every form's error on runs that its fit has not seen, and the choice between them."""
    seen = observations(runs)
    largest = _largest(runs)
    folds = _folds(seen, seed)
    found: dict[str, _Errors] = {}
    refused: dict[str, str] = {}
    for name in forms:
        layout = Layout(FORMS[name], len(seen.domains))
        try:
            check(seen, layout)
            _check_repeats(seen, layout)
            found[name] = _errors(seen, layout, largest, folds)
        except FitError as error:
            refused[name] = str(error)
    if not found:
        raise FitError(f"no form of law can be fitted to these runs: {next(iter(refused.values()))}")
    return _judged(seen, forms, found, refused)


def _judged(seen: Observations, forms: Sequence[str], found: dict[str, _Errors], refused: dict[str, str]) -> Comparison:
    best = min(found, key=lambda name: _total(found[name]))
    size = {name: float(free_parameters(seen, Layout(FORMS[name], len(seen.domains))).mean()) for name in forms}
    entries = []
    for name in sorted(forms, key=lambda name: size[name]):
        if name in refused:
            entries.append(Entry(name, size[name], refused=refused[name]))
            continue
        mine, rival = found[name], found[best]
        parts = [one - other for one, other in ((mine.budget, rival.budget), (mine.mixture, rival.mixture))]
        told = [part[np.isfinite(part)] for part in parts if np.isfinite(part).any()]
        doubt = float(np.sqrt(sum(part.var() / max(len(part) - 1, 1) for part in told))) / len(told)
        means = [float(np.nanmean(part)) if np.isfinite(part).any() else None for part in (mine.budget, mine.mixture)]
        worse = float(np.mean([part.mean() for part in told]))
        entries.append(Entry(name, size[name], *means, _total(mine), worse, doubt))
    alike = ALIKE * _total(found[best])
    chosen = next(one.form for one in entries if one.error is not None and one.worse <= max(one.doubt, alike))
    return Comparison(tuple(entries), chosen)


def _check_repeats(seen: Observations, layout: Layout) -> None:
    """Refuse a form with repetition where no run repeats anything: its rate would be a guess."""
    repeats = any(one.name == "lambda" for one in layout.form.shared)
    if repeats and not (seen.inputs.draws > seen.inputs.unique).any():
        raise FitError("no run draws more of a domain than its unique:<domain>, so none shows what repetition costs")


def _errors(seen: Observations, layout: Layout, largest: NDArray[np.bool_], folds: NDArray[np.intp]) -> _Errors:
    budget, mixture = np.full((2, len(folds)), np.nan)
    if largest.any():
        budget[largest] = _held_out(seen, layout, largest)
    for fold in range(folds.max() + 1):
        out = folds == fold
        mixture[out] = _held_out(seen, layout, out)
    return _Errors(budget, mixture)


def _held_out(seen: Observations, layout: Layout, out: NDArray[np.bool_]) -> Array:
    """Mean absolute log errors, over targets, of the runs that a fit to the others is asked for."""
    kept = seen.only(np.flatnonzero(~out))
    check(kept, layout, observations_each=1.0)
    found = estimate(kept, layout)
    rest = seen.only(np.flatnonzero(out))
    rows = [kept.targets.index(target) for target in rest.targets]
    off = residuals(rest, layout, found.local[rows], found.shared)
    error: Array = np.nanmean(np.abs(off), 0)
    return error


def _total(errors: _Errors) -> float:
    means = [float(np.nanmean(part)) for part in (errors.budget, errors.mixture) if np.isfinite(part).any()]
    return float(np.mean(means))


def _largest(runs: Sequence[Run]) -> NDArray[np.bool_]:
    """Runs of the largest budget; none if there is only one."""
    budgets = np.array([run.budget for run in runs])
    largest = budgets > budgets.max() / 1.1
    return largest if not largest.all() else np.zeros(len(runs), bool)


def _folds(seen: Observations, seed: int) -> NDArray[np.intp]:
    """The fold of each run (N,); runs of one mixture are in one."""
    _, mixture = np.unique(np.round(seen.inputs.shares, 3), axis=0, return_inverse=True)
    count = int(mixture.max()) + 1
    order = np.random.default_rng([seed, count]).permutation(count)
    folds: NDArray[np.intp] = order[mixture] % min(FOLDS, count)
    return folds

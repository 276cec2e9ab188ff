"""How well laws rank mixtures that they have not seen, on RegMix's public runs, beside regression on the shares.

All are fitted to runs of 1M-parameter models and rank runs of 1M, 60M and 1B by the loss on Pile-CC; the figure is
Spearman's correlation times 100.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.laws.tables import SCALES, regmix
from mixio.errors import FitError
from tools.comparison import compare_forms
from tools.fitting import fit_laws
from tools.runlog import Run, draws_matrix

TARGET = "pile_cc"
FORMS = ("own", "linear", "transfer", "transfer+gamma", "transfer+powers", "exponential", "additive")
Ranks = Callable[[Sequence[Run]], NDArray[np.float64]]


def ranking(folder: Path, *, runs: int | None, repeats: int, choose: bool) -> list[list[object]]:
    """A row a method: its name, and the mean correlation at each scale.

    With `runs`, from so many of the 512, drawn anew `repeats` times; with `choose`, the form that held-out error
    chooses comes first.
    """
    seen = regmix(folder, "train", "1m")
    tests = [regmix(folder, "test", scale) for scale in SCALES]
    found: dict[str, list[list[float]]] = {}
    for repeat in range(repeats if runs else 1):
        some = seen
        if runs:
            drawn = np.random.default_rng(repeat).choice(len(seen), runs, replace=False)
            some = [seen[index] for index in drawn]
        methods = {**({"chosen": _chosen} if choose else {}), **{form: _law(form) for form in FORMS}}
        for name, method in {**methods, "regression, linear": _linear, "regression, LightGBM": _trees}.items():
            ranked = _correlations(method, some, tests)
            if ranked:
                found.setdefault(ranked[0] if name == "chosen" else name, []).append(ranked[1])
    return [[name, len(each), *np.mean(each, 0).tolist()] for name, each in found.items()]


def _correlations(method: "Method", seen: list[Run], tests: list[list[Run]]) -> tuple[str, list[float]] | None:
    try:
        name, predict = method(seen)
    except (FitError, ImportError) as error:
        print(f"    {error}")
        return None
    measured = [[run.loss[TARGET] for run in runs] for runs in tests]
    return name, [100 * spearmanr(predict(runs), loss)[0] for runs, loss in zip(tests, measured, strict=True)]


Method = Callable[[list[Run]], tuple[str, Ranks]]


def _law(form: str) -> Method:
    def fitted(seen: list[Run]) -> tuple[str, Ranks]:
        laws = fit_laws(seen, form=form)
        column = list(laws.targets).index(TARGET)
        return form, lambda runs: laws.predict(draws_matrix(runs, laws.domains))[:, column]

    return fitted


def _chosen(seen: list[Run]) -> tuple[str, Ranks]:
    comparison = compare_forms(seen)
    for one in comparison.entries:
        error = "too few runs" if one.error is None else f"{100 * one.error:.2f} %"
        print(f"    {one.form:24s} {one.parameters:5.1f} parameters, held-out error {error}")
    print(f"    chosen: {comparison.chosen}", flush=True)
    _, predict = _law(comparison.chosen)(seen)
    return "chosen by held-out error", predict


def _linear(seen: list[Run]) -> tuple[str, Ranks]:
    domains = sorted(seen[0].draws)
    losses = [run.loss[TARGET] for run in seen]
    weights = np.linalg.lstsq(draws_matrix(seen, domains), losses, rcond=None)[0]
    return "linear", lambda runs: draws_matrix(runs, domains) @ weights


def _trees(seen: list[Run]) -> tuple[str, Ranks]:
    """With the settings of RegMix's repository, but for its stopping on the test set, and for smaller leaves where so
    few runs would not fill two of them.
    """
    import lightgbm

    domains = sorted(seen[0].draws)
    leaf = min(20, len(seen) // 8)
    options = {"learning_rate": 1e-2, "min_data_in_leaf": leaf, "seed": 42, "verbosity": -1, "num_threads": 2}
    table = lightgbm.Dataset(_shares(seen, domains), [run.loss[TARGET] for run in seen])
    model = lightgbm.train(options, table, num_boost_round=1000)
    return "LightGBM", lambda runs: np.asarray(model.predict(_shares(runs, domains)))


def _shares(runs: Sequence[Run], domains: Sequence[str]) -> NDArray[np.float64]:
    draws = draws_matrix(runs, domains)
    return draws / draws.sum(1, keepdims=True)

"""How long fits and allocations take, beside scipy's least squares of one target after the other."""

import time
from collections.abc import Callable
from statistics import median

import numpy as np
from scipy.optimize import least_squares

from benchmarks.laws.truths import TARGET, runs_of, truth_of
from tools.designs import singles_and_mixtures
from tools.fitting import fit_laws
from tools.forms import FORMS
from tools.forms.layout import Layout
from tools.laws import Laws, TargetLaw
from tools.observations import observations
from tools.runlog import Run
from tools.solve import solve


def speed(rounds: int) -> list[list[object]]:
    """Rows: what, median seconds of ours, of scipy's where it does the same, and how many times longer it takes."""
    runs = runs_of(truth_of("transfer", 0), 0)
    laws = fit_laws(runs)
    rows: list[list[object]] = []
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(_seconds(lambda: fit_laws(runs)))
        theirs.append(_seconds(lambda: _by_scipy(runs)))
    rows.append(["fit of 54 runs x 6 targets", median(ours), median(theirs), median(theirs) / median(ours)])
    rows.append(
        ["the same with 200 bootstrap samples", _median(rounds, lambda: fit_laws(runs, samples=200)), None, None]
    )
    rows.append(["one allocation", _median(5 * rounds, lambda: solve(laws, TARGET)), None, None])
    return rows


def many_domains() -> list[list[object]]:
    """64 domains and 1,000 runs: seconds of a fit and of an allocation, and its gap."""
    count = 64
    names = tuple(f"domain-{place:02d}" for place in range(count))
    rng = np.random.default_rng(0)
    targets = {
        name: TargetLaw(
            {
                **{"E": rng.uniform(0.05, 0.3), "a": rng.uniform(0.1, 0.4), "beta": rng.uniform(0.2, 0.75), "d0": 30.0},
                "tau": {other: rng.uniform(0, 0.3) for other in names if other != name},
            }
        )
        for name in names
    }
    truth = Laws(names, 8192.0, targets)
    runs = []
    for design in singles_and_mixtures(names, [4096, 16384], 1000 - 2 * count):
        draws = {name: share * design.draws for name, share in design.shares.items()}
        losses = truth.predict(truth.array(draws)) * np.exp(0.03 * rng.standard_normal(count))
        runs.append(Run(design.run, 0, draws, None, dict(zip(names, losses.tolist(), strict=True)), {}))
    rows: list[list[object]] = []
    for form in ("transfer", "transfer+gamma"):
        begin = time.perf_counter()
        laws = fit_laws(runs, form=form)
        fitted = time.perf_counter()
        solution = solve(laws, 32768, floor=0.005)
        rows.append([f"fit of 1,000 runs x 64 targets, {form}", fitted - begin])
        rows.append([f"its allocation (gap {solution.gap:.0e})", time.perf_counter() - fitted])
    return rows


def _by_scipy(runs: list[Run]) -> None:
    """The same law, starts and losses with scipy's trust region method, a target at a time, without the prior."""
    seen, layout = observations(runs), Layout(FORMS["transfer"], 6)
    starts = [layout.pack(start, 6) for start in layout.form.starts(seen.inputs, seen.loss, seen.own)]
    lower, upper = seen.box(layout)
    for row in range(len(seen.targets)):
        one = seen.only(np.arange(seen.loss.shape[1]))
        free = upper[row] > lower[row]
        model = layout.log_losses(one.inputs, one.own[row][None, None])

        def residual(moved: np.ndarray, row: int = row, free: np.ndarray = free) -> np.ndarray:
            return _at(moved, row, free)[0]

        def jacobian(moved: np.ndarray, row: int = row, free: np.ndarray = free) -> np.ndarray:
            return _at(moved, row, free)[1]

        def _at(moved: np.ndarray, row: int, free: np.ndarray, model=model) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[no-untyped-def]
            local = lower[row].copy()
            local[free] = moved
            value, by_local, _ = model(local[None, None], np.empty((1, 0)), np.arange(1))
            return value[0, 0] - np.log(seen.loss[row]), by_local[0, 0][:, free]

        box = (lower[row, free], upper[row, free])
        options = {"jac": jacobian, "bounds": box, "x_scale": "jac", "max_nfev": 300}
        fits = [least_squares(residual, np.clip(start[row, free], *box), **options) for start in starts]
        best = min(fits, key=lambda fit: fit.cost)
        width = 1.5 * float(np.median(np.abs(best.fun)))
        least_squares(residual, best.x, loss="huber", f_scale=width, **options)


def _seconds(of: Callable[[], object]) -> float:
    start = time.perf_counter()
    of()
    return time.perf_counter() - start


def _median(rounds: int, of: Callable[[], object]) -> float:
    return median(_seconds(of) for _ in range(rounds))

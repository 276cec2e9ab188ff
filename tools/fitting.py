"""Fits laws to runs: many fits at once, robustly, and with a bootstrap.

Least squares on the logarithm of the loss (so that every budget weighs alike), within bounds, from a few starts that
are always the same; with all targets together where they share parameters; then once more with Huber's loss at 1.5
times the median absolute deviation of the residuals, so that a run gone astray does not bend the law. The bootstrap
draws runs with replacement and fits again from the fit; runs of one draw and another seed are runs like any other.

What the data cannot say: E and beta trade against each other when budgets span less than a decade, and from
runs of a single budget neither is known, though the mixture's effect still is. A tau at 0 says "no transfer
seen"; harm from a source needs the form `signed`.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.errors import FitError
from tools.forms import FORMS
from tools.forms.form import Array, Inputs
from tools.forms.layout import Layout
from tools.laws import Laws, Samples, TargetLaw, parameters_of, shared_of
from tools.least_squares import EXACT, Problem, Solved, least_squares
from tools.runlog import Run, draws_matrix

EDGE = 1e-3
"""A parameter within this of a bound sits on it."""
ASTRAY = 6.0
"""Residuals beyond this many standard deviations, told robustly, are of a run gone astray."""
REFITS = 3
"""Robust fits, each with the noise that the one before has left."""
NOISE = 0.02
"""Deviation of log losses that is assumed until it is measured."""
NORMAL = 1.4826
"""Standard deviation of a normal distribution, in median absolute deviations."""
_AT_ONCE = 1 << 22
"""Numbers in a derivative that are held at once."""
_SAMPLES_AT_ONCE = 25


@dataclass(frozen=True)
class Observations:
    """What N runs say of T targets: what was drawn, in d_ref, and losses (T, N), NaN where there is none."""

    domains: tuple[str, ...]
    targets: tuple[str, ...]
    d_ref: float
    inputs: Inputs
    loss: Array
    own: Array

    @property
    def lowest(self) -> Array:
        """The lowest loss of each target (T,)."""
        lowest: Array = np.nanmin(self.loss, 1)
        return lowest

    @property
    def one_budget(self) -> bool:
        """Whether all runs drew as much, to within a twentieth."""
        return bool(np.ptp(np.log(self.inputs.total)) < 0.05)

    def box(self, layout: Layout) -> tuple[Array, Array]:
        """Bounds of the parameters (T, P)."""
        return layout.box(self.lowest, self.own, one_budget=self.one_budget)

    def only(self, runs: Sequence[int] | NDArray[np.intp]) -> "Observations":
        """Some of the runs; the targets without a loss in any of them are left out."""
        loss = self.loss[:, runs]
        kept = np.flatnonzero(np.isfinite(loss).any(1))
        inputs = Inputs(self.inputs.draws[runs], self.inputs.unique[runs])
        targets = tuple(self.targets[row] for row in kept)
        return Observations(self.domains, targets, self.d_ref, inputs, loss[kept], self.own[kept])


@dataclass(frozen=True)
class Estimate:
    """Parameters (T, P) and (G,), Huber's width and the deviation of log residuals (T, 1), and how much worse each
    target's worst start ended (T,).
    """

    local: Array
    shared: Array
    width: Array
    noise: Array
    spread: Array


def observations(runs: Sequence[Run]) -> Observations:
    """The runs as arrays; `FitError` if there is nothing to fit, or a target is no domain."""
    domains = tuple(sorted({domain for run in runs for domain in run.draws}))
    targets = tuple(sorted({target for run in runs for target in run.loss}))
    if not targets:
        raise FitError("no run has a loss; expected columns loss:<domain> or results with held-out losses")
    if strange := [target for target in targets if target not in domains]:
        raise FitError(
            f"target {strange[0]!r} is not one of the domains {list(domains)}; rename its loss or leave it out"
        )
    d_ref = float(np.exp(np.mean([np.log(run.total) for run in runs])))
    unique = [[(run.unique or {}).get(domain) or np.inf for domain in domains] for run in runs]
    inputs = Inputs(draws_matrix(runs, domains) / d_ref, np.array(unique, float) / d_ref)
    loss = np.array([[run.loss.get(target, np.nan) for run in runs] for target in targets])
    own = np.array([[float(domain == target) for domain in domains] for target in targets])
    return Observations(domains, targets, d_ref, inputs, loss, own)


def fit_laws(runs: Sequence[Run], *, form: str = "transfer", samples: int = 0, seed: int = 0) -> Laws:
    """The laws of all targets that any run was scored on, in one of the forms of `tools.forms`.

    With `samples`, so many bootstrap samples of the runs are fitted too. Raises `FitError` where a target is no domain
    or has fewer observations than 1.5 times its parameters, or a domain was never drawn.
    """
    if form not in FORMS:
        raise FitError(f"there is no form {form!r}; there are {', '.join(FORMS)}")
    seen = observations(runs)
    layout = Layout(FORMS[form], len(seen.domains))
    check(seen, layout)
    found = estimate(seen, layout)
    targets = {
        name: TargetLaw(
            parameters_of(layout, found.local[row], seen.domains, name, seen.d_ref),
            _diagnostics(seen, layout, found, row, runs),
        )
        for row, name in enumerate(seen.targets)
    }
    resampled = bootstrap(seen, layout, found, samples, seed=seed) if samples else None
    budgets = sorted({run.budget for run in runs})
    data = {"runs": len(runs), "fingerprint": fingerprint(runs), "budgets": budgets}
    shared = shared_of(layout, found.shared, seen.domains)
    return Laws(seen.domains, seen.d_ref, targets, form, shared, unique_of(runs), resampled, data)


def unique_of(runs: Sequence[Run]) -> dict[str, float]:
    """Draws that each domain gives before it repeats itself: the most that any run had."""
    found: dict[str, float] = {}
    for run in runs:
        for domain, unique in (run.unique or {}).items():
            found[domain] = max(unique, found.get(domain, 0.0))
    return found


def fingerprint(runs: Sequence[Run]) -> str:
    """16 hex characters that name the draws and losses of these runs, in whatever order they come."""
    content = sorted([run.run, _floats(run.draws), _floats(run.loss)] for run in runs)
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=8).hexdigest()


def estimate(seen: Observations, layout: Layout) -> Estimate:
    """The best fit over all starts, with all targets together where they share something, and refitted robustly."""
    weight = _weight(seen, np.ones(seen.loss.shape[1]))
    starts = [layout.pack(start, len(seen.targets)) for start in layout.form.starts(seen.inputs, seen.loss, seen.own)]
    plain, noise = np.full((len(seen.targets), 1), np.inf), np.full((len(seen.targets), 1), NOISE)
    _, _, center, _ = layout.shared_box(0.0)
    solved = _apart(seen, layout, np.stack(starts), np.tile(center, (len(starts), 1)), weight, plain, noise)
    cost = solved.cost.reshape(len(starts), -1)  # (starts, T)
    best = cost.argmin(0)
    local = solved.local.reshape(len(starts), len(seen.targets), -1)[best, np.arange(len(best))]
    spread = (cost.max(0) - cost.min(0)) / np.maximum(cost.min(0), EXACT**2)
    shared, robust = center, plain
    for _ in range(REFITS):
        noise = _noise(seen, layout, local, shared)
        robust = np.where(noise > EXACT, 1.5 / NORMAL * noise, np.inf)
        local, shared = _refit(seen, layout, local, shared, weight[None], robust, noise)
    return Estimate(local, shared, robust, noise, spread)


def bootstrap(seen: Observations, layout: Layout, found: Estimate, samples: int, *, seed: int = 0) -> Samples:
    """Fits to runs drawn with replacement, from the fit on, some at a time in threads."""
    count = seen.loss.shape[1]
    drawn = np.random.default_rng([seed, samples]).multinomial(count, np.full(count, 1 / count), samples)
    pieces = [drawn[first : first + _SAMPLES_AT_ONCE] for first in range(0, samples, _SAMPLES_AT_ONCE)]

    def fitted(piece: Any) -> tuple[Array, Array]:
        weights = np.stack([_weight(seen, one.astype(float)) for one in piece])
        return _refit(seen, layout, found.local, found.shared, weights, found.width, found.noise)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        parts = list(threads.map(fitted, pieces))
    local, shared = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    return Samples(local.reshape(samples, *found.local.shape), shared.reshape(samples, len(found.shared)))


def _refit(
    seen: Observations, layout: Layout, local: Array, shared: Array, weights: Array, width: Array, noise: Array
) -> tuple[Array, Array]:
    """From one fit on for every row of `weights` (M, T, N): (M, T, P) and (M, G); no first axis where M is 1."""
    if len(shared):
        found = _together(seen, layout, local, shared, weights, width, noise)
    else:
        starts = np.broadcast_to(local, (len(weights), *local.shape))
        solved = _apart(seen, layout, starts, np.empty((len(weights), 0)), weights, width, noise)
        found = solved.local.reshape(starts.shape), np.empty((len(weights), 0))
    return (found[0][0], found[1][0]) if len(weights) == 1 and found[0].ndim == 3 else found


def _together(
    seen: Observations, layout: Layout, local: Array, shared: Array, weights: Array, width: Array, noise: Array
) -> tuple[Array, Array]:
    """All targets of a sample as one unit."""
    M = len(weights)
    problem = Problem(
        layout.log_losses(seen.inputs, _stack(seen.own, M)),
        _stack(_log(seen.loss), M),
        weights,
        _stack(width, M),
        *(_stack(side, M) for side in seen.box(layout)),
        *(_stack(side, M) for side in _prior(layout, noise)),
        layout.shared_box(float(np.sqrt(np.mean(noise**2)))),
    )
    solved = least_squares(problem, _stack(local, M), _stack(shared, M))
    return (solved.local[0], solved.shared[0]) if M == 1 else (solved.local, solved.shared)


def _apart(
    seen: Observations, layout: Layout, starts: Array, shared: Array, weights: Array, width: Array, noise: Array
) -> Solved:
    """Every target of every start (M, T, P) as a unit of its own, with shared parameters (M, G) held."""
    M, T = starts.shape[:2]
    weights = np.broadcast_to(weights, (M, *weights.shape[-2:])).reshape(M * T, 1, -1)
    lower, upper = seen.box(layout)
    center, precision = _prior(layout, noise)
    held = np.repeat(shared, T, 0)
    rows = np.tile(np.arange(T), M)
    model = layout.log_losses(seen.inputs, seen.own[rows][:, None])
    size = max(1, _AT_ONCE // (starts.shape[2] * weights.shape[-1]))
    parts = []
    for first in range(0, M * T, size):
        piece = np.arange(first, min(first + size, M * T))
        at = rows[piece]

        def of_piece(local: Array, none: Array, units: Any, piece: Any = piece) -> tuple[Array, Array, Array]:
            value, jacobian, _ = model(local, held[piece[units]], piece[units])
            return value, jacobian, np.empty((*value.shape, 0))

        problem = Problem(
            of_piece,
            _log(seen.loss)[at][:, None],
            weights[piece],
            width[at][:, None],
            lower[at][:, None],
            upper[at][:, None],
            center[at][:, None],
            precision[at][:, None],
            (np.empty(0), np.empty(0), np.empty(0), np.empty(0)),
        )
        parts.append(least_squares(problem, starts.reshape(M * T, 1, -1)[piece], np.empty((len(piece), 0))))
    fields = [
        np.concatenate([getattr(part, name) for part in parts]) for name in ("local", "shared", "cost", "converged")
    ]
    return Solved(*fields)


def _weight(seen: Observations, weight: Array) -> Array:
    """Weights of runs (N,) as those of observations (T, N)."""
    return np.where(np.isfinite(seen.loss), weight, 0.0)


def _log(loss: Array) -> Array:
    return np.log(np.where(np.isfinite(loss), loss, 1.0))


def _stack(one: Array, count: int) -> Array:
    return np.broadcast_to(one, (count, *one.shape)).copy()


def residuals(seen: Observations, layout: Layout, local: Array, shared: Array) -> Array:
    """Log of predicted over measured losses (T, N), NaN where there is none."""
    values = layout.unpack(local[None], shared[None])
    predicted = layout.form.losses(values, seen.inputs, seen.own[None]).value[0]
    return np.where(np.isfinite(seen.loss), np.log(predicted) - _log(seen.loss), np.nan)


def _noise(seen: Observations, layout: Layout, local: Array, shared: Array) -> Array:
    """Deviation of log residuals, told from their median (T, 1), allowing for the parameters that were fitted."""
    off = residuals(seen, layout, local, shared)
    middle = np.nanmedian(off, 1, keepdims=True)
    count, fitted = np.isfinite(off).sum(1), free_parameters(seen, layout)
    fewer = np.sqrt(count / np.maximum(count - fitted, 0.2 * count))
    noise: Array = NORMAL * fewer[:, None] * np.nanmedian(np.abs(off - middle), 1, keepdims=True)
    return noise


def _prior(layout: Layout, noise: Array) -> tuple[Array, Array]:
    """Center and precision (T, P) for log residuals of this deviation (T, 1)."""
    center, spread = layout.prior()
    return np.tile(center, (len(noise), 1)), (noise / spread) ** 2


def _floats(values: dict[str, float]) -> list[tuple[str, float]]:
    """By name and as floats, so that 8 draws in a log and 8.0 in a table are the same."""
    return sorted((name, float(value)) for name, value in values.items())


def free_parameters(seen: Observations, layout: Layout) -> Array:
    """How many parameters of each target a fit moves (T,), its part of the shared ones included."""
    lower, upper = seen.box(layout)
    free: Array = (upper > lower).sum(1) + len(layout.shared_box(0.0)[0]) / len(seen.targets)
    return free


def check(seen: Observations, layout: Layout, *, observations_each: float = 1.5) -> None:
    """Refuse what can only be guessed: fewer observations than so many for each parameter, or a domain never drawn."""
    count = np.isfinite(seen.loss).sum(1)
    for row, (name, fitted) in enumerate(zip(seen.targets, free_parameters(seen, layout), strict=True)):
        if count[row] < observations_each * fitted:
            raise FitError(
                f"target {name!r} has {count[row]} observations for {np.ceil(fitted):.0f} parameters and needs "
                f"{int(np.ceil(observations_each * fitted))}; score more runs on it, make more runs, or merge domains"
            )
        drawn = seen.inputs.draws[np.isfinite(seen.loss[row])].sum(0)
        if never := [domain for domain, draws in zip(seen.domains, drawn, strict=True) if not draws]:
            raise FitError(f"no run scored on {name!r} draws from {never}; make one that does, or drop the column")


def _diagnostics(seen: Observations, layout: Layout, found: Estimate, row: int, runs: Sequence[Run]) -> dict[str, Any]:
    """How far to trust a fit.

    `bounds_hit` names parameters on the edge of their box, except a transfer of 0, which just says "no transfer
    seen"; `condition` is that of the Jacobian with columns of unit length; `spread` is how much worse the worst
    start ended than the best; `noise` is the standard deviation of log residuals, told from their median; `astray`
    names runs that lie far outside it.
    """
    off = residuals(seen, layout, found.local, found.shared)[row]
    kept = np.isfinite(off)
    observed = np.log(seen.loss[row, kept])
    around = float(((observed - observed.mean()) ** 2).sum())
    model = layout.log_losses(seen.inputs, seen.own[row][None, None])
    jacobian = model(found.local[row][None, None], found.shared[None], np.arange(1))[1][0, 0][kept]
    lower, upper = (side[row] for side in seen.box(layout))
    jacobian = jacobian[:, upper > lower]
    lengths = np.linalg.norm(jacobian, axis=0)
    place, names = found.local[row], layout.local_names(seen.domains)
    on_edge = (upper > lower) & ((place > upper - EDGE) | ((place < lower + EDGE) & ~np.isclose(lower, 0)))
    noise = NORMAL * float(np.median(np.abs(off[kept] - np.median(off[kept]))))
    strays = kept & (np.abs(off) > ASTRAY * max(noise, EXACT))
    return {
        "n": int(kept.sum()),
        "r2_log": 1 - float((off[kept] ** 2).sum()) / around if around else None,
        "mre": float(np.mean(np.abs(np.expm1(off[kept])))),
        "noise": noise,
        "astray": [runs[index].run for index in np.flatnonzero(strays)],
        "bounds_hit": [name for name, hit in zip(names, on_edge, strict=True) if hit],
        "condition": float(np.linalg.cond(jacobian[:, lengths > 0] / lengths[lengths > 0])),
        "spread": float(found.spread[row]),
    }

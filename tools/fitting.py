"""Fits transfer laws to runs, one target at a time.

Least squares on the logarithm of the loss (so that every budget weighs alike), with bounds, the analytic
Jacobian, and a few starts that are always the same; then once more with the Huber loss at 1.5 times the median
absolute deviation of the residuals, so that a run gone astray does not bend the law. For given beta, d0 and
tau the best E and a follow by linear regression, which is how the starts are made.

What the data cannot say: E and beta trade against each other when budgets span less than a decade, and from
runs of a single budget neither is known, though the mixture's effect still is. A tau at 0 says "no transfer
seen", and harm from a source (a negative transfer) cannot be expressed.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult, least_squares

from mixio.errors import FitError
from tools.laws import Array, Laws, TargetLaw, log_loss
from tools.runlog import Run, draws_matrix

STARTS = [(0.3, 0.05), (0.3, 0.5), (1.0, 0.05), (1.0, 0.5)]
"""Where a fit starts: (beta, tau of every source); d0 starts at a fiftieth of d_ref."""

EDGE = 1e-3
"""A parameter within this of a bound sits on it."""

EXACT = 1e-7
"""Log residuals below this are rounding: a law that fits the data exactly needs no robust refit."""


@dataclass(frozen=True)
class Observations:
    """What the runs say about a target: own draws (N,), sources' draws (N, S), both in d_ref, and loss (N,)."""

    own: Array
    sources: Array
    loss: Array


def fit_laws(runs: Sequence[Run], *, transfer: float | None = None) -> Laws:
    """The laws of all targets that any run was scored on.

    `transfer` fixes every tau instead of fitting it: 0 is the null of own draws only, 1 that of total draws
    only. Raises `FitError` where a target is no domain or has too few observations, or a domain was never drawn.
    """
    domains = tuple(sorted({domain for run in runs for domain in run.draws}))
    d_ref = float(np.exp(np.mean([np.log(run.total) for run in runs])))
    names = sorted({target for run in runs for target in run.loss})
    if not names:
        raise FitError("no run has a loss; expected columns loss:<domain> or results with held-out losses")
    targets = {name: _fit_target(name, runs, domains, d_ref, transfer) for name in names}
    budgets = sorted({run.budget for run in runs})
    data = {"runs": len(runs), "fingerprint": fingerprint(runs), "budgets": budgets}
    return Laws(domains, d_ref, targets, data)


def fingerprint(runs: Sequence[Run]) -> str:
    """16 hex characters that name the draws and losses of these runs, in whatever order they come."""
    content = sorted([run.run, _floats(run.draws), _floats(run.loss)] for run in runs)
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=8).hexdigest()


def _floats(values: dict[str, float]) -> list[tuple[str, float]]:
    """By name and as floats, so that 8 draws in a log and 8.0 in a table are the same."""
    return sorted((name, float(value)) for name, value in values.items())


def _fit_target(
    name: str, runs: Sequence[Run], domains: tuple[str, ...], d_ref: float, transfer: float | None
) -> TargetLaw:
    scored = [run for run in runs if name in run.loss]
    others = tuple(domain for domain in domains if domain != name)
    _check(name, scored, domains, fitted=4 + (len(others) if transfer is None else 0))
    draws = draws_matrix(scored, domains) / d_ref  # (N, K)
    own, sources = draws[:, domains.index(name)], draws[:, [domains.index(other) for other in others]]
    if transfer is not None:
        own, sources = own + transfer * sources.sum(1), sources[:, :0]
    seen = Observations(own, sources, np.array([run.loss[name] for run in scored]))
    best, spread = _fit(seen)
    E, a, beta, d0 = np.exp(best.x[:4]).tolist()
    tau = best.x[4:].tolist() if transfer is None else [transfer] * len(others)
    return TargetLaw(
        E, a, beta, d0 * d_ref, dict(zip(others, tau, strict=True)), _diagnostics(best, seen, others, spread)
    )


def _check(name: str, scored: Sequence[Run], domains: tuple[str, ...], *, fitted: int) -> None:
    """Refuse what can only be guessed."""
    if name not in domains:
        raise FitError(f"target {name!r} is not one of the domains {list(domains)}; rename its loss or leave it out")
    if len(scored) < 1.5 * fitted:
        raise FitError(
            f"target {name!r} has {len(scored)} observations for {fitted} parameters and needs "
            f"{int(np.ceil(1.5 * fitted))}; score more runs on it, make more runs, or merge domains"
        )
    if never := [domain for domain in domains if not any(run.draws.get(domain) for run in scored)]:
        raise FitError(f"no run scored on {name!r} draws from {never}; make one that does, or drop the column")


def _fit(seen: Observations) -> tuple[OptimizeResult, float]:
    """The best fit over all starts, refitted robustly, and the relative spread of the starts' costs."""
    bounds = _bounds(seen)

    def solve(start: Array, **options: Any) -> OptimizeResult:
        return least_squares(
            lambda theta: log_loss(theta, seen.own, seen.sources)[0] - np.log(seen.loss),
            np.clip(start, *bounds),
            jac=lambda theta: log_loss(theta, seen.own, seen.sources)[1],
            bounds=bounds,
            x_scale="jac",
            max_nfev=300,
            **options,
        )

    fits = sorted((solve(_start(seen, beta, tau)) for beta, tau in STARTS), key=lambda fit: fit.cost)
    best, worst = fits[0], fits[-1]
    spread = (worst.cost - best.cost) / max(best.cost, EXACT**2)
    residuals = log_loss(best.x, seen.own, seen.sources)[0] - np.log(seen.loss)
    width = 1.5 * float(np.median(np.abs(residuals - np.median(residuals))))
    if width > EXACT:
        best = solve(best.x, loss="huber", f_scale=width)
    return best, spread


def _bounds(seen: Observations) -> tuple[Array, Array]:
    """Boxes wide enough that only a parameter without evidence reaches them; tau in [0, 2]."""
    low, high = seen.loss.min(), seen.loss.max()
    sources = seen.sources.shape[1]
    lower = [np.log(low) - 12, np.log(low) - 12, np.log(0.01), np.log(1e-6), *[0.0] * sources]
    upper = [np.log(low), np.log(high) + 6, np.log(5), np.log(1e3), *[2.0] * sources]
    return np.array(lower), np.array(upper)


def _start(seen: Observations, beta: float, tau: float) -> Array:
    """Parameters with these beta and tau, and the E and a that fit the losses best for them."""
    d0 = 0.02
    curve = (d0 + seen.own + tau * seen.sources.sum(1)) ** -beta
    design = np.column_stack([np.ones_like(curve), curve]) / seen.loss[:, None]
    E, a = np.linalg.lstsq(design, np.ones_like(curve), rcond=None)[0]
    E, a = max(E, 0.1 * seen.loss.min()), max(a, 0.1 * seen.loss.min())
    return np.array([np.log(E), np.log(a), np.log(beta), np.log(d0), *[tau] * seen.sources.shape[1]])


def _diagnostics(best: OptimizeResult, seen: Observations, others: Sequence[str], spread: float) -> dict[str, Any]:
    """How far to trust a fit.

    `bounds_hit` names parameters on the edge of their box, except a tau of 0, which just says "no transfer
    seen"; `condition` is that of the Jacobian with columns of unit length; `spread` is how much worse the worst
    start ended than the best.
    """
    predicted, jacobian = log_loss(best.x, seen.own, seen.sources)
    observed = np.log(seen.loss)
    around = float(((observed - observed.mean()) ** 2).sum())
    names = ["E", "a", "beta", "d0", *(f"tau:{other}" for other in others)]
    lower, upper = _bounds(seen)
    on_edge = (best.x > upper - EDGE) | ((best.x < lower + EDGE) & (np.arange(len(best.x)) < 4))
    return {
        "n": len(observed),
        "r2_log": 1 - float(((predicted - observed) ** 2).sum()) / around if around else None,
        "mre": float(np.mean(np.abs(np.expm1(predicted - observed)))),
        "bounds_hit": [name for name, hit in zip(names, on_edge, strict=False) if hit],
        "condition": float(np.linalg.cond(jacobian / np.linalg.norm(jacobian, axis=0))),
        "spread": float(spread),
    }

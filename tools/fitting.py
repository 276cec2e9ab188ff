"""Fits laws to runs and says how far to trust them (see `tools.estimation` for how).

What the data cannot say: E and beta trade against each other when budgets span less than a decade, and from
runs of a single budget neither is known, though the mixture's effect still is. A tau at 0 says "no transfer
seen"; harm from a source needs the form `signed`.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from mixio.errors import FitError
from tools.estimation import NORMAL, Estimate, bootstrap, estimate, residuals
from tools.forms import FORMS
from tools.forms.layout import Layout
from tools.laws import Laws, TargetLaw, parameters_of, shared_of
from tools.least_squares import EXACT
from tools.observations import Observations, check, observations
from tools.runlog import Run

EDGE = 1e-3
"""A parameter within this of a bound sits on it."""
ASTRAY = 6.0
"""Residuals beyond this many standard deviations, told robustly, are of a run gone astray."""


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


def _floats(values: dict[str, float]) -> list[tuple[str, float]]:
    """By name and as floats, so that 8 draws in a log and 8.0 in a table are the same."""
    return sorted((name, float(value)) for name, value in values.items())


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

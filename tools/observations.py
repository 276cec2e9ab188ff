"""What runs say, as arrays: draws of every domain and losses of every target."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixio.errors import FitError
from tools.forms.form import Array, Inputs
from tools.forms.layout import Layout
from tools.runlog import Run, draws_matrix


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
    d_ref = typical([run.total for run in runs])
    unique = [[(run.unique or {}).get(domain) or np.inf for domain in domains] for run in runs]
    inputs = Inputs(draws_matrix(runs, domains) / d_ref, np.array(unique, float) / d_ref)
    loss = np.array([[run.loss.get(target, np.nan) for run in runs] for target in targets])
    own = np.array([[float(domain == target) for domain in domains] for target in targets])
    return Observations(domains, targets, d_ref, inputs, loss, own)


def typical(budgets: Sequence[float] | Array) -> float:
    """The geometric mean of budgets, which laws take for their `d_ref`."""
    return float(np.exp(np.mean(np.log(budgets))))


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

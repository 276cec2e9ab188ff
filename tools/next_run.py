"""The run that would tell the most about the best mixture: chosen by what its losses would leave to be doubted.

The samples of a bootstrap stand for what the laws may be. Each has its own optimal shares, and to give out those of one
where another is true costs, to second order, half their squared distance in the metric of the objective's curvature. So
the spread of the optima is the regret to expect for want of knowledge. The samples differ, too, in the log losses of a
run that is not made yet; where these move with the optima, measuring them narrows the optima. Samples are taken for
normal, so that the narrowing is a regression, the same whatever will be measured (an ensemble Kalman filter's):

    Cov(p | y) = Cov(p) - Cov(p, y) (Cov(y) + noise^2)^-1 Cov(y, p)

It also gives the second run while the first is chosen but not made. What as many numbers without meaning would seem to
explain is taken off, for samples are few. What no sample doubts, such as the form, no run is chosen to test.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mixio.errors import InvalidArgument
from tools.designs import Design, singles_and_mixtures
from tools.forms.form import Array
from tools.laws import Laws
from tools.regret import optima, sets_of
from tools.solve import Terms

STEP = 1e-4
"""Of shares, in the difference of slopes that the curvature is told from."""
LEAST_NOISE = 1e-4
"""Deviation of log losses below which a run is not believed."""


@dataclass(frozen=True)
class Aim:
    """What the runs are for: a mixture of `budget` draws within `terms`, told by runs with this noise of log losses."""

    budget: float
    terms: Terms
    noise: float


@dataclass(frozen=True)
class Suggestion:
    """A run, the regret to expect once it is made, and how much less that is than before it, per draw of the run."""

    design: Design
    regret: float
    per_draw: float


@dataclass(frozen=True)
class Advice:
    """The regret to expect now, as a part of the loss, and runs that lower it."""

    regret: float
    runs: tuple[Suggestion, ...]


def candidates(laws: Laws, budgets: Sequence[int], mixtures: int, *, seed: int = 0) -> list[Design]:
    """Each domain alone and so many random mixtures at each budget; other mixtures once more runs are fitted."""
    return singles_and_mixtures(laws.domains, budgets, mixtures * len(budgets), seed=seed + _made(laws))


def rank(laws: Laws, designs: Sequence[Design], aim: Aim) -> Advice:
    """Every run as the next one, those first that lower the expected regret most per draw."""
    doubt = _doubt(laws, designs, aim)
    left, per_draw = doubt.left, _per_draw(doubt, designs)
    order = np.argsort(-per_draw, kind="stable")
    return Advice(doubt.regret, tuple(Suggestion(designs[at], float(left[at]), float(per_draw[at])) for at in order))


def choose(laws: Laws, designs: Sequence[Design], aim: Aim, draws: float) -> Advice:
    """Runs of `draws` in all, each the best next one per draw when those before it are made; one may come again.

    They have names and seeds of their own.
    """
    doubt, left = _doubt(laws, designs, aim), draws
    first, runs = doubt.regret, list[Suggestion]()
    cost = np.array([design.draws for design in designs])
    if draws < cost.min():
        raise InvalidArgument(f"{draws:g} draws do not pay for one run; the smallest takes {cost.min()}")
    while left >= cost.min():
        per_draw = np.where(cost <= left, _per_draw(doubt, designs), -np.inf)
        at, number = int(per_draw.argmax()), _made(laws) + len(runs)
        named = replace(designs[at], run=f"next-{number:03d}-{designs[at].draws}", seed=designs[0].seed + number)
        runs.append(Suggestion(named, float(doubt.left[at]), float(per_draw[at])))
        doubt, left = doubt.after(at), left - named.draws
    return Advice(first, tuple(runs))


@dataclass(frozen=True)
class Doubt:
    """How U samples differ, in units in which they are independent: optimal shares (U, K), a squared length of which is
    twice a regret, and the log losses of M runs over their noise (M, U, T).
    """

    shares: Array
    losses: Array

    @property
    def regret(self) -> float:
        """The regret to expect."""
        return float((self.shares**2).sum()) / 2

    @cached_property
    def left(self) -> Array:
        """The regret to expect when a run is made (M,)."""
        seen = self.losses.swapaxes(1, 2) @ self.losses  # (M, T, T)
        both = self.losses.swapaxes(1, 2) @ self.shares  # (M, T, K)
        known = np.linalg.inv(seen + np.eye(seen.shape[1]))
        told = np.einsum("mtk,mts,msk->m", both, known, both) / 2
        chance = self.regret * np.einsum("mts,mts->m", seen, known) / (len(self.shares) - 1)
        gained: Array = np.clip(told - chance, 0, self.regret)
        return self.regret - gained

    def after(self, run: int) -> "Doubt":
        """What is left to be doubted once this run is made."""
        variance, direction = np.linalg.eigh(self.losses[run] @ self.losses[run].T)  # (U, U)
        narrower = (direction / np.sqrt(1 + np.maximum(variance, 0))) @ direction.T
        return Doubt(narrower @ self.shares, narrower @ self.losses)


def _doubt(laws: Laws, designs: Sequence[Design], aim: Aim) -> Doubt:
    if laws.resampled is None or sets_of(laws.resampled) < 3:
        raise InvalidArgument("these laws have no bootstrap samples to tell doubt from; fit them with --samples 200")
    best = optima(laws.resampled, aim.budget, aim.terms)  # (U, K)
    draws = np.array([laws.array(design.shares) * design.draws for design in designs])
    losses = np.log(laws.resampled.predict(draws)).transpose(2, 0, 1) / max(aim.noise, LEAST_NOISE)  # (M, U, T)
    unit = np.sqrt(len(best) - 1)
    spread = (best - best.mean(0)) @ _root_of_curvature(laws, best.mean(0), aim)
    return Doubt(spread / unit, (losses - losses.mean(1, keepdims=True)) / unit)


def _root_of_curvature(laws: Laws, share: Array, aim: Aim) -> Array:
    """(K, K): shares times this have squared lengths that are second derivatives of the objective, as a part of it."""
    weight, count = aim.terms.weight, len(share)
    places = np.concatenate([share[None], share + STEP * np.eye(count)]) * aim.budget
    slope = np.tensordot(weight, laws.curves.slope(places)[0], 1) * aim.budget  # (1 + K, K)
    curvature = (slope[1:] - slope[0]) / STEP / float(laws.predict(places[0]) @ weight)
    value, direction = np.linalg.eigh((curvature + curvature.T) / 2)
    root: Array = direction * np.sqrt(np.maximum(value, 0))
    return root


def _per_draw(doubt: Doubt, designs: Sequence[Design]) -> Array:
    gained: Array = (doubt.regret - doubt.left) / np.array([design.draws for design in designs])
    return gained


def _made(laws: Laws) -> int:
    return int(laws.data.get("runs", 0))

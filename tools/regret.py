"""What an allocation is expected to lose that comes of runs yet to be made: a simulation of the whole way.

Under each of many laws that may be true, the runs of a design are made up with log-normal noise, laws are fitted to
them (`tools.fitting`) and solved for the best mixture (`tools.solve`). Its regret is how much higher the true loss is
that it gives than the true optimum's, as a part of that:

    F(p of the fitted law) / F(p of the true law) - 1

Laws of the right form are fitted, so that a regret from the wrong form, or from repeats unheard of, is not in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixio.errors import InvalidArgument
from tools.designs import Design
from tools.estimation import estimate
from tools.forms import FORMS
from tools.forms.form import Array, Inputs
from tools.forms.layout import Layout
from tools.laws import Curves, Laws
from tools.observations import Observations, check, typical
from tools.solve import Terms, best_shares

HIGH = 90
"""The percentile of regrets that is told beside their mean."""


@dataclass(frozen=True)
class Setting:
    """What is known or assumed: sets of laws that may be true, the budget that the mixture is for, what mixtures are
    allowed, the deviation of log losses from run to run, and the form that will be fitted.
    """

    domains: tuple[str, ...]
    truths: Curves
    budget: float
    terms: Terms
    noise: float
    form: str = "transfer"

    def __post_init__(self) -> None:
        if not 0 < self.budget < np.inf:
            raise InvalidArgument(f"budget must be a positive number of draws, got {self.budget}")
        if not 0 <= self.noise < 1:
            raise InvalidArgument(f"noise is the deviation of log losses, at least 0 and below 1; got {self.noise}")

    @cached_property
    def best(self) -> Array:
        """The optimal shares under every set of laws (U, K)."""
        return optima(self.truths, self.budget, self.terms)

    def regret(self, shares: Array) -> Array:
        """What the shares (U, K) lose under the set of laws of the same row (U,)."""
        return self._objective(shares) / self._objective(self.best) - 1

    def _objective(self, shares: Array) -> Array:
        rows = np.arange(len(shares))
        losses = self.truths.predict(shares * self.budget)[rows, :, rows]  # (U, T, U) -> (U, T)
        return self.terms.of(losses)


@dataclass(frozen=True)
class Regret:
    """Mean and 90th percentile over the laws that may be true, as parts of the lowest loss."""

    mean: float
    high: float


def truths_of(laws: Laws, sets: int) -> Curves:
    """The laws of so many bootstrap samples, spread over all; without a bootstrap the fitted ones, so many times."""
    curves = laws.resampled or laws.curves
    return curves.only(np.linspace(0, sets_of(curves), sets, endpoint=False).astype(int).tolist())


def noise_of_laws(laws: Laws) -> float:
    """Deviation of log losses: that of replicates if there were any, else around the laws, in the middle of targets."""
    if told := laws.provenance.get("noise"):
        return float(told["deviation"])
    around = [law.diagnostics["noise"] for law in laws.targets.values() if "noise" in law.diagnostics]
    if not around:
        raise InvalidArgument("these laws do not say how noisy their runs were; give --noise")
    return float(np.median(around))


def expected_regret(setting: Setting, designs: Sequence[Design], *, seed: int = 0) -> Regret:
    """The regret of the mixtures that laws fitted to the runs of `designs` choose; `FitError` if they are too few."""
    draws = np.array([[design.shares[domain] * design.draws for domain in setting.domains] for design in designs])
    losses = setting.truths.predict(draws)  # (U, T, N)
    losses = losses * np.exp(setting.noise * np.random.default_rng([seed, len(draws)]).standard_normal(losses.shape))
    return _told(setting.regret(optima(_fitted(setting, draws, losses), setting.budget, setting.terms)))


def uniform_regret(setting: Setting) -> Regret:
    """The regret of the uniform mixture, which needs no run."""
    return _told(setting.regret(np.full(setting.best.shape, 1 / setting.best.shape[1])))


def optima(curves: Curves, budget: float, terms: Terms) -> Array:
    """The optimal shares (U, K) of each set of `curves`."""
    return np.stack([best_shares(curves.only([one]), budget, terms)[0] for one in range(sets_of(curves))])


def sets_of(curves: Curves) -> int:
    """How many sets of laws there are."""
    return len(next(iter(curves.values.values())))


def _fitted(setting: Setting, draws: Array, losses: Array) -> Curves:
    """Laws fitted to runs of these draws (N, K) and losses (U, T, N), each set by itself."""
    layout, truths = Layout(FORMS[setting.form], len(setting.domains)), setting.truths
    sets, targets = losses.shape[:2]
    d_ref = typical(draws.sum(1))
    inputs = Inputs(draws / d_ref, np.broadcast_to(truths.unique / d_ref, draws.shape))
    names = tuple(setting.domains[column] for column in truths.own.argmax(1))
    together = 1 if layout.form.shared else sets  # targets that share nothing are fitted all at once
    local, shared = [], []
    for first in range(0, sets, together):
        loss = losses[first : first + together].reshape(-1, len(draws))
        own = np.tile(truths.own, (together, 1))
        seen = Observations(setting.domains, names * together, d_ref, inputs, loss, own)
        check(seen, layout)
        found = estimate(seen, layout)
        local.append(found.local.reshape(together, targets, -1))
        shared.append(np.tile(found.shared, (together, 1)))
    values = layout.unpack(np.concatenate(local), np.concatenate(shared))
    return Curves(layout.form, values, truths.own, truths.unique, d_ref)


def _told(regrets: Array) -> Regret:
    return Regret(float(regrets.mean()), float(np.percentile(regrets, HIGH)))

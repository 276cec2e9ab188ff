"""Laws that are known because we made them up, and runs under them: what an allocation fitted to those loses.

Six domains, of which the first is a hub that helps all and the last an island that little helps. 54 runs (each domain
alone at four budgets, 30 Dirichlet mixtures), all scored on all domains, with 3 % noise; the allocation is for twice
the largest budget, with a floor of 5 %. Regret is how much higher the true mean loss is than that of the best mixture.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from tools.comparison import compare_forms
from tools.designs import Design, singles_and_mixtures
from tools.fitting import fit_laws
from tools.forms.form import Array
from tools.laws import Laws, TargetLaw
from tools.runlog import Run
from tools.solve import solve

DOMAINS = ("abdomen-ct", "abdomen-mr", "brain-t1", "brain-t2", "headneck-ct", "headneck-pet")
BUDGETS = (512, 1024, 2048, 4096)
TARGET, NOISE, FLOOR = 8192, 0.03, 0.05
KINDS = ("transfer", "gamma", "repetition", "interference", "total draws")


@dataclass(frozen=True)
class Truth:
    """What losses (N, 6) draws (N, 6) bring, and how many draws each domain gives before it repeats itself."""

    laws: Laws
    interference: float = 0.0

    def losses(self, draws: Array) -> Array:
        """Interference multiplies the loss of a target by 1 + it times the part of draws that is of others."""
        shares = draws / draws.sum(-1, keepdims=True)
        losses: Array = self.laws.predict(draws) * (1 + self.interference * (1 - shares))
        return losses


def truth_of(kind: str, seed: int) -> Truth:
    """A law of this kind, its parameters drawn by `seed`."""
    rng = np.random.default_rng(seed)
    laws, more = planted(rng), np.random.default_rng([seed, 7])
    if kind == "gamma":
        gamma = dict(zip(DOMAINS, more.uniform(0.5, 1, 6).tolist(), strict=True))
        return Truth(replace(laws, form="transfer+gamma", shared={"gamma": gamma}))
    if kind == "repetition":
        unique = dict(zip(DOMAINS, more.uniform(100, 2500, 6).tolist(), strict=True))
        return Truth(replace(laws, form="transfer+repeats", shared={"lambda": 1 / 15.4}, unique=unique))
    if kind == "total draws":
        targets = {
            name: TargetLaw(law.parameters | {"B": more.uniform(0.05, 0.2), "alpha": more.uniform(0.2, 0.6)})
            for name, law in laws.targets.items()
        }
        return Truth(replace(laws, form="transfer+total", targets=targets))
    return Truth(laws, interference=0.15 if kind == "interference" else 0.0)


def planted(rng: np.random.Generator) -> Laws:
    """A transfer law with a hub and an island."""
    transfer = rng.uniform(0, 0.3, (6, 6))
    transfer[:, 0] = rng.uniform(0.4, 0.8, 6)
    transfer[5] *= 0.1
    targets = {}
    for row, name in enumerate(DOMAINS):
        tau = {other: float(transfer[row, column]) for column, other in enumerate(DOMAINS) if other != name}
        E, a, beta, d0 = (float(rng.uniform(*ends)) for ends in ((0.05, 0.3), (0.1, 0.4), (0.2, 0.75), (10, 60)))
        targets[name] = TargetLaw({"E": E, "a": a, "beta": beta, "d0": d0, "tau": tau})
    return Laws(DOMAINS, 1448.0, targets)


def runs_of(truth: Truth, seed: int, designs: list[Design] | None = None, *, noise: float = NOISE) -> list[Run]:
    """The runs of a design under a law, with log-normal noise on every loss."""
    rng, runs = np.random.default_rng([seed, 1]), []
    for design in designs or singles_and_mixtures(DOMAINS, BUDGETS, 30, seed=seed):
        draws = {name: share * design.draws for name, share in design.shares.items()}
        factors = np.exp(noise * rng.standard_normal(len(DOMAINS)))
        losses = truth.losses(truth.laws.array(draws)[None])[0] * factors
        loss = dict(zip(DOMAINS, losses.tolist(), strict=True))
        runs.append(Run(design.run, design.seed, draws, truth.laws.unique or None, loss, design.shares))
    return runs


def regrets(kind: str, truths: int, form: str | None) -> tuple[Array, dict[str, int]]:
    """The regret of each truth, and how often which form was used; None lets held-out error choose it."""
    found, used = [], dict[str, int]()
    for seed in range(truths):
        truth = truth_of(kind, seed)
        runs = runs_of(truth, seed)
        name = form or compare_forms(runs).chosen
        used[name] = used.get(name, 0) + 1
        share = np.array(list(solve(fit_laws(runs, form=name), TARGET, floor=FLOOR).shares.values()))
        found.append(regret_of(truth, share))
    return np.array(found), used


def regret_of(truth: Truth, share: Array) -> float:
    """How much higher the true mean loss of a mixture (6,) is than that of the best one, as a part of it."""
    return _mean_loss(truth)(share) / _mean_loss(truth)(best_of(truth, share)) - 1


def best_of(truth: Truth, start: Array) -> Array:
    """The best mixture under a truth, by a minimiser that knows nothing of its form, from two starts."""
    loss, count = _mean_loss(truth), len(DOMAINS)
    found = []
    for share in (start, np.full(count, 1 / count)):
        answer = minimize(
            lambda p: 100 * loss(p),
            share,
            method="SLSQP",
            bounds=[(FLOOR, 1)] * count,
            constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
            options={"ftol": 1e-12, "maxiter": 500},
        )
        found.append(np.clip(answer.x, FLOOR, 1))
    best: Array = min((share / share.sum() for share in [*found, start]), key=loss)
    return best


def _mean_loss(truth: Truth) -> Callable[[Array], float]:
    return lambda share: float(truth.losses((share * TARGET)[None]).mean())

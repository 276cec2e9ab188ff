"""RegMix: regression trees learn each target's loss from the shares of a swarm of runs; many mixtures are then scored.

LightGBM is fitted to each target's losses, mixtures are drawn around the mean shares of the runs, and the answer is the
mean of the 128 mixtures whose mean predicted loss is lowest. The draws of a mixture are Dirichlet, with concentrations
(mean shares) x s, s spread evenly in logarithm from 0.1 (one domain has nearly all) to 5 (near the mean). After Liu et
al., "RegMix", arXiv 2407.01492, with the settings of its repository (sail-sg/regmix), but for two things: rounds are
not stopped early on the runs that are judged afterwards, and a leaf holds an eighth of the runs, and 20 at most, so
that less than 100 runs make trees at all. Runs of several budgets are told apart by one feature more, the logarithm of
the draws; trees are level beyond what they have seen, so this says nothing of larger budgets than the runs'.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixio.errors import FitError
from tools.forms.form import Array
from tools.runlog import Run, draws_matrix

FEWEST = 16
"""Runs with a loss of a target, below which trees have nothing to split."""
LEAF = 20
ROUNDS, RATE = 1000, 1e-2
STRENGTHS = (0.1, 5.0)
MIXTURES, BEST = 100_000, 128


@dataclass(frozen=True)
class Regression:
    """Trees of each target over shares (K,) of `domains`; `prior` (K,) are the runs' mean shares, `largest` the most
    draws of a run.
    """

    domains: tuple[str, ...]
    prior: Array
    largest: float
    trees: dict[str, Any]

    def predict(self, shares: Array, draws: float | Array) -> Array:
        """Losses (N, T) of mixtures (N, K) after so many draws, or (N,) draws."""
        features = _features(shares, draws)
        return np.stack([trees.predict(features, num_threads=1) for trees in self.trees.values()], 1)


def regression(runs: Sequence[Run], *, seed: int = 42) -> Regression:
    """Trees of every target that a run was scored on.

    Raises `FitError` where a target has fewer than 16 runs, or LightGBM is not installed.
    """
    domains = tuple(sorted({domain for run in runs for domain in run.draws}))
    targets = sorted({target for run in runs for target in run.loss})
    if not targets:
        raise FitError("no run has a loss; expected columns loss:<target> or results with held-out losses")
    draws = draws_matrix(runs, domains)
    total = draws.sum(1)
    shares = draws / total[:, None]
    budgets = np.array([run.budget for run in runs])
    trees = {}
    for target in targets:
        scored = np.array([target in run.loss for run in runs])
        if scored.sum() < FEWEST:
            raise FitError(
                f"{scored.sum()} runs have a loss of {target!r}, and regression needs {FEWEST}; "
                "make more, or leave it out"
            )
        loss = np.array([run.loss[target] for run in runs if target in run.loss])
        trees[target] = _trees(_features(shares[scored], budgets[scored]), loss, seed)
    return Regression(domains, shares.mean(0), float(total.max()), trees)


def best_mixture(
    found: Regression,
    *,
    draws: float | None = None,
    weights: Mapping[str, float] | None = None,
    mixtures: int = MIXTURES,
    seed: int = 42,
) -> dict[str, float]:
    """The mean of the best 128 of so many random mixtures, after `draws` (default: the runs' most).

    The best have the lowest mean of predicted losses, weighted by target if there are `weights`.
    """
    if mixtures < BEST:
        raise FitError(f"the mean of the best {BEST} needs at least as many mixtures, got {mixtures}")
    if unknown := sorted(set(weights or {}) - set(found.trees)):
        raise FitError(f"weights for {unknown}, but the runs have the targets {[*found.trees]}")
    weight = np.array([1.0 if weights is None else weights.get(target, 0.0) for target in found.trees])
    if not (np.isfinite(weight).all() and weight.min() >= 0 and weight.any()):
        raise FitError(f"weights must be finite, not negative and not all zero, got {dict(weights or {})}")
    shares = around(found.prior, mixtures, seed=seed)
    losses = found.predict(shares, draws or found.largest) @ weight
    mean = shares[np.argsort(losses, kind="stable")[:BEST]].mean(0)
    return dict(zip(found.domains, (mean / mean.sum()).tolist(), strict=True))


def around(prior: Array, count: int, *, seed: int) -> Array:
    """Mixtures (N, K) around a prior (K,), whose domains without a share have none in any."""
    rng = np.random.default_rng(seed)
    low, high = np.log(STRENGTHS)
    drawn = rng.standard_gamma(np.exp(rng.uniform(low, high, (count, 1))) * prior)  # (N, K)
    drawn[drawn.sum(1) == 0] = prior  # of tiny concentrations all may be too small for floats
    mixed: Array = drawn / drawn.sum(1, keepdims=True)
    return mixed


def _features(shares: Array, draws: float | Array) -> Array:
    """(N, K + 1): shares, and the logarithm of the draws."""
    return np.concatenate([shares, np.broadcast_to(np.log(draws), len(shares))[:, None]], 1)


def _trees(features: Array, loss: Array, seed: int) -> Any:
    try:
        import lightgbm  # only those who ask for this strategy need it
    except ImportError as error:
        raise FitError("RegMix needs LightGBM: pip install 'mixio[laws]'") from error
    settings = {
        "objective": "regression",
        "learning_rate": RATE,
        "min_data_in_leaf": min(LEAF, max(1, len(loss) // 8)),
        "seed": seed,
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    return lightgbm.train(settings, lightgbm.Dataset(features, loss), ROUNDS)

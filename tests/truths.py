"""Planted laws and the runs that obey them, for the tests of fitting, solving and the commands on top."""

import numpy as np

from benchmarks.laws import truths
from tools.laws import Laws, TargetLaw
from tools.runlog import Run

DOMAINS = truths.DOMAINS


def law(E: float, a: float, beta: float, d0: float, tau: dict[str, float]) -> TargetLaw:
    """A transfer law of these parameters."""
    return TargetLaw({"E": E, "a": a, "beta": beta, "d0": d0, "tau": tau})


def planted(seed: int) -> Laws:
    """Six domains of which the first is a hub that helps all and the last an island that little helps."""
    return truths.planted(np.random.default_rng(seed))


def runs_under(laws: Laws, *, noise: float = 0.0, seed: int = 0) -> list[Run]:
    """54 runs, each domain alone at four budgets and 30 mixtures, with log-normal noise on every loss."""
    return truths.runs_of(truths.Truth(laws), seed, noise=noise)

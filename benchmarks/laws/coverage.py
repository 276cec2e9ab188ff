"""How often 90 % intervals hold the truth, over laws that are known."""

import numpy as np

from benchmarks.laws.truths import DOMAINS, FLOOR, TARGET, best_of, runs_of, truth_of
from tools.fitting import fit_laws
from tools.plan import share_intervals
from tools.solve import terms_of

_NEAR = 1e-4
"""Shares are solved to about this."""


def coverage(truths: int, samples: int = 200) -> list[list[object]]:
    """Rows: what, the part that is covered, of how many. Shares that lie on the floor in truth and in every sample are
    covered whatever one does; the last row leaves them out.
    """
    held: dict[str, list[bool]] = {"beta": [], "tau": [], "shares": [], "shares off the floor": []}
    for seed in range(truths):
        truth = truth_of("transfer", seed)
        laws = fit_laws(runs_of(truth, seed), samples=samples, seed=seed)
        for name in DOMAINS:
            planted = truth.laws.targets[name].parameters
            held["beta"].append(_holds(laws.interval("beta", name), planted["beta"]))
            taus = laws.interval("tau", name)
            held["tau"] += [_holds(taus[other], planted["tau"][other]) for other in taus]
        best = best_of(truth, np.full(len(DOMAINS), 1 / len(DOMAINS)))
        intervals = share_intervals(laws, TARGET, terms_of(laws, floor=FLOOR)) or {}
        for name, share in zip(DOMAINS, best, strict=True):
            low, high = intervals[name]
            inside = low - _NEAR <= share <= high + _NEAR
            held["shares"].append(inside)
            if max(share, high) > FLOOR + _NEAR:
                held["shares off the floor"].append(inside)
    return [[name, float(np.mean(each)), len(each)] for name, each in held.items()]


def _holds(ends: list[float], value: float) -> bool:
    return ends[0] <= value <= ends[1]

"""Allocations that need counts and no runs: what people do without laws, and what a law's plan must beat.

>>> proportional({"abdomen-ct": 30, "brain-t1": 10})
{'abdomen-ct': 0.75, 'brain-t1': 0.25}
>>> uniform(["abdomen-ct", "brain-t1"])
{'abdomen-ct': 0.5, 'brain-t1': 0.5}
>>> unimax({"abdomen-ct": 30, "brain-t1": 10}, 50, epochs=2)
{'abdomen-ct': 0.6, 'brain-t1': 0.4}
"""

import math
from collections.abc import Mapping, Sequence

from mixio.errors import AllocationError


def proportional(counts: Mapping[str, float]) -> dict[str, float]:
    """Shares in proportion to what there is of each domain: its volumes, voxels or patches."""
    total = sum(counts.values())
    if not 0 < total < math.inf or min(counts.values()) < 0:
        raise AllocationError(f"counts must be finite, not negative and not all zero, got {dict(counts)}")
    return {domain: count / total for domain, count in counts.items()}


def uniform(domains: Sequence[str]) -> dict[str, float]:
    """The same share for every domain."""
    return proportional(dict.fromkeys(domains, 1))


def temperature(counts: Mapping[str, float], *, alpha: float = 0.3) -> dict[str, float]:
    """Shares in proportion to count^alpha: 1 is proportional, towards 0 all that have any become alike.

    `alpha` is one over the temperature; mT5 has 0.3, XLM-R the same, multilingual BERT 0.7. A domain of which there is
    nothing gets nothing. After Xue et al., "mT5", arXiv 2010.11934, section 3.2.
    """
    if not 0 <= alpha < math.inf:
        raise AllocationError(f"alpha must be a finite number and not negative, got {alpha}")
    shares = proportional(counts)
    largest = max(shares.values())  # as a part of the largest, no power is too large
    return proportional({domain: (share / largest) ** alpha if share else 0.0 for domain, share in shares.items()})


def unimax(unique: Mapping[str, float], budget: float, *, epochs: float = 4) -> dict[str, float]:
    """As near to uniform as can be without a domain coming more than `epochs` times.

    From the smallest domain to the largest, each of the n that are left gets b_i = min(epochs U_i, left / n) draws.
    `unique` are the draws U_i that a domain gives before it repeats itself, `budget` the draws of the run. Raises
    `AllocationError` where all domains together, so often repeated, are fewer than the budget.
    After Chung et al., "UniMax", arXiv 2304.09151, algorithm 1, which then gives back fewer draws than were asked for.
    """
    proportional(unique)
    if not len(unique) <= budget < math.inf:
        raise AllocationError(f"a budget must be finite, with a draw for each of {len(unique)} domains, got {budget:g}")
    if not 0 < epochs < math.inf:
        raise AllocationError(f"epochs must be finite and positive, got {epochs}")
    most = epochs * sum(unique.values())
    if budget > most * (1 + 1e-12):
        raise AllocationError(
            f"{budget:g} draws are more than {epochs:g} times the {sum(unique.values()):g} that there are of all "
            f"domains; allow {math.ceil(100 * budget / sum(unique.values())) / 100:g} epochs, or at most {most:g} draws"
        )
    draws, left = {}, float(budget)
    for place, domain in enumerate(sorted(unique, key=lambda name: unique[name])):
        draws[domain] = min(epochs * unique[domain], left / (len(unique) - place))
        left -= draws[domain]
    return {domain: draws[domain] / budget for domain in unique}


def with_floor(shares: Mapping[str, float], floor: float) -> dict[str, float]:
    """The shares mixed with the uniform mixture so that none is below `floor`: floor + (1 - K floor) p."""
    count = len(shares)
    if not 0 <= floor <= 1 / count:
        raise AllocationError(
            f"a floor of {floor:g} for each of {count} domains needs {floor * count:g} of the budget; "
            f"it must lie between 0 and {1 / count:.4g}"
        )
    return {domain: floor + (1 - count * floor) * share for domain, share in shares.items()}

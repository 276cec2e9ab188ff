"""Allocations that need no laws: what people do without them, and what a law's plan must beat.

>>> proportional({"abdomen-ct": 30, "brain-t1": 10})
{'abdomen-ct': 0.75, 'brain-t1': 0.25}
>>> uniform(["abdomen-ct", "brain-t1"])
{'abdomen-ct': 0.5, 'brain-t1': 0.5}
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

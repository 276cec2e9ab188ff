"""Laws as they might be, for plans that are made before there is any run: draws from an assumed prior.

Transfer laws of six domains or so as studies on made-up laws have them: one hub that is
worth 0.4 to 0.8 draws to every other domain, one island to which the others are worth a tenth of what they are to the
rest, up to 0.3 draws among the rest, exponents from 0.2 to 0.75. A simulation under them says how designs compare;
what the loss will be they do not know.
"""

import numpy as np

from mixio.errors import InvalidArgument
from tools.forms import FORMS
from tools.laws import Curves

BETWEEN = 0.3
"""The most that a domain which is no hub is worth to another."""
HUB = (0.4, 0.8)
ISLAND = 0.1


def assumed_laws(count: int, d_ref: float, sets: int, *, seed: int = 0) -> Curves:
    """So many sets of transfer laws of `count` domains, each domain a target, whose losses fall around `d_ref` draws.

    Two domains have a hub and no island, a single one has neither.
    """
    if count < 1 or sets < 1 or not 0 < d_ref < np.inf:
        raise InvalidArgument(f"need domains, sets and a positive d_ref, got {count}, {sets} and {d_ref}")
    rng = np.random.default_rng([seed, count])
    transfer = rng.uniform(0, BETWEEN, (sets, count, count))
    for one in transfer:
        hub, island = [*rng.permutation(count), -1][:2]
        if count > 1:
            one[:, hub] = rng.uniform(*HUB, count)
        if count > 2:
            one[island] *= ISLAND
    transfer[:, np.arange(count), np.arange(count)] = 1.0
    bounds = {"E": (0.05, 0.3), "a": (0.1, 0.4), "beta": (0.2, 0.75), "d0": (0.007, 0.04)}
    values = {name: rng.uniform(*ends, (sets, count, 1)) for name, ends in bounds.items()}
    return Curves(FORMS["transfer"], values | {"tau": transfer}, np.eye(count), np.full(count, np.inf), d_ref)

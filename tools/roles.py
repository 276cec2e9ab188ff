"""Who helps whom: hubs and islands, as labels under one law and as probabilities over a bootstrap.

All of it is read off the slopes of the losses at a given allocation, whatever the form of the law: what one draw of j
is worth to i, in draws of i, is dL_i/dD_j over dL_i/dD_i.

    outgoing        sum over the other targets of what a draw of this domain is worth to them
    incoming        sum over the other domains of what a draw of theirs is worth to this one
    self-reliance   the part of what a target's draws of all domains are worth to it that is its own
    hub             outgoing above incoming (a net giver) and above the mean over domains
    island          no hub, and self-reliance above 0.8
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tools.forms.form import Array
from tools.laws import Curves, Laws, exchange

ISLAND = 0.2
"""A domain that gets less than this part of its effective draws from others is an island."""


@dataclass(frozen=True)
class Role:
    """What a domain gives and takes (see the module), its label, "hub", "island" or "", and how often a bootstrap
    labels it so; None without one.
    """

    outgoing: float
    incoming: float
    self_reliance: float
    label: str
    hub: float | None = None
    island: float | None = None


def structure(laws: Laws, shares: Mapping[str, float], budget: float) -> dict[str, Role]:
    """The role of each target when `budget` draws are given out in these shares."""
    draws = laws.array(shares) * budget
    given, taken, alone, hub, island = (part[0] for part in _roles(laws.curves, draws))
    often = None
    if laws.resampled is not None:
        often = [part.mean(0) for part in _roles(laws.resampled, draws)[3:]]
    return {
        name: Role(
            float(given[row]),
            float(taken[row]),
            float(alone[row]),
            "hub" if hub[row] else "island" if island[row] else "",
            *(float(part[row]) for part in often or ()),
        )
        for row, name in enumerate(laws.targets)
    }


def _roles(curves: Curves, draws: Array) -> tuple[Array, ...]:
    """Outgoing, incoming, self-reliance, whether a hub, whether an island, of each set and target (U, T)."""
    worth = exchange(curves, draws)  # (U, T, K)
    column = curves.own.argmax(1)
    outgoing = worth.sum(1) - curves.own.sum(0)  # (U, K)
    incoming = worth.sum(2) - 1
    alone = draws[column] / np.maximum((worth * draws).sum(2), 1e-300)
    given = outgoing[:, column]
    hub = given > np.maximum(incoming, outgoing.mean(1, keepdims=True))
    return given, incoming, alone, hub, ~hub & (1 - alone < ISLAND)

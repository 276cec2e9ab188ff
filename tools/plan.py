"""How far an allocation can be trusted, and what would make it better: intervals, gains, and the value of more data.

All intervals hold 90 % of what the laws of the bootstrap say. Shares are solved again under each of them; a gain is
how much lower the objective is than that of another mixture, as a part of it, under one law after the other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixio.errors import InvalidArgument
from tools.forms.form import Array
from tools.laws import ENDS, Curves, Laws
from tools.roles import Role, structure
from tools.solve import Solution, Terms, best_shares, solve, terms_of

_SOLVED = 2000
"""Times domains that shares are solved for again, from 20 to 200 of the bootstrap's samples."""


@dataclass(frozen=True)
class Told:
    """A number and its interval, None without a bootstrap."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Marginal:
    """By how much the objective would fall: with 1,000 more draws of a domain, and with one more volume of it.

    The latter is None unless the law knows repetition and the numbers of volumes and of draws they give are known.
    """

    draws: Told
    volume: Told | None = None


@dataclass(frozen=True)
class Plan:
    """The allocation of one budget, with all that is known about it.

    `measured` names the objective, `intervals` are of the shares, `gains` over the uniform mixture and, where
    the laws know how much data there is, over the one in proportion to it.
    """

    budget: float
    measured: str
    solution: Solution
    roles: dict[str, Role]
    intervals: dict[str, list[float]] | None
    gains: dict[str, Told]
    marginal: dict[str, Marginal]


def plan(
    laws: Laws,
    budget: float,
    *,
    max_repeats: float | None = None,
    volumes: Mapping[str, float] | None = None,
    **options: Any,
) -> Plan:
    """The best allocation of `budget` draws (see `tools.solve.solve` for the options) and how far to trust it.

    With `max_repeats` no domain is drawn more often than so many times what it gives before it repeats itself.
    """
    options["caps"] = capped(laws, budget, options.get("caps"), max_repeats)
    solution = solve(laws, budget, **options)
    terms = terms_of(laws, **{name: value for name, value in options.items() if name != "robust"})
    share = laws.array(solution.shares)
    others = {"uniform": np.full(len(share), 1 / len(share)), "proportional": proportional_shares(laws)}
    gains = {name: gain(laws, share, other, budget, terms) for name, other in others.items() if other is not None}
    return Plan(
        budget,
        terms.measured,
        solution,
        structure(laws, solution.shares, budget),
        share_intervals(laws, budget, terms),
        gains,
        marginal(laws, share, budget, terms, volumes),
    )


def capped(
    laws: Laws, budget: float, caps: Mapping[str, float] | None, max_repeats: float | None
) -> dict[str, float] | None:
    """Caps of shares, with those that a largest number of passes over the data sets."""
    if max_repeats is None:
        return None if caps is None else dict(caps)
    if unknown := sorted(set(laws.domains) - set(laws.unique)):
        raise InvalidArgument(
            f"these laws do not say how many draws {unknown} give before they repeat themselves; fit them to runs with "
            "unique:<domain>, or set caps"
        )
    most = {name: min(1.0, max_repeats * laws.unique[name] / budget) for name in laws.domains}
    return {name: min(cap, (caps or {}).get(name, 1.0)) for name, cap in most.items()} | {
        name: cap for name, cap in (caps or {}).items() if name not in most
    }


def share_intervals(laws: Laws, budget: float, terms: Terms) -> dict[str, list[float]] | None:
    """The interval [low, high] of each domain's share; None without a bootstrap."""
    if laws.resampled is None:
        return None
    samples = len(laws.samples.local) if laws.samples else 0
    solved = min(samples, int(np.clip(_SOLVED // len(laws.domains), 20, 200)))
    chosen = np.linspace(0, samples - 1, solved).astype(int).tolist()
    shares = np.array([best_shares(laws.resampled.only([one]), budget, terms)[0] for one in chosen])
    ends = np.percentile(shares, ENDS, 0).T
    return dict(zip(laws.domains, ends.tolist(), strict=True))


def gain(laws: Laws, share: Array, other: Array, budget: float, terms: Terms) -> Told:
    """How much lower the objective of `share` (K,) is than that of `other`, as a part of it."""
    mine, theirs = share * budget, other * budget
    return _told(laws, lambda curves: 1 - _objective(curves, mine, terms) / _objective(curves, theirs, terms))


def marginal(
    laws: Laws, share: Array, budget: float, terms: Terms, volumes: Mapping[str, float] | None = None
) -> dict[str, Marginal]:
    """What more of each domain would bring, at this allocation of `budget` draws; `volumes` are how many it has."""
    if unknown := sorted(set(volumes or {}) - set(laws.domains)):
        raise InvalidArgument(f"volumes of {unknown}, but the laws have the domains {list(laws.domains)}")
    return {name: _marginal(laws, name, share * budget, terms, (volumes or {}).get(name)) for name in laws.domains}


def _marginal(laws: Laws, name: str, draws: Array, terms: Terms, volumes: float | None) -> Marginal:
    one = laws.array({name: 1.0})
    more = _told(laws, lambda curves: _objective(curves, draws, terms) - _objective(curves, draws + 1000 * one, terms))
    unique = laws.unique.get(name)
    if not (volumes and unique and "lambda" in laws.curves.values):
        return Marginal(more)
    richer = laws.curves.unique + unique / volumes * one
    return Marginal(
        more,
        _told(laws, lambda curves: _objective(curves, draws, terms) - _objective(curves, draws, terms, richer)),
    )


def proportional_shares(laws: Laws) -> Array | None:
    """Shares in proportion to the draws that each domain gives before it repeats itself; None if that is not known."""
    unique = laws.curves.unique
    return unique / unique.sum() if np.isfinite(unique).all() else None


def _told(laws: Laws, of: Callable[[Curves], Array]) -> Told:
    value = float(of(laws.curves)[0])
    if laws.resampled is None:
        return Told(value)
    low, high = np.percentile(of(laws.resampled), ENDS)
    return Told(value, float(low), float(high))


def _objective(curves: Curves, draws: Array, terms: Terms, unique: Array | None = None) -> Array:
    """The objective after these draws (K,) under each law (U,), of domains that give `unique` draws."""
    return terms.of(curves.predict(draws[None], unique)[:, :, 0])

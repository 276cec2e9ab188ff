"""Which runs to make so that a transfer law can be fitted to them, what they cost, and the most that a cost buys.

Alone, a domain shows its own curve and what it is worth to every other; interior mixtures show whether the law's form
holds. Every run is scored on all domains, so that six domains at four budgets plus 30 mixtures are enough:
`tools.regret` says by simulation what an allocation loses that came of a design. Each kind of design is a function of
domains, budgets and how many runs follow those that it begins with; more runs leave the earlier ones as they were. A
small `concentration` puts most of a mixture on one or two domains.

    >>> [design.run for design in singles_and_mixtures(["a-ct", "b-mr"], [64], 1)]
    ['single-a-ct-64', 'single-b-mr-64', 'mix-000-64']
"""

import csv
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, combinations
from pathlib import Path

import numpy as np

from mixio.allocation import check_shares
from mixio.errors import AllocationError, InvalidArgument, RunLogError


@dataclass(frozen=True)
class Design:
    """A run to be made: its shares (zeros included, summing to 1), how many draws in all, and its seed."""

    run: str
    shares: dict[str, float]
    draws: int
    seed: int


Planned = tuple[str, dict[str, float], int]
"""Name, shares and draws of a run."""
MOST = 10_000
"""Runs that a plan may have."""


def singles_and_mixtures(
    domains: Sequence[str],
    budgets: Sequence[int],
    mixtures: int,
    *,
    seed: int = 0,
    concentration: float = 0.3,
) -> list[Design]:
    """Each domain alone at each budget, then Dirichlet mixtures that go through the budgets in turn.

    A function of its arguments alone; more `mixtures` leave the earlier ones as they were, and every run has
    a seed of its own.
    """
    domains = _checked(domains, budgets, mixtures, concentration)
    return _seeded(_singles(domains, budgets) + _mixtures(domains, budgets, mixtures, (seed, concentration)), seed)


def mixtures_only(
    domains: Sequence[str],
    budgets: Sequence[int],
    mixtures: int,
    *,
    seed: int = 0,
    concentration: float = 0.3,
) -> list[Design]:
    """The mixtures of `singles_and_mixtures` without the domains alone."""
    domains = _checked(domains, budgets, mixtures, concentration)
    return _seeded(_mixtures(domains, budgets, mixtures, (seed, concentration)), seed)


def singles_and_pairs(domains: Sequence[str], budgets: Sequence[int], pairs: int, *, seed: int = 0) -> list[Design]:
    """Each domain alone at each budget, then halves of two domains; every pair comes before any comes twice.

    A pair comes back at another budget, and, when it has had all, with another seed.
    """
    domains = _checked(domains, budgets, pairs)
    mixed = [(f"pair-{'+'.join(pair)}", _even(pair, domains)) for pair in combinations(domains, 2)]
    return _seeded(_singles(domains, budgets) + _in_turn(mixed, budgets, pairs), seed)


def singles_and_rests(domains: Sequence[str], budgets: Sequence[int], rests: int, *, seed: int = 0) -> list[Design]:
    """Each domain alone at each budget, then equal parts of all domains but one, each left out in turn."""
    domains = _checked(domains, budgets, rests)
    left = {name: [other for other in domains if other != name] for name in domains if len(domains) > 1}
    mixed = [(f"without-{name}", _even(rest, domains)) for name, rest in left.items()]
    return _seeded(_singles(domains, budgets) + _in_turn(mixed, budgets, rests), seed)


Kind = Callable[..., list[Design]]
"""A kind of design: a function of domains, budgets and how many runs follow those that it begins with, and `seed`."""
KINDS: dict[str, Kind] = {
    "singles+mixtures": singles_and_mixtures,
    "singles+pairs": singles_and_pairs,
    "singles+rests": singles_and_rests,
    "mixtures": mixtures_only,
}


def cost(designs: Iterable[Design]) -> int:
    """Draws of all runs together."""
    return sum(design.draws for design in designs)


def within(kind: Kind, domains: Sequence[str], budgets: Sequence[int], draws: int, *, seed: int = 0) -> list[Design]:
    """The runs of a kind, in its order, that `draws` draws in all pay for; more draws keep the earlier runs.

    Raises `InvalidArgument` with the least that is enough if `draws` do not pay for the runs that the kind begins
    with, or for one, and if they pay for more than `MOST`.
    """
    first = kind(domains, budgets, 0, seed=seed) or kind(domains, budgets, 1, seed=seed)
    least = cost(first)
    if draws < least:
        raise InvalidArgument(
            f"{draws} draws in all are too few for this design, whose beginning (runs: {len(first)}) takes {least}; "
            f"give at least {least}, or fewer or smaller budgets"
        )
    longest = kind(domains, budgets, min((draws - least) // min(budgets) + 1, MOST + 1), seed=seed)
    runs = sum(total <= draws for total in accumulate(design.draws for design in longest))
    if runs > MOST:
        raise InvalidArgument(f"{draws} draws in all pay for more than {MOST} runs of {min(budgets)} to {max(budgets)}")
    return longest[:runs]


def write_table(path: str | os.PathLike[str], designs: Iterable[Design]) -> None:
    """Write the runs to be made as a CSV: run, draws, seed, and a `share:<domain>` for each domain."""
    designs = list(designs)
    domains = sorted({domain for design in designs for domain in design.shares})
    temporary = Path(f"{path}.tmp")
    with open(temporary, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["run", "draws", "seed", *(f"share:{domain}" for domain in domains)])
        for design in designs:
            shares = [repr(design.shares.get(domain, 0.0)) for domain in domains]
            writer.writerow([design.run, design.draws, design.seed, *shares])
    os.replace(temporary, path)


def read_table(path: str | os.PathLike[str]) -> list[Design]:
    """Read what `write_table` wrote; a missing column, a cell that is no number and shares that do not sum to 1 are a
    `RunLogError`.
    """
    try:
        with open(path, newline="") as file:
            return [_design_of_row(row) for row in csv.DictReader(file)]
    except (OSError, KeyError, ValueError, TypeError, AllocationError) as error:
        columns = "run, draws, seed, share:<domain>"
        raise RunLogError(f"{path} is not a table of designs ({columns}): {error}") from error


def _design_of_row(row: dict[str, str]) -> Design:
    shares = {name: float(cell) for name, cell in row.items() if name.startswith("share:")}
    shares = {name.removeprefix("share:"): share for name, share in shares.items()}
    return Design(row["run"], check_shares(shares), int(row["draws"]), int(row["seed"]))


def _checked(domains: Sequence[str], budgets: Sequence[int], mixtures: int, concentration: float = 1.0) -> list[str]:
    """The domains in order, if a design can be made of them."""
    domains = sorted(domains)
    if not domains or len(set(domains)) < len(domains):
        raise InvalidArgument(f"domains must be distinct and at least one, got {domains}")
    if len(set(budgets)) != max(len(budgets), 1) or min(budgets) < 1 or mixtures < 0 or not concentration > 0:
        raise InvalidArgument(
            f"need distinct budgets of at least 1 draw, no negative mixtures and a positive concentration, "
            f"got {list(budgets)}, {mixtures} and {concentration}"
        )
    return domains


def _seeded(planned: Sequence[Planned], seed: int) -> list[Design]:
    return [
        Design(run, shares, int(draws), (seed * 1_000_003 + index) % 2**31)
        for index, (run, shares, draws) in enumerate(planned)
    ]


def _singles(domains: Sequence[str], budgets: Sequence[int]) -> list[Planned]:
    return [(f"single-{name}-{draws}", _even([name], domains), draws) for name in domains for draws in budgets]


def _mixtures(domains: Sequence[str], budgets: Sequence[int], mixtures: int, law: tuple[int, float]) -> list[Planned]:
    """Dirichlet mixtures of a seed and a concentration."""
    seed, concentration = law
    planned = []
    for index in range(mixtures):
        shares = np.random.default_rng([seed, index]).dirichlet([concentration] * len(domains))
        draws = budgets[index % len(budgets)]
        planned.append((f"mix-{index:03d}-{draws}", dict(zip(domains, shares.tolist(), strict=True)), draws))
    return planned


def _in_turn(mixed: Sequence[tuple[str, dict[str, float]]], budgets: Sequence[int], count: int) -> list[Planned]:
    """So many runs of these mixtures: each round has every mixture, at the budget after that of the round before."""
    planned = []
    for index in range(count if mixed else 0):
        turn, place = divmod(index, len(mixed))
        (name, shares), draws = mixed[place], budgets[(place + turn) % len(budgets)]
        again = turn // len(budgets)
        planned.append((f"{name}-{draws}" + f"-{again}" * bool(again), shares, draws))
    return planned


def _even(names: Iterable[str], domains: Sequence[str]) -> dict[str, float]:
    names = list(names)
    return {domain: (domain in names) / len(names) for domain in domains}

"""What `--mixture` may be, as shares: a rule, an allocation.json, or the shares themselves."""

from math import prod
from pathlib import Path

from mixio.allocation import Allocation
from mixio.errors import InvalidArgument
from mixio.store import Store
from mixio.weights import read_allocation
from tools.baselines import proportional, temperature, uniform


def shares_of(mixture: str, store: Store) -> tuple[dict[str, float], str | None]:
    """The shares, every domain of the store among them, and the name of the strategy if it has one.

    `mixture` is "uniform", "proportional" (to the number of training volumes), "temperature" (to its power 0.3), the
    path of an allocation.json or of another tool's list of weights, or "abdomen-ct=0.6,brain-t1=0.4".
    """
    if mixture == "uniform":
        return uniform(store.domains), mixture
    if mixture == "proportional":
        return proportional(volumes_of(store)), mixture
    if mixture == "temperature":
        return temperature(volumes_of(store)), mixture
    if mixture.endswith(".json") or Path(mixture).is_file():
        allocation = read_allocation(mixture)
        shares, strategy = dict(allocation.shares), allocation.strategy
    else:
        shares, strategy = Allocation(_parsed(mixture)).shares, None
    return {**dict.fromkeys(store.domains, 0.0), **shares}, strategy


def volumes_of(store: Store) -> dict[str, int]:
    """The number of training volumes of each domain."""
    return {domain: len(store.names(domain, "train")) for domain in store.domains}


def patches_of(store: Store, domain: str, edge: int) -> int:
    """Patches of `edge` voxels of the domain's training volumes side by side: about what it gives before it repeats
    itself, in draws.
    """
    return sum(max(1, prod(store.row(name).shape) // edge**3) for name in store.names(domain, "train"))


def _parsed(text: str) -> dict[str, float]:
    try:
        return {domain.strip(): float(share) for domain, share in (pair.split("=") for pair in text.split(","))}
    except ValueError as error:
        raise InvalidArgument(
            "--mixture must be uniform, proportional, temperature, an allocation.json, or shares like "
            f"abdomen-ct=0.6,brain-t1=0.4; got {text!r}"
        ) from error

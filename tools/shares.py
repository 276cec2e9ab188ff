"""What `--mixture` may be, as shares: a rule, an allocation.json, or the shares themselves."""

from math import prod
from pathlib import Path

from mixio.allocation import Allocation
from mixio.errors import AllocationError, InvalidArgument
from mixio.store import Store
from mixio.weights import read_allocation
from tools.baselines import proportional, temperature, uniform, unimax


def shares_of(
    mixture: str, store: Store, *, draws: int | None = None, patch_size: int | None = None
) -> tuple[dict[str, float], str | None]:
    """The shares, every domain of the store among them, and the name of the strategy if it has one.

    `mixture` is "uniform", "proportional" (to the number of training volumes), "temperature" (to its power 0.3),
    "unimax" (uniform as far as 4 passes over a domain's patches go; needs `draws` and `patch_size`), the path of an
    allocation.json or of another tool's list of weights, or "abdomen-ct=0.6,brain-t1=0.4". "temperature:0.5" and
    "unimax:8" set the power and the passes.
    """
    rule, _, number = mixture.partition(":")
    if mixture == "uniform":
        return uniform(store.domains), mixture
    if mixture == "proportional":
        return proportional(volumes_of(store)), mixture
    if rule == "temperature":
        return temperature(volumes_of(store), alpha=_number(mixture, number or "0.3")), rule
    if rule == "unimax":
        if draws is None or patch_size is None:
            raise InvalidArgument("--mixture unimax needs the draws of a run; give the shares themselves")
        return _unimax(store, draws, patch_size, epochs=_number(mixture, number or "4")), rule
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


def _unimax(store: Store, draws: int, patch_size: int, *, epochs: float) -> dict[str, float]:
    unique = {domain: patches_of(store, domain, patch_size) for domain in store.domains}
    try:
        return unimax(unique, draws, epochs=epochs)
    except AllocationError as error:
        raise AllocationError(f"--mixture unimax:{epochs:g}: {error}") from error


def _number(mixture: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        rule = mixture.partition(":")[0]
        raise InvalidArgument(f"--mixture {mixture}: after {rule}: comes a number, as in {rule}:2") from error


def _parsed(text: str) -> dict[str, float]:
    try:
        return {domain.strip(): float(share) for domain, share in (pair.split("=") for pair in text.split(","))}
    except ValueError as error:
        raise InvalidArgument(
            "--mixture must be uniform, proportional, temperature, unimax, an allocation.json, or shares like "
            f"abdomen-ct=0.6,brain-t1=0.4; got {text!r}"
        ) from error

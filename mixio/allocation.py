"""allocation.json: which share of all draws each domain gets, and where that answer came from.

A solver, or a person, writes it; training reads it. It holds the shares, the budget (draws) they were
made for, the strategy that made them, and whatever its maker wants to remember under `provenance`.
Nothing here knows how to draw: see `mixio.mixture`.

    >>> Allocation({"abdomen-ct": 0.6, "brain-t1": 0.4}).shares["brain-t1"]
    0.4
"""

import json
import math
import operator
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from mixio.errors import AllocationError, as_float, brief, listed

SCHEMA_VERSION = 1
TOLERANCE = 1e-6
LARGEST = 1e300
"""Shares and weights are below it, so that their sums are numbers."""


@dataclass(frozen=True)
class Allocation:
    """Shares of all draws per domain; they sum to 1 within 1e-6 and none is negative.

    Raises `AllocationError` when they do not.
    """

    shares: Mapping[str, float]
    budget: int | None = None
    strategy: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shares", check_shares(self.shares))
        if self.budget is not None:
            object.__setattr__(self, "budget", _budget(self.budget))
        if not isinstance(self.provenance, Mapping):
            raise AllocationError(f"provenance must be a dictionary, got {brief(self.provenance)}")

    @property
    def fingerprint(self) -> str:
        """16 hex characters over the shares, in whatever order they were given."""
        return fingerprint({"shares": self.shares})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Allocation":
        """Read allocation.json; `AllocationError` names the file and what is wrong with it."""
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"), object_pairs_hook=_once)
        except (OSError, TypeError, ValueError, RecursionError) as error:
            raise AllocationError(f"cannot read {path} as an allocation: {error}") from error
        version = document.get("schema_version") if isinstance(document, dict) else None
        if version != SCHEMA_VERSION:
            raise AllocationError(
                f"{path} has schema_version {version!r}, expected {SCHEMA_VERSION}; is it an allocation.json?"
            )
        try:
            return cls(
                shares=document.get("shares"),
                budget=document.get("budget"),
                strategy=document.get("strategy"),
                provenance=document.get("provenance") or {},
            )
        except AllocationError as error:
            raise AllocationError(f"{path}: {error}") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write allocation.json, under a temporary name first, so that a reader never sees half of it."""
        document = {
            "schema_version": SCHEMA_VERSION,
            "shares": dict(self.shares),
            "budget": self.budget,
            "strategy": self.strategy,
            "provenance": dict(self.provenance),
        }
        try:
            text = json.dumps(document, indent=2, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise AllocationError(f"{path}: strategy and provenance must be values that JSON has: {error}") from error
        path = Path(path)
        if path.is_dir():
            raise AllocationError(f"{path} is a folder; name a file in it, like {path / 'allocation.json'}")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(text + "\n", encoding="utf-8")
        os.replace(temporary, path)


def _budget(budget: Any) -> int:
    try:
        draws = 0 if isinstance(budget, bool) else operator.index(budget)
    except TypeError:
        draws = 0
    if draws < 1:
        raise AllocationError(f"budget must be a whole number of draws, at least 1, got {brief(budget)}")
    return draws


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; `ValueError` where a name comes twice, of which `json` would take the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"a name of {listed([name for name, _ in pairs])} is there twice")
    return found


def check_shares(shares: object) -> dict[str, float]:
    """The shares as floats, sorted by name, or an `AllocationError` that says what is wrong."""
    if not isinstance(shares, Mapping) or not shares:
        way_out = "; give its .shares" if isinstance(shares, Allocation) else ""
        raise AllocationError(f"shares must map at least one domain to its share, got {brief(shares)}{way_out}")
    checked: dict[str, float] = {}
    for domain, share in shares.items():
        if not isinstance(domain, str) or not domain:
            raise AllocationError(f"a domain must be a non-empty name, got {domain!r}")
        if not 0 <= as_float(share) < LARGEST:
            raise AllocationError(f"the share of {domain!r} must be a number from 0 to 1, got {brief(share)}")
        checked[domain] = abs(float(share))  # abs: -0.0 and 0.0 are one share
    total = math.fsum(checked.values())
    if abs(total - 1) > TOLERANCE:
        names = listed(sorted(checked))
        raise AllocationError(f"shares must sum to 1, got {total:.9g} for {names}; a missing domain?")
    return dict(sorted(checked.items()))


def fingerprint(value: object) -> str:
    """16 hex characters over the canonical JSON of `value`; equal values have equal fingerprints."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return blake2b(canonical.encode(), digest_size=8).hexdigest()

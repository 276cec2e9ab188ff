"""What a number of batches held: sums, which add up over steps and over ranks."""

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from mixio.consumed import Consumed
from mixio.errors import InvalidArgument, brief, expect
from mixio.repeats import LIMIT, Repeats


@dataclass
class DomainDelivered:
    """Of one domain: draws, those among them whose own volume was damaged, voxels, those outside, reads of volumes."""

    repeats: Repeats
    draws: int = 0
    replaced: int = 0
    voxels: int = 0
    padded: int = 0

    def merge(self, other: "DomainDelivered") -> None:
        self.repeats.merge(other.repeats)
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


_SUMS = ("draws", "replaced", "voxels", "padded")


@dataclass
class Delivered:
    """Sums over batches; `limit` is that of `Repeats`."""

    limit: int = LIMIT
    domains: dict[str, DomainDelivered] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    """Names of the volumes that draws were meant for and could not be read."""
    consumed: Consumed = field(default_factory=Consumed)
    """The draws that had a number."""

    @property
    def draws(self) -> int:
        """Draws of all domains."""
        return sum(each.draws for each in self.domains.values())

    def add(self, batch: Mapping[str, Any]) -> None:
        """Count a collated batch; a column that it has not is not counted."""
        columns = _columns(batch)
        of = [self._of(domain) for domain in columns["domain"]]
        consumed, inside = _consumed(columns.get("draw", ())), _inside(columns.get("valid", ()))
        for domain in of:
            domain.draws += 1
        for domain, key in zip(of, columns.get("key", ()), strict=False):
            domain.repeats.add(str(key))
        for domain, fault in zip(of, columns.get("fault", ()), strict=False):
            if fault:
                domain.replaced += 1
                self.damaged.add(fault)
        self.consumed += consumed
        if "image" in batch:
            voxels = prod(batch["image"].shape[-3:])
            for domain, its in zip(of, inside, strict=False):
                domain.voxels += voxels
                domain.padded += voxels - its

    def merge(self, other: "Delivered") -> None:
        """Count what the other counted, too."""
        for name, counts in other.domains.items():
            self._of(name).merge(counts)
        self.damaged |= other.damaged
        self.consumed += other.consumed

    def state(self) -> dict[str, Any]:
        """Plain values, to be saved as JSON."""
        return {
            "domains": {
                name: {sums: getattr(of, sums) for sums in _SUMS} | {"volumes": of.repeats.state()}
                for name, of in sorted(self.domains.items())
            },
            "damaged": sorted(self.damaged),
            "consumed": self.consumed.state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], *, limit: int = LIMIT) -> "Delivered":
        domains = {
            name: DomainDelivered(Repeats.from_state(of["volumes"], limit=limit), *(of[sums] for sums in _SUMS))
            for name, of in state["domains"].items()
        }
        return cls(limit, domains, set(state["damaged"]), Consumed.from_state(state["consumed"]))

    def _of(self, domain: str) -> DomainDelivered:
        if domain not in self.domains:
            expect(domain, str, "the column 'domain' of a batch has names")
            self.domains[domain] = DomainDelivered(Repeats(self.limit))
        return self.domains[domain]


_COLUMNS = ("domain", "key", "fault", "draw", "valid")


def _columns(batch: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What is counted of a batch, in plain values; `InvalidArgument` unless each column has a value for each sample."""
    expect(batch, Mapping, "a batch is a dictionary of columns, collated")
    if "domain" not in batch:
        raise InvalidArgument(
            f"the batch has no column 'domain', only {sorted(map(str, batch))}; let the transform keep it, or count it "
            "before"
        )
    columns = {name: _plain(batch[name], name) for name in _COLUMNS if name in batch}
    draws = len(columns["domain"])
    for name, values in columns.items():
        if len(values) != draws:
            raise InvalidArgument(f"the batch has {draws} values of 'domain' and {len(values)} of {name!r}; {_WAY_OUT}")
    if "image" in batch and not hasattr(batch["image"], "shape"):
        raise InvalidArgument(f"'image' of a batch is one array, got {brief(batch['image'])}; {_WAY_OUT}")
    return columns


_WAY_OUT = "count collated batches, as a DataLoader makes them; of one sample, default_collate([sample])"


def _plain(column: Any, name: str) -> list[Any]:
    """A column in plain values; tensors and arrays say so themselves."""
    values = column.tolist() if hasattr(column, "tolist") else column
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InvalidArgument(f"{name!r} of a batch is a list or a tensor, got {brief(column)}; {_WAY_OUT}")
    return list(values)


def _consumed(draws: Iterable[int]) -> Consumed:
    try:
        consumed = Consumed.of(draws)
        operator.index(consumed.total)  # whole floats are counted, but too large ones stand for several draws
    except TypeError as error:
        raise InvalidArgument(f"'draw' of a batch has the numbers of its draws, got {brief(draws)}") from error
    return consumed


def _inside(valid: Iterable[Any]) -> list[int]:
    """Voxels of each patch that lie in its volume."""
    try:
        return [prod(max(0, end - begin) for begin, end in zip(low, high, strict=True)) for low, high in valid]
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"'valid' of a batch has the shape (B, 2, 3), got {brief(valid)}") from error

"""What a number of batches held: sums, which add up over steps and over ranks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from mixio.consumed import Consumed
from mixio.errors import InvalidArgument
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
        if "domain" not in batch:
            raise InvalidArgument(
                f"the batch has no column 'domain', only {sorted(batch)}; let the transform keep it, or count it before"
            )
        of = [self._of(domain) for domain in _plain(batch["domain"])]
        for domain in of:
            domain.draws += 1
        for domain, key in _beside(of, batch, "key"):
            domain.repeats.add(str(key))
        for domain, fault in _beside(of, batch, "fault"):
            if fault:
                domain.replaced += 1
                self.damaged.add(fault)
        if "draw" in batch:
            self.consumed += Consumed.of(_plain(batch["draw"]))
        if "image" in batch:
            voxels = prod(batch["image"].shape[-3:])
            for domain, (low, high) in _beside(of, batch, "valid"):
                inside = prod(max(0, end - begin) for begin, end in zip(low, high, strict=True))
                domain.voxels += voxels
                domain.padded += voxels - inside

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
            self.domains[domain] = DomainDelivered(Repeats(self.limit))
        return self.domains[domain]


def _beside(of: list[DomainDelivered], batch: Mapping[str, Any], column: str) -> Iterator[tuple[DomainDelivered, Any]]:
    return zip(of, _plain(batch[column]), strict=True) if column in batch else iter(())


def _plain(column: Any) -> list[Any]:
    """A column in plain values; tensors and arrays say so themselves."""
    return column.tolist() if hasattr(column, "tolist") else list(column)

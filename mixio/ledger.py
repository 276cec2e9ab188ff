"""What was really delivered: draws, passes, repeats, padding and faults per domain, counted where batches are consumed.

    for step, batch in enumerate(loader, start=1):
        ...
        ledger.observe(batch)
        if step % 1000 == 0:
            run = ledger.gathered()  # of all ranks, on every one of them
            run.check(loader.state_dict()["consumed"])
            checkpoint["ledger"] = run.state_dict()
            if rank == 0:
                run.write("ledger.jsonl")

The mixture is exact by construction; the ledger is the check by somebody who only sees the batches. It counts what it
is shown: with several ranks, one rank's part, whose shares stray a little from the whole's. A run that goes on loads
the same state on every rank, however many they are now: merging counts it once.

Memory does not grow with the run, and with volumes only up to the limit of `mixio.repeats`. It duck-types its batches,
so that it needs neither torch nor the data set.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any

from mixio.consumed import Consumed
from mixio.delivered import Delivered, DomainDelivered
from mixio.drift import bounds, intended, likely_cause, named_differences, stretch
from mixio.errors import InvalidArgument, MixtureDriftError, RunLogError, at_least, brief, expect, whole_number
from mixio.jsonl import append_object, read_objects
from mixio.mixture import Mixture
from mixio.repeats import LIMIT, Repeats

SCHEMA_VERSION = 1
_NAMED = 5
"""Damaged volumes that a line names."""


class Ledger:
    """Counts consumed batches against a mixture.

    `volumes` is the number of volumes per domain, where known; it turns draws into passes over them. Of each domain
    `limit` volumes are counted by name; if there are more, a sample of them is (see `mixio.repeats`).
    """

    def __init__(self, mixture: Mixture, volumes: Mapping[str, int] | None = None, *, limit: int = LIMIT) -> None:
        way_out = "a data set has one as dataset.mixture, shares become one by mixio.Mixture(shares)"
        expect(mixture, Mixture, "a ledger counts against a mixio.Mixture", way_out)
        self.mixture = mixture
        self.volumes = {} if volumes is None else _numbers(volumes)
        self.limit = at_least(1, limit, "limit")
        # What a state brought is kept apart, for all ranks have it.
        self._before, self._own = Delivered(self.limit), Delivered(self.limit)

    def observe(self, batch: Mapping[str, Any]) -> None:
        """Count a collated batch: `domain` and, where it has them, `key`, `fault`, `draw`, `image` and `valid`."""
        self._own.add(batch)

    @property
    def draws(self) -> Counter[str]:
        """Draws of each domain."""
        return Counter({domain: of.draws for domain, of in self._delivered().domains.items()})

    @classmethod
    def merged(cls, ledgers: Iterable["Ledger"]) -> "Ledger":
        """The ledger of a run from those of its ranks, in any order; what they all loaded is counted once."""
        expect(ledgers, Iterable, "merged takes a list of ledgers")
        ledgers = list(ledgers)
        if not ledgers:
            raise InvalidArgument("a run has at least one ledger, got none to merge")
        for ledger in ledgers:
            expect(ledger, Ledger, "merged takes ledgers", "a state becomes one by load_state_dict")
        first = ledgers[0]
        run = cls(first.mixture, first.volumes, limit=first.limit)
        run._before = first._before
        for ledger in ledgers:
            if ledger.mixture != first.mixture:
                raise InvalidArgument(f"ledgers of {first.mixture} and of {ledger.mixture} are not of one run")
            if ledger._before != first._before:
                raise InvalidArgument("the ledgers went on from different states; load the same one on every rank")
            run._own.merge(ledger._own)
        return run

    def gathered(self) -> "Ledger":
        """The run's ledger, on every rank; all of them must call it. Without torch.distributed it is this one's."""
        from mixio.ranks import of_all_ranks  # here, for torch is needed for nothing else

        return Ledger.merged(of_all_ranks(self))

    def check(self, n: int, *, first: int = 0) -> None:
        """Raise `MixtureDriftError` unless exactly the draws from `first` up to n were consumed, each once.

        For the ledger of the whole run, with n as in the state of the sampler or loader. Batches without `draw` are
        compared by their numbers per domain alone.
        """
        n, first = whole_number(n, "n"), whole_number(first, "first")
        if first > n:
            raise InvalidArgument(f"the draws from first={first} up to n={n} are none; first comes before n")
        delivered, before = self._delivered(), self.mixture.counts(first) if first else {}
        planned = {domain: count - before.get(domain, 0) for domain, count in self.mixture.counts(n).items()}
        of_domains = named_differences({name: of.draws for name, of in delivered.domains.items()}, planned)
        numbered = delivered.consumed.count == delivered.draws
        row = Consumed.row(first, n - first)
        if not of_domains and (not numbered or delivered.consumed == row):
            return
        cause = likely_cause(delivered.consumed, row) if numbered else "the batches have no 'draw' that could tell why"
        raise MixtureDriftError(
            f"after {n - first} draws the run is off its plan: {of_domains or 'every domain has its number'}; {cause}"
        )

    def state_dict(self) -> dict[str, Any]:
        """All that is counted, to be saved as JSON; of the ledger of the whole run.

        Some 25 bytes for each volume up to `limit` in each domain. Of more volumes the sample is kept: the names of a
        million would be 20 MB in every checkpoint, for a number that is known to 2 % without them.
        """
        return {"schema_version": SCHEMA_VERSION, **self._delivered().state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on counting where a run stopped, in place of what was counted here; on every rank the same state."""
        expect(state, Mapping, "a ledger's state is a dictionary", "what its state_dict() returned")
        if state.get("schema_version") != SCHEMA_VERSION:
            raise InvalidArgument(
                f"ledger state has schema_version {state.get('schema_version')!r}, expected {SCHEMA_VERSION}"
            )
        try:
            before = Delivered.from_state(state, limit=self.limit)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InvalidArgument(
                f"no ledger's state ({type(error).__name__}: {error}); load what its state_dict() returned"
            ) from error
        self._before, self._own = before, Delivered(self.limit)

    def summary(self) -> dict[str, Any]:
        """All counts as plain values; `padded` is the share of voxels outside their volumes.

        `damaged` names the volumes that draws were meant for and could not be read from; `replaced` counts those
        draws, which are among the `draws` of their domain. `most_repeats` is how often one volume was read at most,
        `bound` how many draws a domain may be off its intended share (see `mixio.drift`).
        """
        delivered, allowed = self._delivered(), bounds(self.mixture)
        total, of = delivered.draws, delivered.domains
        first, end = stretch(delivered.consumed, total)
        shares = intended(self.mixture, end, first)
        voxels, padded = (sum(getattr(each, name) for each in of.values()) for name in ("voxels", "padded"))
        return {
            "draws": total,
            "padded": padded / max(voxels, 1),
            "damaged": sorted(delivered.damaged),
            "domains": {
                domain: {
                    "draws": counts.draws,
                    "share": counts.draws / max(total, 1),
                    "intended": shares.get(domain, 0.0),
                    "bound": allowed.get(domain, 0.0) * (2 if first else 1),  # at either end
                    "passes": self._passes(domain, counts.draws),
                    "volumes_seen": self._seen(domain, counts.repeats),
                    "most_repeats": counts.repeats.most,
                    "replaced": counts.replaced,
                    "padded": counts.padded / max(counts.voxels, 1),
                }
                for domain, counts in self._by_name(of)
            },
        }

    def line(self) -> str:
        """One line for a log: draws, padding; per domain the share, what it should be, and the passes.

        Where draws were replaced, also how many of each domain, and the damaged volumes.
        """
        summary = self.summary()
        parts = [f"{summary['draws']} draws, {summary['padded']:.1%} padding"]
        for domain, counts in summary["domains"].items():
            passes = "" if counts["passes"] is None else f" x{_short(counts['passes'])}"
            replaced = f", {counts['replaced']} replaced" if counts["replaced"] else ""
            parts.append(f"{domain} {counts['share']:.2%} of {counts['intended']:.2%}{passes}{replaced}")
        if names := summary["damaged"]:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            parts.append(f"damaged: {', '.join(names[:_NAMED])}{more}")
        return " | ".join(parts)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Append the summary to a file, as one line of JSON by one write; `read_ledger` reads it."""
        append_object(path, {"schema_version": SCHEMA_VERSION, **self.summary()})

    def _delivered(self) -> Delivered:
        both = Delivered(self.limit)
        both.merge(self._before)
        both.merge(self._own)
        return both

    def _by_name(self, of: Mapping[str, DomainDelivered]) -> Iterable[tuple[str, DomainDelivered]]:
        """Every domain of the mixture or of a batch; one that was never drawn has counts of zero."""
        nothing = DomainDelivered(Repeats(self.limit))
        return [(domain, of.get(domain, nothing)) for domain in sorted({*self.mixture.domains, *of})]

    def _seen(self, domain: str, repeats: Repeats) -> int:
        """An estimate is no more than there are."""
        return min(repeats.volumes, self.volumes.get(domain, repeats.volumes)) if repeats.halved else repeats.volumes

    def _passes(self, domain: str, draws: int) -> float | None:
        volumes = self.volumes.get(domain)
        return draws / volumes if volumes else None


def _numbers(volumes: Mapping[str, Any]) -> dict[str, int]:
    """Volumes of each domain, or `InvalidArgument`, where the volumes themselves are given too."""
    expect(volumes, Mapping, "volumes is a dictionary of the number of volumes of each domain")
    for domain, number in volumes.items():
        if not isinstance(number, Integral) or number < 0:
            raise InvalidArgument(
                f"volumes has the number of volumes of each domain, got {brief(number)} for {domain!r}; of a data set: "
                "{domain: len(names) for domain, names in dataset.volumes.items()}"
            )
    return dict(volumes)


def _short(passes: float) -> str:
    return f"{passes:.2g}" if passes < 100 else f"{passes:.0f}"


def read_ledger(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The lines that `Ledger.write` appended, oldest first, without a last one that a kill tore.

    `RunLogError` names a file that cannot be read, or holds something else.
    """
    try:
        lines = read_objects(path)
    except (OSError, TypeError, ValueError) as error:
        raise RunLogError(f"cannot read {path} as a ledger: {error}") from error
    for line in lines:
        version = line.get("schema_version") if isinstance(line, dict) else None
        if version != SCHEMA_VERSION or "domains" not in line:
            raise RunLogError(
                f"{path} has a line of schema_version {version!r}, expected {SCHEMA_VERSION}; is it a ledger.jsonl?"
            )
    return lines

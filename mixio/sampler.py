"""Which draws each rank reads at each step: plain arithmetic on one position.

    sampler = MixtureSampler(dataset, num_samples=10**6, batch_size=4)
    loader = DataLoader(dataset, batch_size=4, sampler=sampler, num_workers=8)

The position of a whole run is one integer, and a run may go on with another number of ranks, workers or samples a
batch, and read exactly the draws that are left.
"""

import copy
import os
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from mixio.errors import InvalidArgument, MixioError, MixioWarning, at_least, expect, listed, require, whole_number
from mixio.mixture import Mixture
from mixio.taken import Before, all_taken

try:
    import torch
    import torch.distributed
    from torch.utils.data import DistributedSampler
except ImportError as error:
    raise require("torch", "torch") from error

SCHEMA_VERSION = 2


class Drawn(Protocol):
    """A map-style data set of draws; `fingerprint` says, part by part, what decides which sample draw g is."""

    mixture: Mixture
    has_begun: bool

    @property
    def fingerprint(self) -> dict[str, Any]: ...
    @property
    def allocation(self) -> str: ...
    def available(self, num_samples: int) -> int: ...
    def go_on_after(self, before: Before) -> None: ...
    def __len__(self) -> int: ...
    def __getitem__(self, g: int) -> Any: ...


class MixtureSampler(DistributedSampler[int]):
    """Hands rank r of W its draws: at step s, those from start + (s W + r) b up to start + (s W + r + 1) b.

    `num_samples` is the whole run's, over all ranks; the tail that does not fill a batch of `batch_size` = b
    on every rank is left out, so all ranks make equally many steps. Rank and world size come from
    torch.distributed if it is initialized, else from RANK and WORLD_SIZE, else are 0 and 1; if torch.distributed says
    otherwise by the time that this is read, it is refused. Iterating begins at the position last loaded, whatever
    the epoch: this is one run, and reading it twice gives it twice.

    It subclasses `DistributedSampler` so that frameworks that replace other samplers leave it in place. As
    there, the attribute `num_samples` and `len` count one rank's draws: a batch for every step of the whole run, those
    before a loaded position too, for Lightning counts the steps of a resumed epoch from its beginning.
    """

    dataset: Drawn  # type: ignore[assignment]

    def __init__(
        self,
        dataset: Drawn,
        *,
        num_samples: int,
        batch_size: int,
        rank: int | None = None,
        num_replicas: int | None = None,
    ) -> None:
        _refuse_wrapped(dataset)
        batch_size = at_least(1, batch_size, "batch_size")
        asked = whole_number(num_samples, "num_samples")
        num_samples = dataset.available(asked)
        self._found = rank is None and num_replicas is None
        rank = _rank() if rank is None else whole_number(rank, "rank")
        num_replicas = _world_size() if num_replicas is None else whole_number(num_replicas, "num_replicas")
        if not 0 <= rank < num_replicas:
            raise InvalidArgument(f"rank must be from 0 to num_replicas - 1 = {num_replicas - 1}, got {rank}")
        start, step = dataset.mixture.start, num_replicas * batch_size
        if num_samples < start + step:
            raise InvalidArgument(
                f"num_samples={num_samples} makes no step: {num_replicas} ranks of {batch_size} draws "
                f"need at least {step}"
                + (f" after the {start} that other mixtures have drawn" if start else "")
                + ("" if num_samples == asked else f"; {asked} were asked for, max_repeats allows no more")
            )
        # DistributedSampler is typed for torch's own class; it only counts and asks for the length.
        super().__init__(dataset, num_replicas=num_replicas, rank=rank, shuffle=False, drop_last=True)  # type: ignore[arg-type]
        self.batch_size = batch_size
        self.asked, self.total = asked, num_samples
        self._changes: list[Any] = []
        self._move_to(start, 0)

    def copy(self) -> "MixtureSampler":
        """One that goes on from the same position and counts for itself; this one has begun, as if it were iterated."""
        self.dataset.has_begun = True
        return copy.copy(self)

    def __iter__(self) -> Iterator[int]:
        self._refuse_other_ranks()
        self.dataset.has_begun = True
        return self._draws()

    def _draws(self) -> Iterator[int]:
        self._handed = 0
        step, mine = self.num_replicas * self.batch_size, self.rank * self.batch_size
        for begin in range(self.start, self.total - step + 1, step):
            for g in range(begin + mine, begin + mine + self.batch_size):
                self._handed += 1
                yield g

    def __len__(self) -> int:
        return self.num_samples

    def state_dict(self, consumed: int | None = None) -> dict[str, Any]:
        """The run's position, to be saved as JSON: `consumed` draws over all ranks since the run's first.

        Give it where the loader has workers: `start` + (step + 1) * batch_size * world size, for steps that are counted
        from where this job began. None takes the whole batches that this iterator has handed out, times the world size;
        workers fetch ahead, so that counts draws that no one has trained on yet. The state also has the number of steps
        that were made, for the length.
        """
        if consumed is None:
            consumed = self.start + self._handed // self.batch_size * self.batch_size * self.num_replicas
        consumed = whole_number(consumed, "consumed")
        self._check(consumed)
        if consumed < self.start:
            raise InvalidArgument(
                f"consumed={consumed} comes before start={self.start}, where this sampler goes on; it counts from the "
                "run's first draw: sampler.start + (step + 1) * batch_size * world_size"
            )
        mixture = self.dataset.mixture
        state = {
            "schema_version": SCHEMA_VERSION,
            "consumed": consumed,
            "steps": self._steps + (consumed - self.start) // (self.num_replicas * self.batch_size),
            "taken": mixture.taken(consumed),
            "fingerprint": self.dataset.fingerprint,
            "allocation": self.dataset.allocation,
        }
        return state | ({"before": mixture.before, "changes": self._changes} if mixture.before else {})

    def load_state_dict(self, state: Mapping[str, Any], *, allow_change: bool = False) -> None:
        """Go on where a run stopped, with any world size and batch size.

        The state of another mixture, seed or store is refused, with what differs. With `allow_change` it is taken: this
        data set's draws go on from there, each domain's with the first that has not been drawn, and `changes` of the
        state to come tell it. With another seed, or other volumes in a domain, the volumes come in another order from
        there. Load before iterating: workers that have begun keep the draws as they were. A `MixioWarning` tells where
        the draws that are left are too few for a step of this size.
        """
        differing = self._differences(state)
        if differing and not allow_change:
            raise InvalidArgument(
                f"the saved state differs from this data set in {' and '.join(differing)}; "
                "build the data set as it was then, start a new run without the state, or go on with the draws of this "
                "data set by allow_change=True"
            )
        consumed, changes = whole_number(state["consumed"], "consumed"), list(state.get("changes", ()))
        self._go_on_after(state["taken"] if differing else state.get("before", {}), consumed)
        self._changes = [*changes, {"draw": consumed, "in": differing}] if differing else changes
        step = self.num_replicas * self.batch_size
        steps = at_least(0, state.get("steps", consumed // step), "'steps' of a sampler's state")
        self._move_to(consumed, steps)
        if 0 < self.total - consumed < step and consumed != steps * step:  # else the run is at its end as it was begun
            warnings.warn(
                f"{self.total - consumed} of {self.total} draws are left, too few for a step of {step} "
                f"({self.num_replicas} ranks of {self.batch_size}): nothing more is read; go on with fewer ranks or "
                "smaller batches, or ask for more num_samples",
                MixioWarning,
                stacklevel=2,
            )

    def _differences(self, state: Mapping[str, Any]) -> list[str]:
        """The parts of the fingerprint in which a state is not this data set's."""
        _check_state(state)
        ours, theirs = self.dataset.fingerprint, state["fingerprint"]
        return [part for part in ours if ours[part] != theirs.get(part)]

    def _go_on_after(self, before: Before, consumed: int) -> None:
        """See that the data set draws what comes after `before`; it stays as it is where that cannot be."""
        before = {domain: taken.plain for domain, taken in all_taken(before).items()}
        present = self.dataset.mixture.before
        if before == present:
            self._check(consumed)
            return
        if self.dataset.has_begun:
            raise InvalidArgument(
                "this state changes what is drawn, which workers that have begun would not learn of; "
                "load it before iterating, into a new sampler of a new data set"
            )
        try:
            self.dataset.go_on_after(before)
            self.total = self.dataset.available(self.asked)
            self._check(consumed)
        except MixioError:
            self.dataset.go_on_after(present)
            self.total = self.dataset.available(self.asked)
            raise

    def _move_to(self, consumed: int, steps: int) -> None:
        self.start, self._steps = consumed, steps
        self._handed = 0
        left = (self.total - consumed) // (self.num_replicas * self.batch_size)
        self.num_samples = (steps + left) * self.batch_size
        self.total_size = self.num_samples * self.num_replicas

    def _refuse_other_ranks(self) -> None:
        """What was built before its process knew its rank would give every rank the draws of the first."""
        here, built = (_rank(), _world_size()), (self.rank, self.num_replicas)
        if self._found and _meets_others() and here != built:
            raise InvalidArgument(
                f"this sampler was built for rank {built[0]} of {built[1]} and is read by rank {here[0]} of {here[1]}; "
                "build it after the processes have met (in Lightning: inside train_dataloader), or give rank and "
                "num_replicas"
            )

    def _check(self, consumed: int) -> None:
        if not 0 <= consumed <= self.total:
            limit = "num_samples" if self.total == self.asked else "what max_repeats allows"
            raise InvalidArgument(f"consumed must be from 0 to {limit} = {self.total}, got {consumed}")


def _refuse_wrapped(dataset: object) -> None:
    if not hasattr(dataset, "go_on_after"):
        raise InvalidArgument(
            f"dataset must be a mixio.MixtureDataset, got {type(dataset).__name__}; give the MixtureDataset itself: "
            "its split and subsets say which volumes are drawn, its transform what becomes of a sample"
        )


def _check_state(state: Mapping[str, Any]) -> None:
    """Raise `InvalidArgument` for what `state_dict` cannot have returned."""
    way_out = "load what its state_dict() returned"
    expect(state, Mapping, "a sampler's state is a dictionary", "what its state_dict() returned")
    for part in ("consumed", "schema_version", "taken", "fingerprint"):
        if part not in state:
            has = listed(sorted(map(str, state)))
            raise InvalidArgument(f"no sampler's state, for {part!r} is missing; it has {has}; {way_out}")
        if part == "schema_version" and state[part] != SCHEMA_VERSION:
            raise InvalidArgument(
                f"sampler state has schema_version {state[part]!r}, expected {SCHEMA_VERSION}; others draw in other "
                "orders: go on with the version that saved it, or start a new run"
            )
    for part, kind in {"taken": Mapping, "fingerprint": Mapping, "before": Mapping, "changes": list}.items():
        if part in state:
            expect(state[part], kind, f"{part!r} of a sampler's state must be a {kind.__name__.lower()}", way_out)
    taken = sum(one.count for one in all_taken(state["taken"]).values())
    if taken != whole_number(state["consumed"], "'consumed' of a sampler's state"):
        raise InvalidArgument(
            f"the saved state has consumed={state['consumed']} but {taken} draws are taken of its domains; {way_out}"
        )


def _meets_others() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _rank() -> int:
    return torch.distributed.get_rank() if _meets_others() else int(os.environ.get("RANK", "0"))


def _world_size() -> int:
    return torch.distributed.get_world_size() if _meets_others() else int(os.environ.get("WORLD_SIZE", "1"))

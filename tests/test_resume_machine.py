"""Any order of reading, breaking off, saving and going on elsewhere: the ranks together read exactly the next draws.

Checked for a `MixtureSampler`, for a `DataLoader` that has one, and for a `MixtureLoader`, by random programs that also
hand the state of one to another.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from torch.utils.data import DataLoader

from mixio.dataset import MixtureDataset
from mixio.errors import InvalidArgument
from mixio.loader import MixtureLoader
from tests.test_dataset import of_lists, of_run, of_store

TOTAL = 90


class Sampled:
    """One rank that asks a sampler for its draws; the sampler counts what it hands out."""

    def __init__(self, dataset: MixtureDataset, rank: int, world: int, batch: int) -> None:
        self.sampler = of_run(dataset, rank, world, batch, TOTAL)

    def batches(self) -> Iterator[list[int]]:
        draws = iter(self.sampler)
        return iter(lambda: list(islice(draws, self.sampler.batch_size)), [])

    def length(self) -> int:
        return len(self.sampler) // self.sampler.batch_size

    def state(self, consumed: int) -> dict[str, Any]:
        return self.sampler.state_dict()

    def load(self, state: dict[str, Any]) -> None:
        self.sampler.load_state_dict(state)


class Loaded(Sampled):
    """One rank with a `DataLoader`, that counts what it was given itself."""

    def batches(self) -> Iterator[list[int]]:
        loader = DataLoader(self.sampler.dataset, self.sampler.batch_size, sampler=self.sampler)
        return (batch["draw"].tolist() for batch in loader)

    def state(self, consumed: int) -> dict[str, Any]:
        return self.sampler.state_dict(consumed=consumed)


class Threaded:
    """One rank with a `MixtureLoader` of so many threads, which counts what it gave."""

    def __init__(self, dataset: MixtureDataset, rank: int, world: int, batch: int, *, threads: int) -> None:
        run = {"num_samples": TOTAL, "batch_size": batch, "rank": rank, "num_replicas": world}
        self.loader = MixtureLoader(dataset, **run, threads=threads, prefetch=5 - threads)

    def batches(self) -> Iterator[list[int]]:
        for batch in self.loader:
            yield batch["draw"].tolist()

    def length(self) -> int:
        return len(self.loader)

    def state(self, consumed: int) -> dict[str, Any]:
        return self.loader.state_dict()

    def load(self, state: dict[str, Any]) -> None:
        self.loader.load_state_dict(state)


faces = st.sampled_from([Sampled, Loaded, partial(Threaded, threads=1), partial(Threaded, threads=3)])
shapes = {"face": faces, "world": st.integers(1, 4), "batch": st.integers(1, 4)}


class Run(RuleBasedStateMachine):
    """A run of `TOTAL` draws, and what it should do: `begin` is the position last loaded, to which `made` steps led.
    `steps` were made since."""

    saved = Bundle("saved")

    def __init__(self, dataset: MixtureDataset) -> None:
        super().__init__()
        self.dataset = dataset

    @initialize(**shapes)
    def start(self, face: Callable[..., Any], world: int, batch: int) -> None:
        self.ranks = [face(self.dataset, rank, world, batch) for rank in range(world)]
        self.begin = self.made = self.steps = 0
        self.global_batch = world * batch
        self.open: list[Iterator[list[int]]] = []

    @rule(most=st.integers(1, 30))
    def iterate(self, most: int) -> None:
        if not self.open:
            self.open, self.steps = [rank.batches() for rank in self.ranks], 0
        left = (TOTAL - self.begin) // self.global_batch - self.steps
        for _ in range(min(most, left)):
            first = self.begin + self.steps * self.global_batch
            assert list(chain(*map(next, self.open))) == list(range(first, first + self.global_batch))
            self.steps += 1
        if most > left:
            assert [next(batches, None) for batches in self.open] == [None] * len(self.ranks)
            self.open = []

    @rule()
    def break_off(self) -> None:
        self.open = []

    @rule(target=saved)
    def save(self) -> tuple[str, int, int]:
        return json.dumps(self.ranks[-1].state(self.position)), self.position, self.made + self.steps

    @rule(state=saved)
    def go_on_here(self, state: tuple[str, int, int]) -> None:
        self.open = []
        for rank in self.ranks:
            rank.load(json.loads(state[0]))
        self.begin, self.made, self.steps = state[1], state[2], 0

    @rule(state=saved, **shapes)
    def go_on_elsewhere(self, state: tuple[str, int, int], **shape: Any) -> None:
        self.start(**shape)
        self.go_on_here(state)

    @rule(state=saved)
    def load_a_state_of_other_draws(self, state: tuple[str, int, int]) -> None:
        other = json.loads(state[0])
        other["fingerprint"]["seed"] += 1
        for rank in self.ranks:
            with pytest.raises(InvalidArgument, match="differs from this data set in seed"):
                rank.load(other)

    @invariant()
    def all_ranks_know_the_position(self) -> None:
        states = [rank.state(self.position) for rank in self.ranks]
        assert {state["consumed"] for state in states} == {self.position}
        to_come = (TOTAL - self.begin) // self.global_batch
        assert {rank.length() for rank in self.ranks} == {self.made + to_come}

    @property
    def position(self) -> int:
        return self.begin + self.steps * self.global_batch


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* draws are left, too few for a step:mixio.errors.MixioWarning")
@pytest.mark.parametrize("source", ["lists", "store"])
def test_however_often_a_run_stops_and_goes_on_its_ranks_read_the_next_draws(small_store, source):
    dataset = of_lists() if source == "lists" else of_store(small_store, patch_size=4)
    how = settings(max_examples=40, stateful_step_count=30, deadline=None)
    run_state_machine_as_test(lambda: Run(dataset), settings=how)

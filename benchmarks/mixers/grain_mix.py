"""Grain: `MapDataset.mix` of shuffled, repeated ranges, sharded, batched and resumed by its `ElasticIterator`.

That iterator gives rank r of W every W-th draw from r on, as Grain's own guide to sharding does. The variant is the
window of a `WindowShuffleMapDataset` behind the mixture, which Grain has among its experimental parts; "" is none. Its
windows are of 1,024 here, as each draw takes some 65,536 / window steps: in windows of 64, 1.8 ms. Without threads, as
its documentation says for data in memory.
"""

from collections.abc import Sequence
from typing import Any

import grain
from grain.experimental import ElasticIterator, WindowShuffleMapDataset
from grain.multiprocessing import MultiprocessingOptions
from grain.sharding import ShardOptions

from benchmarks.mixers.contract import PLACES, Run, Stream, of_rank


def mixed(run: Run) -> Any:
    """The mixture as a data set that can be read anywhere."""
    ranges = [grain.MapDataset.range(d * PLACES, d * PLACES + run.each) for d in range(run.domains)]
    parents = [domain.shuffle(seed=run.seed + number).repeat() for number, domain in enumerate(ranges)]
    mixture = grain.MapDataset.mix(parents, weights=list(run.weights))
    if run.variant:
        return WindowShuffleMapDataset(mixture, window_size=int(run.variant), seed=run.seed)
    return mixture


class Elastic:
    """One shard's iterator."""

    def __init__(self, run: Run, rank: int, state: Any) -> None:
        self.iterator = ElasticIterator(
            mixed(run),
            run.batch * run.ranks,
            ShardOptions(rank, run.ranks),
            read_options=grain.ReadOptions(num_threads=0, prefetch_buffer_size=0),
            multiprocessing_options=MultiprocessingOptions(run.workers) if run.workers else None,
        )
        if state is not None:
            self.iterator.set_state(state)

    def __iter__(self) -> "Elastic":
        return self

    def __next__(self) -> list[int]:
        return next(self.iterator).tolist()

    def state(self) -> Any:
        return self.iterator.get_state()


def job(run: Run, states: Sequence[Any] | None = None) -> list[Stream]:
    """An iterator a rank."""
    return [Elastic(run, rank, of_rank(states, rank)) for rank in range(run.ranks)]


def state_at(run: Run, position: int) -> Any:
    """After so many draws, in the form in which its iterator gives it."""
    return {**ElasticIterator(mixed(run), run.batch, ShardOptions(0, 1)).get_state(), "global_next_index": position}

"""torchdata: `MultiNodeWeightedSampler` over shuffled samplers that are split over ranks, and its `Loader`.

The reading is a `ParallelMapper` behind the mixture where there are workers, as its guide has it. When the pass ends,
after every domain has been through once, the loader begins another.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch.utils.data import DistributedSampler
from torchdata.nodes import Batcher, Loader, Mapper, MultiNodeWeightedSampler, ParallelMapper, SamplerWrapper

from benchmarks.mixers.contract import Loaded, Numbers, Run, Stream, name, of_rank


def tagged(domain: int, number: int) -> tuple[int, int]:
    """An index and whose it is."""
    return domain, number


def read(members: Sequence[Numbers], place: tuple[int, int]) -> int:
    """The sample at an index."""
    domain, number = place
    return members[domain][number]


def nodes(run: Run, rank: int) -> Any:
    """The graph of one rank."""
    members = [Numbers(domain, run.each) for domain in range(run.domains)]
    split = {"num_replicas": run.ranks, "rank": rank, "shuffle": True, "seed": run.seed, "drop_last": True}
    sources = {
        name(domain): Mapper(SamplerWrapper(DistributedSampler(numbers, **split)), partial(tagged, domain))
        for domain, numbers in enumerate(members)
    }
    weights = {name(domain): weight for domain, weight in enumerate(run.weights)}
    mixture = MultiNodeWeightedSampler(sources, weights, rank=rank, world_size=run.ranks, seed=run.seed)
    reading = partial(read, members)
    if run.workers:
        mapped = ParallelMapper(mixture, reading, num_workers=run.workers, method="process")
    else:
        mapped = Mapper(mixture, reading)
    return Batcher(mapped, run.batch)


class Repeated(Loaded):
    """One rank's loader, pass after pass."""

    def __next__(self) -> list[int]:
        try:
            return super().__next__()
        except StopIteration:
            self.batches = iter(self.loader)
            return super().__next__()


def job(run: Run, states: Sequence[Any] | None = None) -> list[Stream]:
    """A loader a rank."""
    return [Repeated(Loader(nodes(run, rank)), of_rank(states, rank)) for rank in range(run.ranks)]

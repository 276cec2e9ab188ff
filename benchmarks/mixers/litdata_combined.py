"""LitData: `CombinedStreamingDataset` with weights over shuffled data sets, in its `StreamingDataLoader`.

It ends with the first domain that is used up and then begins the same sequence of domains again, so every domain has
as many samples here as one pass of the run needs, whatever the number of volumes is for the others: its best case.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import ceil, sqrt
from pathlib import Path
from typing import Any

from litdata import CombinedStreamingDataset, StreamingDataLoader, StreamingDataset
from litdata.streaming import Cache

from benchmarks.mixers.contract import PLACES, Loaded, Run, Stream, integers, of_rank, prepared

CHUNK = 10_000
"""Samples of a chunk."""
RANKS = 64
"""The most ranks that share a domain."""


def needed(run: Run, domain: int) -> int:
    """Samples of a domain, so that no rank runs out of its part: the expected ones and eight standard deviations."""
    expected = run.draws * run.weights[domain]
    return ceil(expected + 8 * sqrt(RANKS * expected) + 8 * RANKS)


def write(run: Run, folder: Path, domain: int) -> None:
    """Chunks of a domain."""
    cache = Cache(str(folder), chunk_size=CHUNK)
    for number in range(needed(run, domain)):
        cache[number] = domain * PLACES + number
    cache.done()
    cache.merge()


def prepare(run: Run) -> list[Path]:
    """The folders of the domains."""
    return prepared(run, "litdata", partial(write, run), partial(needed, run))


@contextmanager
def as_rank(rank: int, ranks: int) -> Iterator[None]:
    """LitData learns from the environment who it is."""
    os.environ.update(WORLD_SIZE=str(ranks), GLOBAL_RANK=str(rank))
    try:
        yield
    finally:
        del os.environ["WORLD_SIZE"], os.environ["GLOBAL_RANK"]


def opened(run: Run, rank: int, state: Any) -> Stream:
    """One rank's loader."""
    folders = prepare(run)
    with as_rank(rank, run.ranks):
        options = {"shuffle": True, "seed": run.seed, "drop_last": True}
        domains = [StreamingDataset(str(folder), **options) for folder in folders]
        weights = list(run.weights)
        mixture = CombinedStreamingDataset(domains, seed=run.seed, weights=weights, iterate_over_all=False)
        options = {"batch_size": run.batch, "num_workers": run.workers, "collate_fn": integers}
        return Loaded(StreamingDataLoader(mixture, **options), state)


def job(run: Run, states: Sequence[Any] | None = None) -> list[Stream]:
    """A loader a rank."""
    return [opened(run, rank, of_rank(states, rank)) for rank in range(run.ranks)]

"""WebDataset: `RandomMix` with probabilities over resampled tars, in its `WebLoader`.

It draws from Python's global generator, which is seeded here for each rank; in workers torch seeds it. Resampled
shards are its advice for several ranks: nothing is split, and no epoch ends. So it does not matter how many samples
there are, and they are few: writing them is slow.
"""

import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import webdataset

from benchmarks.mixers.contract import PLACES, Refused, Run, Stream, integers, of_rank, prepared

SHARDS = 4
MOST = 10_000
"""Samples of all domains together."""


def samples(run: Run, domain: int) -> int:
    """Of a domain."""
    return min(run.each, MOST // run.domains)


def write(run: Run, folder: Path, domain: int) -> None:
    """Tars of samples; a sample is the text of its number."""
    for shard in range(SHARDS):
        with webdataset.TarWriter(str(folder / f"{shard:03d}.tar")) as tar:
            for number in range(shard, samples(run, domain), SHARDS):
                tar.write({"__key__": f"{number:09d}", "id": domain * PLACES + number})


def prepare(run: Run) -> list[Path]:
    """The folders of the domains."""
    return prepared(run, "webdataset", partial(write, run), partial(samples, run))


class Mixed:
    """One rank's loader."""

    def __init__(self, run: Run, rank: int, state: Any) -> None:
        self.seed = run.seed * run.ranks + rank
        domains = [self.domain(folder) for folder in prepare(run)]
        mixture = webdataset.RandomMix(domains, probs=list(run.weights))
        options = {"batch_size": run.batch, "num_workers": run.workers, "collate_fn": integers}
        self.batches = self.seeded(webdataset.WebLoader(mixture, **options))

    def domain(self, folder: Path) -> Any:
        """An endless stream of one domain."""
        tars = [str(path) for path in sorted(folder.glob("*.tar"))]
        shards = webdataset.WebDataset(tars, resampled=True, shardshuffle=False, seed=self.seed)
        return shards.decode().to_tuple("id").map(first)

    def seeded(self, loader: Any) -> Any:
        """The batches; the generators are this rank's from the first one on."""
        random.seed(f"webdataset {self.seed}")  # the number alone would give LitData's sequence
        torch.manual_seed(self.seed)  # from which a loader seeds its workers
        yield from loader

    def __iter__(self) -> "Mixed":
        return self

    def __next__(self) -> list[int]:
        return next(self.batches)

    def state(self) -> Any:
        raise Refused("no state")


def first(sample: tuple[int]) -> int:
    """The only member."""
    return sample[0]


def job(run: Run, states: Sequence[Any] | None = None) -> list[Stream]:
    """A loader a rank."""
    return [Mixed(run, rank, of_rank(states, rank)) for rank in range(run.ranks)]

"""The batches of one rank, from where its run goes on, and how long the training waits for them."""

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader

from mixio.dataset import MixtureDataset
from mixio.loader import MixtureLoader
from mixio.sampler import MixtureSampler
from tools.options import TrainOptions
from tools.preemption import finish_before_stopping


def loader_of(dataset: MixtureDataset, options: TrainOptions, sampler: MixtureSampler) -> Iterable[Any]:
    """This rank's batches from where the sampler goes on."""
    if options.workers:
        return DataLoader(
            dataset,
            batch_size=options.batch_size,
            sampler=sampler,
            num_workers=options.workers,
            worker_init_fn=finish_before_stopping,
            generator=torch.Generator().manual_seed(options.seed),  # or it would draw from the global one
        )
    loader = MixtureLoader(
        dataset, num_samples=options.draws, batch_size=options.batch_size, threads=options.threads or None
    )
    loader.load_state_dict(sampler.state_dict(consumed=sampler.start))
    return loader


class Stopwatch:
    """Iterates, and counts the seconds that the loop waits for what comes next."""

    def __init__(self, items: Iterable[Any]) -> None:
        self.items, self.seconds = items, 0.0

    def __iter__(self) -> Iterator[Any]:
        began = time.perf_counter()
        for item in self.items:
            self.seconds += time.perf_counter() - began
            yield item
            began = time.perf_counter()
        self.seconds += time.perf_counter() - began


def grouped(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """So many at a time, in order."""
    following = iter(items)
    while group := list(islice(following, size)):
        yield group

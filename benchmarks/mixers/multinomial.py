"""Multinomial drawing: torch's `WeightedRandomSampler` in a `DataLoader`, a generator of its own for each rank.

Each volume's weight is its domain's over the number of volumes. Torch has no such sampler for several ranks, and none
that can be saved.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import ConcatDataset, DataLoader, WeightedRandomSampler

from benchmarks.mixers.contract import Numbers, Refused, Run, Stream, integers, of_rank


class Multinomial:
    """One rank's draws."""

    def __init__(self, run: Run, rank: int, state: Any) -> None:
        weights = torch.tensor(run.weights, dtype=torch.float64).repeat_interleave(run.each) / run.each
        generator = torch.Generator().manual_seed(run.seed * run.ranks + rank)
        loader = DataLoader(
            ConcatDataset([Numbers(domain, run.each) for domain in range(run.domains)]),
            batch_size=run.batch,
            sampler=WeightedRandomSampler(weights, run.draws // run.ranks, generator=generator),
            num_workers=run.workers,
            collate_fn=integers,
        )
        self.batches = iter(loader)

    def __iter__(self) -> "Multinomial":
        return self

    def __next__(self) -> list[int]:
        return next(self.batches)

    def state(self) -> Any:
        raise Refused("neither the sampler nor DataLoader has a state")


def job(run: Run, states: Sequence[Any] | None = None) -> list[Stream]:
    """A loader a rank."""
    return [Multinomial(run, rank, of_rank(states, rank)) for rank in range(run.ranks)]

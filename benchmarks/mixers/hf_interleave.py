"""Hugging Face datasets: `interleave_datasets` with probabilities, over endless sharded streams, split by node.

64 shards a domain, so that each rank of 64 and each worker gets whole ones. Without a shuffle buffer, whose content
its own resuming would lose. Read and saved by torchdata's `StatefulDataLoader`, as its documentation says.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from datasets import IterableDataset, interleave_datasets
from datasets.distributed import split_dataset_by_node
from torchdata.stateful_dataloader import StatefulDataLoader

from benchmarks.mixers.contract import PLACES, Loaded, Run, Stream, of_rank

SHARDS = 64


def numbered(spans: list[tuple[int, int]]) -> Iterator[dict[str, int]]:
    """The samples of some shards."""
    for first, end in spans:
        for sample in range(first, end):
            yield {"sample": sample}


def domain_of(run: Run, domain: int) -> Any:
    """An endless stream of one domain."""
    edges = [domain * PLACES + run.each * shard // SHARDS for shard in range(SHARDS + 1)]
    return IterableDataset.from_generator(numbered, gen_kwargs={"spans": list(pairwise(edges))}).repeat(None)


def samples(batch: Sequence[dict[str, int]]) -> list[int]:
    """Collates a batch."""
    return [row["sample"] for row in batch]


def loader(run: Run, rank: int) -> StatefulDataLoader:
    """One rank's."""
    mixture = interleave_datasets(
        [domain_of(run, domain) for domain in range(run.domains)],
        probabilities=list(run.weights),
        seed=run.seed,
        stopping_strategy="all_exhausted",
    )
    mine = split_dataset_by_node(mixture, rank=rank, world_size=run.ranks)
    return StatefulDataLoader(mine, batch_size=run.batch, num_workers=run.workers, collate_fn=samples)


def job(run: Run, states: Sequence[Any] | None = None) -> list[Stream]:
    """A loader a rank."""
    return [Loaded(loader(run, rank), of_rank(states, rank)) for rank in range(run.ranks)]

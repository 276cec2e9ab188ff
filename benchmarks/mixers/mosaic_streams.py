"""MosaicML streaming: `Stream(proportion)`, shuffled; the variant is the batching method, `random` or `stratified`.

An epoch is as many samples as there are volumes, its default. Its ranks find each other through torch.distributed and
shared memory, so that 64 of them would be 64 processes; what they deliver is what the library's `generate_work`
arranges on the first rank of a node for all of them, and that is asked for here. `reopened` is its real loader, and a
test holds the two together.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.mixers.contract import PLACES, Loaded, Run, Stream, prepared
from benchmarks.peers.mosaic_streaming import MDSWriter, StreamingDataLoader, StreamingDataset
from benchmarks.peers.mosaic_streaming import clean_stale_shared_memory as clean

from streaming import Stream as Domain  # isort: skip: after what makes it loadable
from streaming.base.batching import generate_work  # isort: skip
from streaming.base.world import World  # isort: skip

COLUMN = "sample"
SHARD = 2_000
"""Bytes of a shard, some hundred samples: as many as hold patches of some hundred volumes."""


def prepare(run: Run) -> list[Path]:
    """The folders of the domains."""
    return prepared(run, "mds", partial(write, run))


class Samples(StreamingDataset):
    """Gives the integer itself."""

    def __getitem__(self, index: int) -> int:
        return int(super().__getitem__(index)[COLUMN])


def write(run: Run, folder: Path, domain: int) -> None:
    """Shards of a domain."""
    with MDSWriter(out=str(folder), columns={COLUMN: "int"}, size_limit=SHARD) as writer:
        for number in range(run.each):
            writer.write({COLUMN: domain * PLACES + number})


def opened(run: Run) -> Samples:
    """The data set; what an earlier one left in shared memory is taken away."""
    clean()
    folders = zip(prepare(run), run.weights, strict=True)
    streams = [Domain(local=str(folder), proportion=weight) for folder, weight in folders]
    options = {"shuffle": True, "shuffle_seed": run.seed, "batching_method": run.variant}
    return Samples(streams=streams, batch_size=run.batch, **options)


class Job:
    """What all ranks share: the data set, and the epochs as they are arranged."""

    def __init__(self, run: Run, state: Any) -> None:
        self.run, self.dataset = run, opened(run)
        self.world = World(1, run.ranks, max(1, run.workers), 0)
        if state is not None:
            self.dataset.load_state_dict(state)
        self.epoch, self.offset = self.dataset._resume(self.world, 0)
        self.arranged: dict[int, NDArray[np.int64]] = {}

    def batches(self, rank: int) -> Iterator[tuple[int, list[int]]]:
        """The batches of a rank, each with its epoch, in the order in which a loader takes them from its workers."""
        epoch, offset = self.epoch, self.offset
        while True:
            if epoch not in self.arranged:
                self.arranged[epoch] = generate_work(self.run.variant, self.dataset, self.world, epoch, offset)
            by_worker = self.arranged[epoch][0, rank]  # (workers, batches, batch)
            for ids in by_worker.swapaxes(0, 1).reshape(-1, self.run.batch):
                if (ids >= 0).all():
                    yield epoch, self.samples(ids)
            epoch, offset = epoch + 1, 0

    def samples(self, ids: NDArray[np.int64]) -> list[int]:
        """The samples that the library's numbers stand for: those of all domains are numbered one after the other."""
        return (ids // self.run.each * PLACES + ids % self.run.each).tolist()


class Arranged:
    """One rank's part."""

    def __init__(self, job: Job, rank: int) -> None:
        self.job, self.all, self.epoch, self.steps = job, job.batches(rank), job.epoch, 0

    def __iter__(self) -> "Arranged":
        return self

    def __next__(self) -> list[int]:
        epoch, batch = next(self.all)
        self.steps = self.steps + 1 if epoch == self.epoch else 1
        self.epoch = epoch
        return batch

    def state(self) -> Any:
        job = self.job
        job.dataset.next_epoch = self.epoch + 1
        before = job.offset if self.epoch == job.epoch else 0
        return job.dataset.state_dict(before + self.steps * job.run.batch * job.run.ranks, from_beginning=True)


def job(run: Run, states: Sequence[Any] | None = None) -> list[Stream]:
    """A part a rank; the state of every rank is the same."""
    shared = Job(run, states[0] if states else None)
    return [Arranged(shared, rank) for rank in range(run.ranks)]


def reopened(run: Run, state: Any) -> Stream:
    """Its real loader, for one rank."""
    return Loaded(StreamingDataLoader(opened(run), batch_size=run.batch, num_workers=run.workers), state)


def state_at(run: Run, position: int) -> Any:
    """After so many draws: the epoch and the place in it."""
    epoch, place = divmod(position, run.each * run.domains)
    return {**job(run)[0].state(), "epoch": epoch, "sample_in_epoch": place}

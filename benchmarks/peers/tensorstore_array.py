"""tensorstore on our store: one thread a process, or one process with a few threads."""

from collections.abc import Iterator
from functools import partial

import tensorstore
import torch

from benchmarks.corpus import Corpus, box
from benchmarks.peers.crops import Reader, Setup, through_threads, through_workers
from benchmarks.peers.ours import form as form
from benchmarks.peers.ours import name


def reader(corpus: Corpus, threads: int = 1) -> Reader:
    """Arrays that share a pool of so many threads.

    No cache of decoded chunks, as is its default: of volumes beyond memory it would find next to nothing.
    """
    limit = {"limit": threads}
    context = tensorstore.Context({"data_copy_concurrency": limit, "file_io_concurrency": limit})
    arrays = []
    for number in range(corpus.volumes):
        path = str(form(corpus) / name(number) / "0")
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": path}}
        arrays.append(tensorstore.open(spec, context=context, read=True).result())
    return lambda requests: [arrays[number][box(corner, corpus.size)].read().result() for number, corner in requests]


def loader(corpus: Corpus, setup: Setup) -> Iterator[torch.Tensor]:
    """In the spawned workers of a `DataLoader`; a forked child of a process that has read dies."""
    return through_workers(corpus, setup, reader)


def threads(corpus: Corpus, setup: Setup) -> Iterator[torch.Tensor]:
    """In threads of one process: reading and normalising let go of the interpreter's lock."""
    return through_threads(corpus, setup, partial(reader, threads=max(1, setup.workers)))

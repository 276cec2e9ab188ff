"""zarr-python on our store, with its own codec pipeline and with that of the `zarrs` package."""

from collections.abc import Iterator

import numpy as np
import torch
import zarr

from benchmarks.corpus import Corpus, box
from benchmarks.peers.crops import Reader, Setup, through_workers
from benchmarks.peers.ours import form as form
from benchmarks.peers.ours import name


def reader(corpus: Corpus) -> Reader:
    """Slices of the arrays; the Zarr store is a plain one."""
    root = form(corpus)
    arrays = [zarr.open_array(root / name(number) / "0", mode="r") for number in range(corpus.volumes)]
    return lambda requests: [np.asarray(arrays[number][box(corner, corpus.size)]) for number, corner in requests]


def loader(corpus: Corpus, setup: Setup) -> Iterator[torch.Tensor]:
    """In the workers of a `DataLoader`."""
    return through_workers(corpus, setup, reader)

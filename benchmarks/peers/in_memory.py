"""The limits: crops of arrays that are in memory already, and of uncompressed .npy files mapped into it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.corpus import Corpus, box, write_npy
from benchmarks.peers.crops import Reader, Setup, through_threads, through_workers


def form(corpus: Corpus) -> Path:
    """The .npy files."""
    return corpus.form("npy", write_npy)


def reader(corpus: Corpus) -> Reader:
    """Copies out of memory."""
    volumes = [np.array(volume) for volume in corpus.arrays()]
    return lambda requests: [volumes[number][box(corner, corpus.size)].copy() for number, corner in requests]


def mapped_reader(corpus: Corpus) -> Reader:
    """Copies out of the file cache."""
    volumes = corpus.arrays()
    return lambda requests: [np.array(volumes[number][box(corner, corpus.size)]) for number, corner in requests]


def views(corpus: Corpus) -> Reader:
    """Views of memory, for normalising straight out of it."""
    volumes = [np.array(volume) for volume in corpus.arrays()]
    return lambda requests: [volumes[number][box(corner, corpus.size)] for number, corner in requests]


def one_thread(corpus: Corpus, setup: Setup) -> Iterator[torch.Tensor]:
    """Normalised straight out of memory, on one thread."""
    return through_threads(corpus, Setup(setup.batch, 1, setup.seed), views)


def threads(corpus: Corpus, setup: Setup) -> Iterator[torch.Tensor]:
    """The same on as many threads as others have workers."""
    return through_threads(corpus, setup, views)


def mapped_loader(corpus: Corpus, setup: Setup) -> Iterator[torch.Tensor]:
    """Memory maps in the workers of a `DataLoader`."""
    return through_workers(corpus, setup, mapped_views)


def mapped_views(corpus: Corpus) -> Reader:
    """Views of the file cache."""
    volumes = corpus.arrays()
    return lambda requests: [volumes[number][box(corner, corpus.size)] for number, corner in requests]

"""LitData: chunks of patches that were cut before, uncompressed, local, shuffled, cycled without end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from litdata import ParallelStreamingDataset, StreamingDataLoader, StreamingDataset
from litdata.streaming import Cache
from numpy.typing import NDArray

from benchmarks.corpus import Corpus
from benchmarks.peers.crops import Setup, normalise
from benchmarks.peers.cut_patches import patches


def form(corpus: Corpus) -> Path:
    """The chunks."""
    return corpus.form("litdata-patches", write)


def write(corpus: Corpus, folder: Path) -> None:
    """64 MB a chunk, its default for `optimize`."""
    cache = Cache(str(folder), chunk_bytes="64MB")
    for number, patch in enumerate(patches(corpus)):
        cache[number] = patch
    cache.done()
    cache.merge()


def image_of(voxels: NDArray[np.int16]) -> torch.Tensor:
    """A normalised patch."""
    image = torch.empty((1, *voxels.shape))
    normalise(voxels, image[0].numpy())
    return image


def _first(samples: tuple[Any, ...]) -> torch.Tensor:
    return samples[0]


def loader(corpus: Corpus, setup: Setup) -> Iterator[torch.Tensor]:
    """Its own loader."""
    dataset = StreamingDataset(str(form(corpus)), shuffle=True, seed=setup.seed, transform=image_of)
    endless = ParallelStreamingDataset([dataset], length=float("inf"), transform=_first)
    yield from StreamingDataLoader(endless, batch_size=setup.batch, num_workers=setup.workers)

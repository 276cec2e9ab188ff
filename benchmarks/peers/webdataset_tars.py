"""WebDataset: tars of whole volumes as .npy members, of which one or four patches are cut.

A tar a volume, so that shards are shuffled well; workers make whole batches. Members are decoded without a copy,
which its own decoder of .npy makes.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import webdataset
from numpy.typing import NDArray

from benchmarks.corpus import Corpus, box, key
from benchmarks.peers.crops import Setup, normalise, random_corner


def form(corpus: Corpus) -> Path:
    """The tars."""
    return corpus.form("webdataset", write)


def write(corpus: Corpus, folder: Path) -> None:
    """A tar a volume."""
    for number, volume in enumerate(corpus.arrays()):
        with webdataset.TarWriter(str(folder / f"{number:06d}.tar")) as tar:
            tar.write({"__key__": key(number), "npy": np.asarray(volume)})


def decoded(member: bytes) -> NDArray[np.int16]:
    """A .npy member as an array over its bytes."""
    file = io.BytesIO(member)  # shares the bytes
    np.lib.format.read_magic(file)
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    return np.frombuffer(member, dtype, offset=file.tell()).reshape(shape)


class Cut:
    """Random patches of a decoded sample."""

    def __init__(self, corpus: Corpus, crops: int) -> None:
        self.corpus, self.crops = corpus, crops

    def __call__(self, samples: Iterator[tuple[NDArray[np.int16]]]) -> Iterator[torch.Tensor]:
        for (volume,) in samples:
            for _ in range(self.crops):
                image = torch.empty((1, *self.corpus.size))
                normalise(volume[box(random_corner(self.corpus), self.corpus.size)], image[0].numpy())
                yield image


def _batches(corpus: Corpus, setup: Setup, crops: int) -> Iterator[torch.Tensor]:
    tars = [str(path) for path in sorted(form(corpus).glob("*.tar"))]
    dataset = (
        webdataset.WebDataset(tars, resampled=True, shardshuffle=False)
        .to_tuple("npy")
        .map_tuple(decoded)
        .compose(Cut(corpus, crops))
        .batched(setup.batch, collation_fn=torch.stack)
    )
    yield from webdataset.WebLoader(dataset, batch_size=None, num_workers=setup.workers)


def loader(corpus: Corpus, setup: Setup) -> Iterator[torch.Tensor]:
    """A volume is read for each patch."""
    return _batches(corpus, setup, 1)


def four(corpus: Corpus, setup: Setup) -> Iterator[torch.Tensor]:
    """A volume is read for each batch."""
    return _batches(corpus, setup, setup.batch)

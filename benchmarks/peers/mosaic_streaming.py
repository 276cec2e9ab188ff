"""MosaicML streaming: MDS shards of whole volumes, and of patches that were cut before. Raw arrays, local, shuffled.

It imports torchvision, for images only; PyPI's build of that fails to load beside a CPU build of torch, for want of two
operators that it then looks for. They are declared here, without a body, and nothing calls them.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

try:
    import torchvision  # noqa: F401
except RuntimeError:
    OPERATORS = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        OPERATORS.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from streaming import MDSWriter, StreamingDataLoader, StreamingDataset
from streaming.base.util import clean_stale_shared_memory

from benchmarks.corpus import Corpus, box
from benchmarks.peers.crops import Setup, normalise, random_corner
from benchmarks.peers.cut_patches import patches

COLUMN = "voxels"
EPOCH = 100_000
"""Samples; longer than a turn, so that workers need not start anew."""


def volumes_form(corpus: Corpus) -> Path:
    """MDS of volumes."""
    return corpus.form("mds-volumes", lambda corpus, folder: _write(folder, corpus.arrays(), corpus.shape))


def patches_form(corpus: Corpus) -> Path:
    """MDS of patches."""
    return corpus.form("mds-patches", lambda corpus, folder: _write(folder, patches(corpus), corpus.size))


def _write(folder: Path, arrays: Iterable[NDArray[np.int16]], shape: tuple[int, ...]) -> None:
    encoding = f"ndarray:int16:{','.join(map(str, shape))}"
    with MDSWriter(out=str(folder), columns={COLUMN: encoding}) as writer:
        for array in arrays:
            writer.write({COLUMN: np.ascontiguousarray(array)})


class Images(StreamingDataset):
    """A sample is a normalised patch; of a volume a random one."""

    def __init__(self, folder: Path, corpus: Corpus, setup: Setup) -> None:
        super().__init__(local=str(folder), shuffle=True, batch_size=setup.batch, epoch_size=EPOCH)
        self.corpus = corpus

    def __getitem__(self, index: int) -> torch.Tensor:
        voxels = super().__getitem__(index)[COLUMN]
        if voxels.shape != self.corpus.size:
            voxels = voxels[box(random_corner(self.corpus), self.corpus.size)]
        image = torch.empty((1, *self.corpus.size))
        normalise(voxels, image[0].numpy())
        return image


def _batches(folder: Path, corpus: Corpus, setup: Setup) -> Iterator[torch.Tensor]:
    clean_stale_shared_memory()
    yield from StreamingDataLoader(Images(folder, corpus, setup), batch_size=setup.batch, num_workers=setup.workers)


def volumes(corpus: Corpus, setup: Setup) -> Iterator[torch.Tensor]:
    """A volume is read for each patch."""
    return _batches(volumes_form(corpus), corpus, setup)


def cut(corpus: Corpus, setup: Setup) -> Iterator[torch.Tensor]:
    """Patches cut before."""
    return _batches(patches_form(corpus), corpus, setup)

"""TorchIO's Queue: workers load whole volumes, of each of which a few patches go into a shuffled buffer.

Four patches a volume, as MONAI's row with four; volumes stay int16 and patches are normalised as batches, which is less
work than transforming volumes. The list of subjects is repeated so that the workers need not start anew.
"""

from collections.abc import Iterator

import torch
import torchio

from benchmarks.corpus import Corpus
from benchmarks.peers.crops import WINDOW, Setup
from benchmarks.peers.nifti import form as form

PER_VOLUME = 4
BUFFER = 48
PASSES = 400


def loader(corpus: Corpus, setup: Setup) -> Iterator[torch.Tensor]:
    """Batches out of the queue."""
    low, high = WINDOW
    subjects = [torchio.Subject(image=torchio.ScalarImage(path)) for path in corpus.nifti()]
    queue = torchio.Queue(
        torchio.SubjectsDataset(subjects * PASSES),
        max_length=min(BUFFER, PER_VOLUME * corpus.volumes),
        samples_per_volume=PER_VOLUME,
        sampler=torchio.UniformSampler(corpus.size),
        num_workers=setup.workers,
    )
    for batch in torchio.SubjectsLoader(queue, batch_size=setup.batch, num_workers=0):
        image = batch["image"][torchio.DATA].to(torch.float32)
        yield image.sub_(low).mul_(1 / (high - low)).clamp_(0, 1)

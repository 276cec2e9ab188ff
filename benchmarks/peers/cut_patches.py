"""Patches that are cut once and stored, for formats that cannot read a part of a sample: 32 random ones a volume."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.corpus import Corpus, box

PER_VOLUME = 32
"""A volume holds some 24 patches side by side; training would want many more than that, and pay their bytes."""


def patches(corpus: Corpus) -> Iterator[NDArray[np.int16]]:
    """In random order over the volumes."""
    volumes = corpus.arrays()
    for number in range(PER_VOLUME * corpus.volumes):
        volume, corner = corpus.request(number, seed=1)
        yield np.array(volumes[volume][box(corner, corpus.size)])

"""nibabel: the whole .nii.gz is decompressed for each patch, as a loader without conversion does."""

from pathlib import Path

import nibabel as nib
import numpy as np

from benchmarks.corpus import Corpus, box
from benchmarks.peers.crops import Reader


def form(corpus: Corpus) -> Path:
    """The .nii.gz files."""
    return corpus.nifti()[0].parents[1]


def reader(corpus: Corpus) -> Reader:
    """Loads, then cuts."""
    paths = corpus.nifti()
    return lambda requests: [
        np.asarray(nib.load(paths[number]).dataobj)[box(corner, corpus.size)] for number, corner in requests
    ]

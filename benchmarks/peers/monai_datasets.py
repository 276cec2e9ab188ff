"""MONAI, from .nii.gz and from its two caches, forked workers as it is by default.

Only loading is deterministic and so cached, as int16; the crop is scaled after it is cut, 30 times less work than
scaling the volume. Metadata are not tracked and caches are not copied, which is faster. `four_from_nifti` takes four
crops of a volume that was loaded once, so that the patches of a batch are from one volume.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from monai.data import CacheDataset, DataLoader, Dataset, PersistentDataset, list_data_collate, set_track_meta
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    LoadImaged,
    RandSpatialCropd,
    RandSpatialCropSamplesd,
    ScaleIntensityRanged,
)
from torch.utils.data import RandomSampler

from benchmarks.corpus import Corpus
from benchmarks.peers.crops import ENDLESS, WINDOW, Setup

FILES = "image"


def nifti_form(corpus: Corpus) -> Path:
    """The .nii.gz files."""
    return corpus.nifti()[0].parents[1]


def persistent_form(corpus: Corpus) -> Path:
    """The cache of `PersistentDataset`."""
    return corpus.form("monai-persistent", _fill)


def _fill(corpus: Corpus, folder: Path) -> None:
    dataset = PersistentDataset(_items(corpus), _transform(corpus), cache_dir=folder)
    for number in range(corpus.volumes):
        dataset[number]


def _items(corpus: Corpus) -> list[dict[str, str]]:
    return [{FILES: str(path)} for path in corpus.nifti()]


def _transform(corpus: Corpus, crops: int = 1) -> Compose:
    low, high = WINDOW
    options = {"keys": FILES, "roi_size": corpus.size, "random_size": False}
    crop = RandSpatialCropd(**options) if crops == 1 else RandSpatialCropSamplesd(num_samples=crops, **options)
    return Compose(
        [
            LoadImaged(keys=FILES, image_only=True, dtype=np.int16),
            EnsureChannelFirstd(keys=FILES, channel_dim="no_channel"),
            crop,
            ScaleIntensityRanged(keys=FILES, a_min=low, a_max=high, b_min=0, b_max=1, clip=True),
        ]
    )


def _batches(dataset: Dataset, setup: Setup, crops: int = 1) -> Iterator[torch.Tensor]:
    loader = DataLoader(
        dataset,
        batch_size=max(1, setup.batch // crops),
        sampler=RandomSampler(dataset, replacement=True, num_samples=ENDLESS),
        num_workers=setup.workers,
        collate_fn=list_data_collate,
        multiprocessing_context="fork" if setup.workers else None,
    )
    for batch in loader:
        yield batch[FILES]


def from_nifti(corpus: Corpus, setup: Setup) -> Iterator[torch.Tensor]:
    """A volume is decompressed for each patch."""
    set_track_meta(False)
    return _batches(Dataset(_items(corpus), _transform(corpus)), setup)


def four_from_nifti(corpus: Corpus, setup: Setup) -> Iterator[torch.Tensor]:
    """A volume is decompressed for each batch."""
    set_track_meta(False)
    return _batches(Dataset(_items(corpus), _transform(corpus, setup.batch)), setup, setup.batch)


def persistent(corpus: Corpus, setup: Setup) -> Iterator[torch.Tensor]:
    """A cached volume is loaded for each patch."""
    set_track_meta(False)
    folder = persistent_form(corpus)
    return _batches(PersistentDataset(_items(corpus), _transform(corpus), cache_dir=folder), setup)


def cached(corpus: Corpus, setup: Setup) -> Iterator[torch.Tensor]:
    """All volumes are in memory, which the forked workers share."""
    set_track_meta(False)
    dataset = CacheDataset(_items(corpus), _transform(corpus), copy_cache=False, num_workers=2, progress=False)
    return _batches(dataset, setup)

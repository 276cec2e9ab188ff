"""mixio: patches of a store one by one and a batch at a time, and its data set in processes and in threads."""

from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

import mixio
from benchmarks.corpus import DOMAIN, Corpus, Shape, key
from benchmarks.peers.crops import ENDLESS, WINDOW, LeftOut, Reader, Setup
from mixio.convert import convert
from mixio.settings import Settings

SETTINGS = Settings(val_fraction=0, split_seed=0, keep_names=True)


def form(corpus: Corpus) -> Path:
    """The store; another one if mixio's defaults change."""
    return corpus.form(f"store-{SETTINGS.identity}", write_store)


def write_store(corpus: Corpus, folder: Path) -> None:
    """Converts the .nii.gz."""
    convert(corpus.nifti()[0].parents[1], folder, settings=SETTINGS, jobs=2)


def chunk(corpus: Corpus) -> Shape:
    """The store's chunk, to whose multiples aligned corners are drawn."""
    return mixio.open_store(form(corpus)).row(name(0)).chunk


def name(number: int) -> str:
    """The name of a volume in the store."""
    return f"{DOMAIN}/{key(number)}"


def reader(corpus: Corpus) -> Reader:
    """A patch a call."""
    store, size = mixio.open_store(form(corpus)), corpus.size
    return lambda requests: [store.read_patch(name(n), corner=corner, size=size) for n, corner in requests]


def batch_reader(corpus: Corpus) -> Reader:
    """A batch a call."""
    store, size = mixio.open_store(form(corpus)), corpus.size
    if not hasattr(store, "read_patches"):
        raise LeftOut("this mixio has no Store.read_patches")
    return lambda requests: store.read_patches([(name(n), corner) for n, corner in requests], size=size)


def _dataset(corpus: Corpus, setup: Setup, **options: Any) -> mixio.MixtureDataset:
    for option in options:
        if option not in signature(mixio.MixtureDataset).parameters:
            raise LeftOut(f"this mixio's MixtureDataset has no option {option}")
    (edge,) = set(corpus.size)
    return mixio.MixtureDataset(
        mixio.open_store(form(corpus)),
        mixio.Mixture({DOMAIN: 1.0}),
        patch_size=edge,
        seed=setup.seed,
        windows={DOMAIN: WINDOW},
        **options,
    )


def _workers(corpus: Corpus, setup: Setup, context: str, **options: Any) -> Iterator[torch.Tensor]:
    dataset = _dataset(corpus, setup, **options)
    sampler = mixio.MixtureSampler(dataset, num_samples=ENDLESS, batch_size=setup.batch, rank=0, num_replicas=1)
    loader = DataLoader(
        dataset,
        batch_size=setup.batch,
        sampler=sampler,
        num_workers=setup.workers,
        multiprocessing_context=context if setup.workers else None,
    )
    for batch in loader:
        yield batch["image"]


def _threads(corpus: Corpus, setup: Setup, **options: Any) -> Iterator[torch.Tensor]:
    if not hasattr(mixio, "MixtureLoader"):
        raise LeftOut("this mixio has no MixtureLoader")
    loader = mixio.MixtureLoader(
        _dataset(corpus, setup, **options),
        batch_size=setup.batch,
        num_samples=ENDLESS,
        threads=max(1, setup.workers),
    )
    for batch in loader:
        yield batch["image"]


def spawn(corpus: Corpus, setup: Setup) -> Iterator[torch.Tensor]:
    """`DataLoader` with spawned workers."""
    return _workers(corpus, setup, "spawn")


def fork(corpus: Corpus, setup: Setup) -> Iterator[torch.Tensor]:
    """`DataLoader` with forked workers."""
    return _workers(corpus, setup, "fork")


def threads(corpus: Corpus, setup: Setup) -> Iterator[torch.Tensor]:
    """`MixtureLoader`."""
    return _threads(corpus, setup)


def aligned(corpus: Corpus, setup: Setup) -> Iterator[torch.Tensor]:
    """`MixtureLoader`, corners on the chunk grid."""
    return _threads(corpus, setup, align="chunk")

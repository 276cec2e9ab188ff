"""zarr-python with the codec pipeline of the `zarrs` package, one thread a process; after a fork it would hang."""

from collections.abc import Iterator

import torch
import zarr
import zarrs

from benchmarks.corpus import Corpus
from benchmarks.peers.crops import Reader, Setup, through_workers
from benchmarks.peers.zarr_python import form as form
from benchmarks.peers.zarr_python import reader as plain_reader

PIPELINE = f"{zarrs.__name__}.ZarrsCodecPipeline"


def reader(corpus: Corpus) -> Reader:
    """Chunks are decoded one after the other, as one core would."""
    zarr.config.set({"codec_pipeline.path": PIPELINE, "codec_pipeline.chunk_concurrent_maximum": 1})
    zarr.config.set({"threading.max_workers": 1})
    return plain_reader(corpus)


def loader(corpus: Corpus, setup: Setup) -> Iterator[torch.Tensor]:
    """In the workers of a `DataLoader`."""
    return through_workers(corpus, setup, reader)

"""What contestants share: a patch, its normalisation, and two ways from patches to batches, processes and threads.

A reader takes requests and gives the patches, int16. It is opened in the process that reads: some libraries do not
survive a fork, and none needs to be pickled so. A loader gives batches (B, 1, X, Y, Z) float32 in [0, 1] without end.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from benchmarks.corpus import Corpus, Request

WINDOW = (-1000, 1000)
ENDLESS = 10**9
AHEAD = 2
"""Batches that each worker or thread makes ahead; `DataLoader`'s default."""

Reader = Callable[[Sequence[Request]], Sequence[NDArray[np.int16]]]
Opens = Callable[[Corpus], Reader]


class LeftOut(Exception):
    """A contestant that cannot take part here, and why."""


@dataclass(frozen=True)
class Setup:
    """How batches are to be made."""

    batch: int = 4
    workers: int = 2
    seed: int = 0


def normalise(patch: NDArray[np.int16], out: NDArray[np.float32]) -> None:
    """`WINDOW` to 0..1; the fastest of seven ways that were tried with numpy and torch."""
    low, high = WINDOW
    out[...] = patch
    np.multiply(out, np.float32(1 / (high - low)), out=out)
    np.add(out, np.float32(-low / (high - low)), out=out)
    np.clip(out, 0, 1, out=out)


class Crops(Dataset):
    """Map-style: item n is the n-th patch of the corpus' list, (1, X, Y, Z) float32."""

    def __init__(self, corpus: Corpus, opens: Opens, seed: int) -> None:
        self.corpus, self.opens, self.seed = corpus, opens, seed
        self.read: Reader | None = None

    def __getitem__(self, number: int) -> torch.Tensor:
        if self.read is None:
            self.read = self.opens(self.corpus)
        (patch,) = self.read([self.corpus.request(number, seed=self.seed)])
        image = torch.empty((1, *self.corpus.size))
        normalise(patch, image[0].numpy())
        return image


def through_workers(corpus: Corpus, setup: Setup, opens: Opens, context: str = "spawn") -> Iterator[torch.Tensor]:
    """A plain `DataLoader` over `Crops`."""
    yield from DataLoader(
        Crops(corpus, opens, setup.seed),
        batch_size=setup.batch,
        sampler=range(ENDLESS),
        num_workers=setup.workers,
        multiprocessing_context=context if setup.workers else None,
    )


def through_threads(corpus: Corpus, setup: Setup, opens: Opens) -> Iterator[torch.Tensor]:
    """Threads of this process share one reader; each makes whole batches, which come in order."""
    read = opens(corpus)

    def batch_of(first: int) -> torch.Tensor:
        batch = torch.empty((setup.batch, 1, *corpus.size))
        requests = [corpus.request(n, seed=setup.seed) for n in range(first, first + setup.batch)]
        for image, request in zip(batch.numpy(), requests, strict=True):
            normalise(read([request])[0], image[0])
        return batch

    threads = max(1, setup.workers)
    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Future[torch.Tensor]] = deque()
        for number in count():
            pending.append(pool.submit(batch_of, number * setup.batch))
            if len(pending) > AHEAD * threads:
                yield pending.popleft().result()


def random_corner(corpus: Corpus) -> tuple[int, int, int]:
    """For those that choose corners by themselves, by torch's generator, which `DataLoader` seeds in its workers."""
    x, y, z = (int(torch.randint(n - s + 1, ())) for n, s in zip(corpus.shape, corpus.size, strict=True))
    return x, y, z

"""What memory, and the pipe between processes, would deliver if reading cost nothing."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from mixio.volume import Shape
from tools.bench_system import cores, deaf_children
from tools.bench_turns import Spread, in_turns, rate_of, spread_of

_COPIED = 2**26
_MARGIN = 256
"""Voxels by which the volume in memory is longer than a patch, so that it is larger than most caches."""
_TARGETS = 32
"""Patches that are filled in turn: who trains has many in flight, and not in the processor's cache."""


@dataclass(frozen=True)
class Memory:
    """Bytes a second of copying on one core, and random patches a second cut out of a volume of integers in memory."""

    copy: Spread
    crop: Spread
    crop_threads: Spread
    threads: int


@dataclass(frozen=True)
class Pipe:
    """Patches a second out of a DataLoader whose data set does no work, by type, and with how many workers."""

    workers: int
    float32: Spread
    int16: Spread


def measure_memory(size: Shape, *, seconds: float) -> Memory:
    """Copy and crop, on one core and on all."""
    source, target = np.ones(_COPIED, np.uint8), np.empty(_COPIED, np.uint8)
    volume = np.ones([edge + _MARGIN for edge in size], np.int16)

    def copy() -> float:
        np.copyto(target, source)
        return float(_COPIED)

    with ThreadPoolExecutor(cores()) as pool:
        crops = [_cropper(volume, size, seed) for seed in range(cores())]
        turns = in_turns(
            {
                "copy": lambda limit: rate_of(copy, limit),
                "crop": lambda limit: rate_of(crops[0], limit),
                "crop_threads": lambda limit: sum(pool.map(lambda crop: rate_of(crop, limit), crops)),
            },
            seconds=seconds,
        )
    return Memory(**{name: spread_of(rates) for name, rates in turns.items()}, threads=cores())


def _cropper(volume: np.ndarray, size: Shape, seed: int) -> Callable[[], float]:
    rng, targets = np.random.default_rng(seed), cycle(np.ones((_TARGETS, *size), volume.dtype))

    def crop() -> float:
        x, y, z = (int(rng.integers(_MARGIN + 1)) for _ in size)
        np.copyto(next(targets), volume[x : x + size[0], y : y + size[1], z : z + size[2]])
        return 1.0

    return crop


class _Nothing(Dataset[torch.Tensor]):
    """The same patch again and again."""

    def __init__(self, size: Shape, dtype: torch.dtype) -> None:
        self._patch = torch.zeros((1, *size), dtype=dtype)

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, index: int) -> torch.Tensor:
        return self._patch


def measure_pipe(size: Shape, *, batch_size: int, workers: int, seconds: float) -> Pipe:
    """Take batches of nothing from this many worker processes, as float32 and as int16."""
    with _pipe(size, torch.float32, batch_size, workers) as wide, _pipe(size, torch.int16, batch_size, workers) as slim:

        def turn(batches: Iterator[torch.Tensor], limit: float) -> float:
            for _ in range(3 * workers):  # those that waited while it was another's turn
                next(batches)
            return rate_of(lambda: len(next(batches)), limit)

        turns = in_turns(
            {"float32": lambda limit: turn(wide, limit), "int16": lambda limit: turn(slim, limit)}, seconds=seconds
        )
    return Pipe(workers, **{name: spread_of(rates) for name, rates in turns.items()})


@contextmanager
def _pipe(size: Shape, dtype: torch.dtype, batch_size: int, workers: int) -> Iterator[Iterator[torch.Tensor]]:
    loader = DataLoader(
        _Nothing(size, dtype), batch_size=batch_size, num_workers=workers, multiprocessing_context="spawn"
    )
    with deaf_children():
        batches = iter(loader)
    try:
        next(batches)
        yield batches
    finally:
        batches._shutdown_workers()

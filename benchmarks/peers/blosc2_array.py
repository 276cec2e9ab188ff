"""blosc2 arrays as nnU-Net (2026) keeps its volumes: LZ4HC 5, memory-mapped, one thread a process.

The rule for the shapes is nnU-Net's (`comp_blosc2_params` of its `nnunet_dataset.py`): chunks of up to 1.5 patches an
axis and 6 MiB, blocks of up to 128 KiB; so is the choice of the filter by trial. Unlike there, voxels stay int16 and
files stay open, which is to its advantage.
"""

from collections.abc import Iterator
from math import prod
from pathlib import Path

import blosc2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.corpus import Corpus, Shape, box, key
from benchmarks.peers.crops import Reader, Setup, through_workers

MAX_BLOCK = 128 * 2**10
MAX_CHUNK = 6 * 2**20
COMPRESSION = {"codec": blosc2.Codec.LZ4HC, "clevel": 5, "nthreads": 1}


def form(corpus: Corpus) -> Path:
    """The .b2nd files."""
    return corpus.form("blosc2", write)


def write(corpus: Corpus, folder: Path) -> None:
    """A file a volume."""
    chunks, blocks = chunks_and_blocks(corpus.shape, corpus.size, itemsize=2)
    for number, volume in enumerate(corpus.arrays()):
        voxels, path = np.ascontiguousarray(volume), str(folder / f"{key(number)}.b2nd")
        cparams = {**COMPRESSION, "filters": [best_filter(voxels, chunks, blocks)]}
        blosc2.asarray(voxels, urlpath=path, chunks=chunks, blocks=blocks, cparams=cparams)


def chunks_and_blocks(shape: Shape, size: Shape, *, itemsize: int) -> tuple[Shape, Shape]:
    """A chunk near 1.5 patches; in it the largest block of powers of two that the second cache holds.

    >>> chunks_and_blocks((320, 320, 256), (96, 96, 96), itemsize=2)
    ((144, 144, 144), (64, 32, 32))
    """
    chunk = [min(n, s * 3 // 2) for n, s in zip(shape, size, strict=True)]
    block = [min(n, 1 << (s - 1).bit_length()) for n, s in zip(shape, size, strict=True)]
    while prod(block) * itemsize > MAX_BLOCK:
        _, axis = max((block[axis] / chunk[axis], axis) for axis in range(3))
        block[axis] = 1 << ((block[axis] - 1).bit_length() - 1)
    while prod(chunk) * itemsize > MAX_CHUNK:
        _, axis = max((chunk[axis] / size[axis], axis) for axis in range(3))
        chunk[axis] -= block[axis]
    block = [min(b, c) for b, c in zip(block, chunk, strict=True)]
    return (chunk[0], chunk[1], chunk[2]), (block[0], block[1], block[2])


def best_filter(voxels: NDArray[np.int16], chunks: Shape, blocks: Shape) -> blosc2.Filter:
    """The filter with which a chunk from the middle is smaller."""
    x, y, z = ((n - c) // 2 for n, c in zip(voxels.shape, chunks, strict=True))
    middle = np.ascontiguousarray(voxels[box((x, y, z), chunks)])
    size_of = {}
    for tried in (blosc2.Filter.NOFILTER, blosc2.Filter.SHUFFLE):
        array = blosc2.asarray(middle, chunks=chunks, blocks=blocks, cparams={**COMPRESSION, "filters": [tried]})
        size_of[tried] = array.schunk.cbytes
    return min(size_of, key=size_of.get)


def reader(corpus: Corpus) -> Reader:
    """Slices of the mapped files."""
    blosc2.set_nthreads(1)
    options = {"mode": "r", "mmap_mode": "r", "dparams": {"nthreads": 1}}
    paths = [form(corpus) / f"{key(number)}.b2nd" for number in range(corpus.volumes)]
    arrays = [blosc2.open(str(path), **options) for path in paths]
    return lambda requests: [arrays[number][box(corner, corpus.size)] for number, corner in requests]


def loader(corpus: Corpus, setup: Setup) -> Iterator[torch.Tensor]:
    """In the workers of a `DataLoader`."""
    return through_workers(corpus, setup, reader)

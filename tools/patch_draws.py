"""Training patches of labelled cases: which case, where, and how it is changed, for draw g of a run.

A pure function of the seed and g, so that runs from different weights see the same patches in the same order. A pass
goes through all cases once, in an order of its own. Of some draws a foreground voxel, of a class drawn among those
of the case, lies anywhere in the patch; other corners are uniform. Then axes are flipped by
chance, and intensities scaled and shifted. A volume smaller than the patch is centered in its background.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.volume import Shape
from tools.examples import Example

_CASES, _PATCH = 0, 1
"""What random numbers are for: the order of a pass, a patch."""


@dataclass(frozen=True)
class Augmentation:
    """`foreground` is the share of draws that hold a foreground voxel for sure; each axis named in `flip` is flipped in
    half of the draws; intensities are scaled by 1 and shifted by 0, both give or take up to `intensity`.
    """

    foreground: float = 0.67
    flip: str = "x"
    intensity: float = 0.1


@dataclass(frozen=True, eq=False)
class Patch:
    """`image` (1, X, Y, Z) float32; `label` (1, X, Y, Z) uint8, or `target`, the number of a class."""

    name: str
    image: NDArray[np.float32]
    label: NDArray[np.uint8] | None
    target: int | None


class PatchDraws:
    """Draw g of a run, for every g from 0 on: a patch of `size` voxels of one of the examples.

    Where labelled voxels lie is kept once a case has been drawn, at 8 bytes each.
    """

    def __init__(self, examples: Sequence[Example], *, size: Shape, seed: int, augmentation: Augmentation) -> None:
        self.examples, self.size, self.seed, self.augmentation = examples, size, seed, augmentation
        self._voxels = lru_cache(maxsize=None)(self._voxels_of)

    def __getitem__(self, draw: int) -> Patch:
        number = self.case_of(draw)
        example = self.examples[number]
        random = np.random.default_rng([self.seed, _PATCH, draw])
        corner = self._corner(number, random)
        image = cut(example.image, corner, self.size, fill=example.background)
        label = None if example.label is None else cut(example.label, corner, self.size, fill=0)
        chances = random.random(3)
        axes = tuple(axis for axis, name in enumerate("xyz") if name in self.augmentation.flip and chances[axis] < 0.5)
        image = np.flip(image, axes)
        label = None if label is None else np.flip(label, axes)
        scale, shift = random.uniform(-1, 1, 2) * self.augmentation.intensity
        image = image * np.float32(1 + scale) + np.float32(shift)
        return Patch(example.name, image[None], None if label is None else label[None], example.target)

    def case_of(self, draw: int) -> int:
        """Which example draw g is of."""
        turn, place = divmod(draw, len(self.examples))
        order = np.random.default_rng([self.seed, _CASES, turn]).permutation(len(self.examples))
        return int(order[place])

    def _corner(self, number: int, random: np.random.Generator) -> Shape:
        shape = self.examples[number].shape
        classes = self._voxels(number)
        if classes and random.random() < self.augmentation.foreground:
            voxels = classes[random.integers(len(classes))]
            chosen = np.array(np.unravel_index(voxels[random.integers(len(voxels))], shape))
            corner = chosen - random.integers(self.size)
        else:
            corner = random.integers(np.maximum(np.array(shape) - self.size, 0) + 1)
        return inside(corner, shape, self.size)

    def _voxels_of(self, number: int) -> list[NDArray[np.int64]]:
        """The flat places of each class that an example has, without the background."""
        label = self.examples[number].label
        if label is None:
            return []
        return [np.flatnonzero(label == value) for value in np.unique(label) if value]


def inside(corner: Sequence[int] | NDArray[Any], shape: Shape, size: Shape) -> Shape:
    """The nearest corner whose patch does not leave the volume; of an axis shorter than the patch, which centers it."""
    x, y, z = (
        int(np.clip(begin, 0, n - p)) if n > p else (n - p) // 2
        for begin, n, p in zip(corner, shape, size, strict=True)
    )
    return x, y, z


def cut(voxels: NDArray[Any], corner: Shape, size: Shape, *, fill: float) -> NDArray[Any]:
    """The patch (X, Y, Z) at a corner, which may be negative; `fill` is what lies outside of the volume."""
    patch = np.full(size, fill, voxels.dtype)
    here, there = [], []
    for begin, n, p in zip(corner, voxels.shape, size, strict=True):
        first, last = max(begin, 0), min(begin + p, n)
        there.append(slice(first, last))
        here.append(slice(first - begin, last - begin))
    patch[tuple(here)] = voxels[tuple(there)]
    return patch


def windows(shape: Shape, size: Shape) -> Iterator[Shape]:
    """Corners of evenly spaced patches that cover a volume, as few as do."""
    axes = []
    for n, p in zip(shape, size, strict=True):
        count = max(1, -(-n // p))
        axes.append([(n - p) // 2] if count == 1 else [(n - p) * i // (count - 1) for i in range(count)])
    yield from product(*axes)  # type: ignore[arg-type]

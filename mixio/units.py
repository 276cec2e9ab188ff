"""Shares of volumes or of voxels, as shares of patches, which is what is drawn.

A patch of a volume that is smaller than the patch holds fewer real voxels, the rest is padding; and where more patches
are read of each volume of one domain than of another, a share of patches is no share of volumes.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixio.errors import InvalidArgument
from mixio.mixture import Mixture
from mixio.schedule import Shares
from mixio.volume import Shape

Unit = Literal["patches", "volumes", "voxels"]


def amounts_of(
    unit: Unit,
    patches: Mapping[str, int],
    *,
    size: Shape,
    shapes_of: Callable[[str], NDArray[np.int64]],
) -> dict[str, float]:
    """How much of the unit one patch of each domain brings; for voxels that looks at the shape of every volume.

    `patches` of each volume are read in a pass, `shapes_of` a domain are those of its volumes (V, 3).
    """
    if unit == "patches":
        return dict.fromkeys(patches, 1.0)
    if unit == "volumes":
        return {domain: 1 / number for domain, number in patches.items()}
    if unit != "voxels":
        raise InvalidArgument(f'unit must be "patches", "volumes" or "voxels", got {unit!r}')
    return {domain: _mean_voxels(shapes_of(domain), size) for domain in patches}


def _mean_voxels(shapes: NDArray[np.int64], size: Shape) -> float:
    """Real voxels of a patch of `size`, on average over volumes of `shapes` (V, 3); of which there are few kinds."""
    kinds = Counter(map(tuple, shapes.tolist()))
    return sum(real_voxels(shape, size) * number for shape, number in kinds.items()) / len(shapes)


def real_voxels(shape: Shape, size: Shape) -> int:
    """Voxels of a patch of `size` that lie in a volume of `shape`, wherever it begins."""
    return math.prod(map(min, shape, size))


def in_patches(mixture: Mixture, amounts: Mapping[str, float]) -> Mixture:
    """The mixture whose shares of patches deliver the given one's shares of what a patch brings `amounts` of."""
    schedule = [(start, _in_patches(shares, amounts)) for start, shares in mixture.schedule]
    return Mixture(schedule, seed=mixture.seed, window=mixture.window, before=mixture.before, end=mixture.end)


def _in_patches(shares: Shares, amounts: Mapping[str, float]) -> Shares:
    patches = {domain: share / amounts[domain] if share else 0.0 for domain, share in shares.items()}
    total = math.fsum(patches.values())
    return {domain: share / total for domain, share in patches.items()}

"""Shares of volumes or of voxels, as shares of patches, which is what is drawn.

A patch of a volume that is smaller than the patch holds fewer real voxels, the rest is padding; and where more patches
are read of each volume of one domain than of another, a share of patches is no share of volumes.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from mixio.errors import InvalidArgument
from mixio.mixture import Mixture
from mixio.schedule import Shares
from mixio.volume import Shape

if TYPE_CHECKING:  # the manifest brings pyarrow
    from mixio.row import Row

Unit = Literal["patches", "volumes", "voxels"]


def amounts_of(
    unit: Unit,
    volumes: Mapping[str, Sequence[str]],
    *,
    patches: Mapping[str, int],
    size: Shape,
    row_of: Callable[[str], "Row"],
) -> dict[str, float]:
    """How much of the unit one patch of each domain brings; for voxels that looks at the shape of every volume."""
    if unit == "patches":
        return dict.fromkeys(volumes, 1.0)
    if unit == "volumes":
        return {domain: 1 / patches[domain] for domain in volumes}
    if unit != "voxels":
        raise InvalidArgument(f'unit must be "patches", "volumes" or "voxels", got {unit!r}')
    voxels = {domain: sum(real_voxels(row_of(name).shape, size) for name in names) for domain, names in volumes.items()}
    return {domain: total / len(volumes[domain]) for domain, total in voxels.items()}


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

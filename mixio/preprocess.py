"""Volume to volume, without loss: orientation, background, foreground, statistics.

Reorientation is flips and transpositions only, so no voxel is interpolated. What is background and what is
foreground is decided by simple rules on intensities, written down in the docstrings below, and serves sampling
and display; nothing is masked out of the stored voxels.
"""

from dataclasses import dataclass, replace
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.volume import Shape, Volume, rescale

CELL = 8
"""Edge in voxels of the cells in which foreground is counted."""

PERCENTILES = (0.5, 5.0, 50.0, 95.0, 99.5)
_AIR_HU = -500.0
_TISSUE_SHARE_OF_RANGE = 0.08
_SAMPLES = 1_000_000


def to_ras(volume: Volume) -> Volume:
    """The same voxels with axis 0 towards Right, 1 Anterior, 2 Superior, as near as their grid allows.

    Oblique grids stay oblique: the affine says by how much.
    """
    axes, signs = ras_axes(volume.affine)
    voxels = volume.voxels.transpose(axes)
    flips = tuple(slice(None, None, sign) for sign in signs)
    affine = np.eye(4)
    affine[:, :3] = volume.affine[:, list(axes)] * signs
    last = np.array([0 if sign > 0 else n - 1 for sign, n in zip(signs, voxels.shape, strict=True)])
    affine[:, 3] = volume.affine[:, 3] + volume.affine[:, list(axes)] @ last
    return replace(volume, voxels=np.ascontiguousarray(voxels[flips]), affine=affine)


def ras_axes(affine: NDArray[np.float64]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Which voxel axis to put at each of R, A, S, and its sign (1, or -1 to flip).

    The rule of `nibabel.io_orientation`: scale and shear are taken out by the polar decomposition, then each voxel
    axis takes the world axis it runs along most, those that are clearest first.
    """
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(directions)
    rotation = left @ right
    axes, signs = [0, 0, 0], [1, 1, 1]
    for axis in np.argsort(-np.abs(rotation).max(axis=0), kind="stable").tolist():
        world = int(np.argmax(np.abs(rotation[:, axis])))
        axes[world], signs[world] = axis, (1 if rotation[world, axis] > 0 else -1)
        rotation[world] = 0
    return tuple(axes), tuple(signs)


def fill_nonfinite(volume: Volume) -> tuple[Volume, int]:
    """Replace NaN and infinities by the smallest finite value; also returns how many there were."""
    if volume.voxels.dtype.kind != "f":
        return volume, 0
    bad = ~np.isfinite(volume.voxels)
    count = int(np.count_nonzero(bad))
    if count == 0:
        return volume, 0
    fill = volume.voxels[~bad].min() if count < bad.size else volume.voxels.dtype.type(0)
    return replace(volume, voxels=np.where(bad, fill, volume.voxels)), count


def background_of(voxels: NDArray[Any]) -> int | float:
    """The stored value that stands for nothing there, used to pad and to leave empty chunks out.

    The most frequent value on the six faces if a tenth of them holds it (masked and zero-filled scans), else the
    minimum (noisy air, or a field of view filled with tissue).
    """
    faces = [voxels.take(end, axis=axis).ravel() for axis in range(3) for end in (0, -1)]
    values, counts = np.unique(np.concatenate(faces), return_counts=True)
    top = int(np.argmax(counts))
    chosen = values[top] if counts[top] * 10 >= counts.sum() else voxels.min()
    result: int | float = chosen.item()
    return result


@dataclass(frozen=True)
class Content:
    """What a volume holds, in real units.

    `statistics` has min, max, mean, std of all voxels and percentiles of the foreground; `foreground_box` is
    first and one-past-last voxel; `occupancy` counts foreground in cells of 8 x 8 x 8 voxels, 0 to 255.
    """

    statistics: dict[str, Any]
    foreground_fraction: float
    foreground_box: tuple[Shape, Shape]
    occupancy: NDArray[np.uint8]


def describe(volume: Volume, background: float, modality: str | None) -> Content:
    """Statistics and foreground of an oriented volume.

    Foreground is what is denser than -500 HU in CT; elsewhere what differs from the background by more than 8 %
    of the range between it and the 99.5th percentile.
    """
    real = volume.real().voxels
    threshold, empty = _foreground_rule(real, volume, background, modality)
    mask = real > _AIR_HU if threshold is None else np.abs(real - np.float32(empty)) > threshold
    inside = real[mask] if mask.any() else real.ravel()
    percentiles = np.percentile(inside[:: _stride(inside.size, real.shape)], PERCENTILES)
    statistics = {
        "min": float(real.min()),
        "max": float(real.max()),
        "mean": float(real.mean(dtype=np.float64)),
        "std": float(real.std(dtype=np.float64)),
        "percentiles": {f"{p:g}": float(v) for p, v in zip(PERCENTILES, percentiles, strict=True)},
    }
    return Content(statistics, float(mask.mean()), _bounding_box(mask), _occupancy(mask))


def _foreground_rule(
    real: NDArray[Any], volume: Volume, background: float, modality: str | None
) -> tuple[float | None, float]:
    """Least distance from the background that counts as foreground (None: the CT rule), and the background."""
    empty = float(rescale(np.array([background]), volume.slope, volume.inter)[0])
    if modality == "CT" and real.min() < _AIR_HU < real.max():
        return None, empty
    high = float(np.percentile(real.ravel()[:: _stride(real.size, real.shape)], 99.5))
    return _TISSUE_SHARE_OF_RANGE * abs(high - empty), empty


def _stride(size: int, shape: tuple[int, ...]) -> int:
    """Leaves about a million values: percentiles to three digits at a fraction of the time.

    Without a factor in common with any axis, else whole planes would never be seen.
    """
    stride = max(1, size // _SAMPLES)
    while any(gcd(stride, n) > 1 for n in shape):
        stride += 1
    return stride


def _bounding_box(mask: NDArray[np.bool_]) -> tuple[Shape, Shape]:
    low, high = [0, 0, 0], list(mask.shape)
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        hits = np.flatnonzero(mask.any(axis=others))
        if len(hits):
            low[axis], high[axis] = int(hits[0]), int(hits[-1]) + 1
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


def _occupancy(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Share of foreground per cell, 0 to 255; cells cut by the border count their real voxels only."""
    counts = mask.astype(np.float32)
    sizes = np.ones(mask.shape, np.float32)
    for axis in range(3):
        starts = np.arange(0, mask.shape[axis], CELL)
        counts = np.add.reduceat(counts, starts, axis=axis)
        sizes = np.add.reduceat(sizes, starts, axis=axis)
    cells: NDArray[np.uint8] = np.ceil(counts / sizes * 255).astype(np.uint8)
    return cells

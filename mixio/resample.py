"""Another voxel size: linear for images, nearest by world coordinates for label maps.

The new grid keeps the directions of the old one and the center of its box; it has as many voxels as fit best, so
that the box grows or shrinks by less than half a new voxel at either end. Along an axis that shrinks by a factor f
the image is first smoothed by a Gaussian of standard deviation sqrt(f^2 - 1) / 2.355 old voxels, which widens the
point spread of an old voxel to that of a new one (Cardoso et al., Scale factor point spread function matching,
MICCAI 2015); along other axes nothing is smoothed. Both work on slabs: beside input and output little is held.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import ceil, floor, isfinite, log, prod, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mixio.errors import InvalidArgument, SourceError
from mixio.memory import slabs
from mixio.volume import Shape, Volume

SAME_GRID_MM = 1e-3
"""Grids whose voxels lie this close to one another are the same grid."""

_FWHM = 2 * sqrt(2 * log(2))
_TRUNCATE = 4.0
_SLAB_BYTES = 32 * 2**20
"""Of the input to a slab, as float32."""


def resampled_shape(volume: Volume, spacing: tuple[float, float, float]) -> Shape:
    """Shape of `resample(volume, spacing)`, at least one voxel on each axis. Raises `InvalidArgument`."""
    if len(spacing) != 3 or not all(isfinite(s) and s > 0 for s in spacing):
        raise InvalidArgument(f"spacing must be three positive numbers in mm, got {spacing}")
    x, y, z = (max(1, round(n * s / t)) for n, s, t in zip(volume.shape, volume.spacing, spacing, strict=True))
    return x, y, z


def resample(volume: Volume, spacing: tuple[float, float, float]) -> Volume:
    """The image with this spacing in mm; the same volume if it has it already.

    Voxels keep their dtype, integers by rounding, and their slope and intercept. Voxels must be finite.
    """
    shape = resampled_shape(volume, spacing)
    corner = np.array(volume.shape) * (np.array(spacing) - volume.spacing)
    if np.abs(corner).max() < SAME_GRID_MM:
        return volume
    step = np.array(spacing) / volume.spacing
    start = (np.array(volume.shape) - 1 - step * (np.array(shape) - 1)) / 2
    affine = volume.affine.copy()
    affine[:3, :3] *= step
    affine[:3, 3] += volume.affine[:3, :3] @ start
    voxels = np.empty(shape, volume.voxels.dtype)
    planes = _SLAB_BYTES / (4 * step[0] * max(prod(volume.shape[1:]), prod(shape[1:])))
    for slab in slabs(voxels, nbytes=max(1, int(planes)) * voxels[0].nbytes):
        voxels[slab] = _rounded(_interpolated(volume.voxels, slab, (shape, step, start)), voxels.dtype)
    return replace(volume, voxels=voxels, affine=affine)


def _interpolated(
    voxels: NDArray[Any], slab: slice, grid: tuple[Shape, NDArray[np.float64], NDArray[np.float64]]
) -> NDArray[Any]:
    """Planes `slab` of the new grid, whose voxel j lies at `start + step * j` of the old one."""
    shape, step, start = grid
    sigma = np.sqrt(np.maximum(step**2 - 1, 0)) / _FWHM
    halo = ceil(_TRUNCATE * sigma[0]) + 1
    first = max(0, floor(start[0] + step[0] * slab.start) - halo)
    last = min(voxels.shape[0], ceil(start[0] + step[0] * (slab.stop - 1)) + halo + 1)
    exact = voxels.dtype.itemsize <= 2 or voxels.dtype == np.float32
    part: NDArray[Any] = voxels[first:last].astype(np.float32 if exact else np.float64, order="C")
    for axis in np.flatnonzero(sigma).tolist():
        part = ndimage.gaussian_filter1d(part, sigma[axis], axis, mode="nearest", truncate=_TRUNCATE)
    offset = start + np.array([step[0] * slab.start - first, 0, 0])
    planes = (slab.stop - slab.start, *shape[1:])
    moved: NDArray[Any] = ndimage.affine_transform(part, step, offset, planes, order=1, mode="nearest")
    return moved


def _rounded(real: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind == "f":
        return real.astype(dtype)
    info = np.iinfo(dtype)
    highest = float(info.max) if dtype.itemsize < 8 else np.nextafter(float(info.max), 0)
    rounded: NDArray[Any] = np.clip(np.rint(real), float(info.min), highest).astype(dtype)
    return rounded


def resample_label(label: Volume, like: Volume) -> NDArray[Any]:
    """The label map on the grid of `like`: each voxel has the label that lies nearest to it in the world.

    The label's own voxels if the grids agree to `SAME_GRID_MM`. Where the label map does not reach there is 0.
    Raises `SourceError` if it reaches no voxel of the image.
    """
    if label.shape == like.shape and _farthest(label, like) < SAME_GRID_MM:
        return label.voxels
    out = np.zeros(like.shape, label.voxels.dtype)
    covered = 0
    for slab, places in _places(label, like):
        inside = np.all([(p >= 0) & (p < n) for p, n in zip(places, label.shape, strict=True)], axis=0)
        covered += int(np.count_nonzero(inside))
        x, y, z = (p[inside] for p in places)
        out[slab][inside] = label.voxels[x, y, z]
    if covered == 0:
        raise SourceError("the label map lies wholly outside its image; is it the label map of another image?")
    return out


def _farthest(one: Volume, other: Volume) -> float:
    """How far in mm the corners of two grids of one shape lie apart at most."""
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(one.shape) - 1)
    apart = one.affine[:3] - other.affine[:3]
    return float(np.linalg.norm(corners @ apart[:, :3].T + apart[:, 3], axis=1).max())


def _places(label: Volume, like: Volume) -> Iterator[tuple[slice, list[NDArray[np.int64]]]]:
    """For planes of the image, the nearest voxel of the label map to each of its voxels, one array per axis."""
    matrix = np.linalg.inv(label.affine) @ like.affine
    x, y, z = np.ogrid[tuple(slice(n) for n in like.shape)]
    for slab in slabs(np.broadcast_to(np.float64(0), like.shape), nbytes=_SLAB_BYTES // 4):
        rows = (a * x[slab] + b * y + c * z + d for a, b, c, d in matrix[:3])
        yield slab, [np.floor(row + 0.5).astype(np.int64) for row in rows]

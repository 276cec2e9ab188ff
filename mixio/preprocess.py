"""Volume to volume, without loss: orientation, crop, background, and what is not a number.

Reorientation is flips and transpositions only, and a crop is a window: both give views, so that no voxel is
interpolated and none is copied. What is background is decided by a simple rule on intensities and serves padding,
sampling and display; nothing is masked out of the stored voxels.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.errors import InvalidArgument
from mixio.memory import layout_of, slabs
from mixio.volume import Shape, Volume


def to_ras(volume: Volume) -> Volume:
    """The same voxels with axis 0 towards Right, 1 Anterior, 2 Superior, as near as their grid allows.

    The voxels are a view of the source's. Oblique grids stay oblique: the affine says by how much.
    """
    axes, signs = ras_axes(volume.affine)
    voxels = volume.voxels.transpose(axes)
    flips = tuple(slice(None, None, sign) for sign in signs)
    affine = np.eye(4)
    affine[:, :3] = volume.affine[:, list(axes)] * signs
    last = np.array([0 if sign > 0 else n - 1 for sign, n in zip(signs, voxels.shape, strict=True)])
    affine[:, 3] = volume.affine[:, 3] + volume.affine[:, list(axes)] @ last
    return replace(volume, voxels=voxels[flips], affine=affine)


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


def crop(volume: Volume, box: tuple[Shape, Shape]) -> Volume:
    """The voxels from the box's first corner up to, not including, its second; a view, its affine moved along.

    Raises `InvalidArgument` for a box that is empty or leaves the volume.
    """
    low, high = box
    if any(not 0 <= a < b <= n for a, b, n in zip(low, high, volume.shape, strict=True)):
        raise InvalidArgument(f"a box must lie inside the volume {volume.shape} and hold a voxel, got {low} to {high}")
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ np.array(low)
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    return replace(volume, voxels=volume.voxels[window], affine=affine)


def fill_nonfinite(volume: Volume) -> tuple[Volume, int]:
    """Replace NaN and infinities by the background; also returns how many there were.

    The background is that of the finite voxels. A volume without one finite voxel becomes zeros: the caller sees
    it by the count, which is then all of them. Voxels are copied only if there is something to replace.
    """
    if volume.voxels.dtype.kind != "f":
        return volume, 0
    memory = layout_of(volume.voxels).ordered(volume.voxels)
    count = sum(int(np.count_nonzero(~np.isfinite(memory[slab]))) for slab in slabs(memory))
    if count == 0:
        return volume, 0
    fill = background_of(volume.voxels) if count < memory.size else 0.0
    filled = volume.voxels.copy(order="K")
    memory = layout_of(filled).ordered(filled)
    for slab in slabs(memory):
        np.copyto(memory[slab], memory.dtype.type(fill), where=~np.isfinite(memory[slab]))
    return replace(volume, voxels=filled), count


def background_of(voxels: NDArray[Any]) -> int | float:
    """The stored value that stands for nothing there, used to pad and to leave empty chunks out.

    The most frequent value on the six faces if a tenth of them holds it (masked and zero-filled scans), else the
    minimum (noisy air, or a field of view filled with tissue). What is not finite is passed over.
    """
    faces = np.concatenate([np.moveaxis(voxels, axis, 0)[end].ravel() for axis in range(3) for end in (0, -1)])
    if faces.dtype.kind == "f":
        faces = faces[np.isfinite(faces)]
    values, counts = np.unique(faces, return_counts=True)
    is_common = bool(counts.size and counts.max() * 10 >= counts.sum())
    chosen = values[np.argmax(counts)] if is_common else _least(voxels)
    result: int | float = chosen.item()
    return result


def _least(voxels: NDArray[Any]) -> Any:
    """The smallest finite value."""
    if voxels.dtype.kind != "f":
        return voxels.min()
    memory = layout_of(voxels).ordered(voxels)
    least = [memory[slab].min(where=np.isfinite(memory[slab]), initial=np.inf) for slab in slabs(memory)]
    return memory.dtype.type(min(least))

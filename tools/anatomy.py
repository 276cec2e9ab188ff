"""Painted anatomy: tissues, warped ellipsoids and plane waves on a grid of world coordinates.

A body is a label map, painted back to front: every `Blob` overwrites what lies under it. Blobs are
ellipsoids (or cylinders, with an infinite radius) whose outline is warped by a few random plane waves, so
that no organ is a perfect ellipse. Everything is a function of world millimetres (RAS+), never of voxels:
two scans of one subject show the same body on different grids. Limits: shapes, not physiology; good to test
with, not to diagnose.
"""

from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
Point = tuple[float, float, float]


class Tissue(NamedTuple):
    """How one tissue looks: CT number (HU), T1 and T2 signal (of 1), PET uptake (SUV), graininess (of 1)."""

    hu: float
    t1: float
    t2: float
    suv: float
    grain: float


TISSUES = {
    "air": Tissue(-1000, 0.00, 0.00, 0.05, 0.0),
    "lung": Tissue(-830, 0.10, 0.12, 0.5, 1.0),
    "fat": Tissue(-100, 0.95, 0.75, 0.3, 0.3),
    "muscle": Tissue(55, 0.45, 0.28, 0.7, 0.4),
    "skin": Tissue(20, 0.60, 0.45, 0.5, 0.2),
    "liver": Tissue(105, 0.62, 0.36, 2.2, 0.3),
    "spleen": Tissue(122, 0.42, 0.62, 1.8, 0.3),
    "cortex": Tissue(165, 0.56, 0.55, 2.6, 0.3),
    "medulla": Tissue(105, 0.34, 0.72, 4.0, 0.3),
    "blood": Tissue(170, 0.25, 0.12, 1.6, 0.1),
    "bone": Tissue(800, 0.06, 0.06, 0.6, 1.0),
    "marrow": Tissue(210, 0.66, 0.45, 1.2, 1.0),
    "tooth": Tissue(1900, 0.03, 0.03, 0.4, 0.5),
    "fluid": Tissue(8, 0.16, 1.00, 0.4, 0.1),
    "gut": Tissue(35, 0.40, 0.60, 1.4, 1.0),
    "disc": Tissue(85, 0.32, 0.45, 0.8, 0.2),
    "gland": Tissue(62, 0.55, 0.55, 1.9, 0.6),
    "grey": Tissue(39, 0.54, 0.62, 6.5, 0.2),
    "white": Tissue(29, 0.86, 0.42, 2.6, 0.2),
    "lesion": Tissue(72, 0.36, 0.88, 9.0, 0.7),
}
INDEX = {name: index for index, name in enumerate(TISSUES)}


class Grid(NamedTuple):
    """World coordinates in mm of every voxel; each array broadcasts to `shape`, open where it can be."""

    x: Array
    y: Array
    z: Array
    shape: tuple[int, int, int]
    affine: NDArray[np.float64]


def grid_of(shape: tuple[int, int, int], affine: NDArray[np.float64]) -> Grid:
    """The world coordinates of a grid. Axis-parallel grids give open arrays, which makes painting cheap."""
    indices = np.ogrid[tuple(slice(size) for size in shape)]
    world = []
    for row in affine[:3]:
        terms = [np.float64(row[3]), *(row[j] * indices[j] for j in range(3) if row[j] != 0)]
        world.append(reduce(np.add, terms).astype(np.float32))
    return Grid(*world, shape, affine)


def waves(grid: Grid, rng: np.random.Generator, *, wavelength: float, count: int = 7) -> Array:
    """A smooth random field of unit variance: a sum of plane waves around `wavelength` mm, any direction.

    The phase of a plane wave is linear in the voxel indices of any grid, so that exp(i phase) is a product of one
    factor per axis and costs two multiplications a voxel.
    """
    field = np.zeros(grid.shape, np.float32)
    indices = np.ogrid[tuple(slice(size) for size in grid.shape)]
    for _ in range(count):
        direction = rng.standard_normal(3)
        wave = direction / np.linalg.norm(direction) * 2 * np.pi / (wavelength * rng.uniform(0.75, 1.35))
        steps, start = wave @ grid.affine[:3, :3], wave @ grid.affine[:3, 3] + rng.uniform(0, 2 * np.pi)
        x, y, z = (np.exp(1j * step * axis).astype(np.complex64) for step, axis in zip(steps, indices, strict=True))
        field += (x * (np.complex64(np.exp(1j * start)) * y * z)).real  # the smaller product first
    return field * np.float32(np.sqrt(2 / count))


@dataclass(frozen=True)
class Blob:
    """A warped ellipsoid of one tissue: `center` and `radii` in mm, turned by `turn` degrees about z.

    `mirror` paints its left-right twin too, `jitter` scales how much a subject moves and resizes it,
    `inside` names the tissues it may replace (all of them if empty).
    """

    tissue: str
    center: Point
    radii: Point
    turn: float = 0.0
    mirror: bool = False
    jitter: float = 1.0
    inside: tuple[str, ...] = ()

    def placed(self, rng: np.random.Generator) -> list["Blob"]:
        """This blob (and its twin) as one subject has it: moved by about 3 mm, resized by about 6 %."""
        sides = (1, -1) if self.mirror else (1,)
        return [
            Blob(self.tissue, self._moved(rng, side), self._resized(rng), side * self.turn, inside=self.inside)
            for side in sides
        ]

    def _moved(self, rng: np.random.Generator, side: int) -> Point:
        x, y, z = np.array(self.center) * (side, 1, 1) + self.jitter * rng.normal(0, 3, 3)
        return x, y, z

    def _resized(self, rng: np.random.Generator) -> Point:
        x, y, z = np.array(self.radii) * np.exp(self.jitter * rng.normal(0, 0.06, 3))
        return x, y, z


class Canvas:
    """The label map being painted, uint8 indices into TISSUES, and the warp that bends every outline."""

    def __init__(self, grid: Grid, rng: np.random.Generator) -> None:
        self.grid, self.rng = grid, rng
        self.labels = np.zeros(grid.shape, np.uint8)
        self.warp = 0.11 * waves(grid, rng, wavelength=75) + 0.05 * waves(grid, rng, wavelength=28)

    def squared(self, blob: Blob) -> Array:
        """The squared radius of every voxel in units of the blob's radii, unwarped: 1 on the outline."""
        angle = np.float32(np.radians(blob.turn))
        x, y = self.grid.x - np.float32(blob.center[0]), self.grid.y - np.float32(blob.center[1])
        if blob.turn:
            x, y = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
        axes = (x, y, self.grid.z - np.float32(blob.center[2]))
        terms = [np.square(axis / np.float32(radius)) for axis, radius in zip(axes, blob.radii, strict=True)]
        return terms[0] + terms[1] + terms[2]

    def inside(self, *tissues: str) -> Mask:
        """Where the canvas shows one of these tissues."""
        chosen = np.zeros(256, bool)
        chosen[[INDEX[tissue] for tissue in tissues]] = True
        return chosen[self.labels]

    def paint(self, tissue: str, mask: Mask) -> None:
        """Overwrite a mask (anything that broadcasts to the grid) with a tissue."""
        np.copyto(self.labels, np.uint8(INDEX[tissue]), where=mask)

    def draw(self, *blobs: Blob) -> None:
        """Paint blobs in order, each as this subject has it."""
        for blob in [twin for each in blobs for twin in each.placed(self.rng)]:
            stiffness = np.float32(min(1, 30 / min(blob.radii)))  # large outlines bend by as few mm as small
            mask = self.squared(blob) - stiffness * self.warp < 1
            self.paint(blob.tissue, mask & self.inside(*blob.inside) if blob.inside else mask)

    def vessels(self, tissue: str, *inside: str, thickness: float = 0.14) -> None:
        """Tubes of `tissue` through other tissues: a branching net where two random fields are near zero."""
        first, second = (waves(self.grid, self.rng, wavelength=48) for _ in range(2))
        self.paint(tissue, (np.square(first) + np.square(second) < thickness**2) & self.inside(*inside))

"""From a label map to what a scanner would have written: CT numbers, MR signal or PET uptake, with noise and
blur.

Each scanner takes labels `(X, Y, Z)`, their grid, grain of the same shape and a generator, and returns real
values in float32: CT in HU (partial volume, correlated noise, a couch), MR in arbitrary units (gain, bias
field, Rician noise), PET in SUV (point spread, counting noise). Limits: no streaks, no wrap-around, no
scatter.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tools.anatomy import TISSUES, Array, Grid, waves

Labels = NDArray[np.uint8]
Scanner = Callable[[Labels, Grid, np.random.Generator], Array]


def property_of(labels: Labels, column: str) -> Array:
    """One property of the tissue of every voxel."""
    return np.array([getattr(tissue, column) for tissue in TISSUES.values()], np.float32)[labels]


def grain(shape: tuple[int, int, int], rng: np.random.Generator) -> Array:
    """Texture at four scales, 1 to 8 voxels, of about unit variance: low-resolution noise, enlarged."""
    field = np.zeros(shape, np.float32)
    for step, weight in ((1, 0.35), (2, 0.7), (4, 0.9), (8, 0.9)):
        coarse = rng.standard_normal([-(-size // step) + 1 for size in shape], dtype=np.float32)
        large = coarse if step == 1 else ndimage.zoom(coarse, step, order=1)
        field += np.float32(weight) * large[: shape[0], : shape[1], : shape[2]]
    return field


def ct(labels: Labels, grid: Grid, rng: np.random.Generator) -> Array:
    """HU: tissue numbers with up to 45 HU of grain, partial volume, noise of a random dose, a couch below."""
    hounsfield = property_of(labels, "hu") + 45 * property_of(labels, "grain") * grain(grid.shape, rng)
    couch = np.abs(grid.y + 107 - np.square(grid.x) / 800) < 2.5
    np.copyto(hounsfield, -350, where=couch & (labels == 0) & (np.abs(grid.x) < 130))
    noise = ndimage.gaussian_filter(rng.standard_normal(grid.shape, dtype=np.float32), 0.6)
    return ndimage.gaussian_filter(hounsfield, 0.45) + np.float32(rng.uniform(20, 60)) * noise


def _mr(labels: Labels, grid: Grid, rng: np.random.Generator, contrast: str) -> Array:
    """Signal of one contrast: grain, blur, a bias field of about 20 %, Rician noise, a gain of 80 to 800."""
    signal = property_of(labels, contrast) * (1 + 0.13 * property_of(labels, "grain") * grain(grid.shape, rng))
    signal = ndimage.gaussian_filter(signal, 0.45) * np.exp(0.2 * waves(grid, rng, wavelength=330, count=4))
    level = np.float32(rng.uniform(0.015, 0.04))
    real, imaginary = (level * rng.standard_normal(grid.shape, dtype=np.float32) for _ in range(2))
    return np.float32(np.exp(rng.uniform(np.log(80), np.log(800)))) * np.hypot(signal + real, imaginary)


def t1(labels: Labels, grid: Grid, rng: np.random.Generator) -> Array:
    """T1-weighted: fat and white matter bright, fluid dark."""
    return _mr(labels, grid, rng, "t1")


def t2(labels: Labels, grid: Grid, rng: np.random.Generator) -> Array:
    """T2-weighted: fluid and lesions bright, white matter dark."""
    return _mr(labels, grid, rng, "t2")


def pet(labels: Labels, grid: Grid, rng: np.random.Generator) -> Array:
    """SUV of FDG: uptake with grain, a point spread of 6 mm, noise that grows as the root of the signal."""
    uptake = property_of(labels, "suv") * (1 + 0.25 * property_of(labels, "grain") * grain(grid.shape, rng))
    blurred = ndimage.gaussian_filter(uptake * np.float32(rng.uniform(0.8, 1.25)), 0.65)
    noise = ndimage.gaussian_filter(rng.standard_normal(grid.shape, dtype=np.float32), 0.55)
    return np.clip(blurred + 0.5 * np.sqrt(np.clip(blurred, 0, None)) * noise, 0, None)

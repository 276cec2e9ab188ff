"""The volumes of a domain that a page shows: their pictures, the colors of their labels, and their intensities.

The first few volumes are shown on three planes, the others on the axial one. A volume that cannot be read is kept
with the reason in place of pictures, and the others are shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixio.errors import StoreError
from mixio.inspection.pictures import Colors, Picture, colors_of, draw
from mixio.inspection.slices import AXES, Slice, slices_of
from mixio.normalize import Window, window_of
from mixio.row import Row
from mixio.store import Store

THREE_PLANES = 2
"""Volumes that are shown from three sides."""

BINS = 48
_PLANES = ("axial", "coronal", "sagittal")


@dataclass(frozen=True, eq=False)
class Shown:
    """A volume of the sample: its planes and their pictures, or `fault`, which says why it has none."""

    row: Row
    window: Window
    slices: tuple[Slice, ...] = ()
    pictures: tuple[Picture, ...] = ()
    fault: str | None = None


@dataclass(frozen=True, eq=False)
class Gallery:
    """What is shown of a domain.

    `colors` says which color each label map and value has; `intensities` are mean shares of the axial planes' voxels
    that lie in `BINS` equal parts of the window, and before and after them below and above it; without background.
    """

    shown: tuple[Shown, ...]
    colors: Colors
    intensities: tuple[float, ...]


def gallery(store: Store, names: Sequence[str]) -> Gallery:
    """Read and draw some volumes of one domain."""
    read = [_read(store, name, _PLANES if place < THREE_PLANES else _PLANES[:1]) for place, name in enumerate(names)]
    colors = colors_of(one for volume in read for one in volume.slices)
    shares = [_shares(volume.slices[0], volume.window) for volume in read if volume.slices]
    mean = np.mean(shares, axis=0) if shares else np.zeros(BINS + 2)
    return Gallery(tuple(_drawn(volume, colors) for volume in read), colors, tuple(mean.tolist()))


def _read(store: Store, name: str, planes: tuple[str, ...]) -> Shown:
    row = store.row(name)
    window = window_of(row)
    try:
        return Shown(row, window, tuple(slices_of(store, name, planes=planes)))
    except (StoreError, OSError) as error:
        fault = str(error)
        for where in (store.path.rstrip("/"), str(Path(store.path))):  # the page says nothing of where the store is
            fault = fault.replace(f"{where}/", "")
        return Shown(row, window, fault=fault)


def _drawn(volume: Shown, colors: Colors) -> Shown:
    extent = max((mm for one in volume.slices for mm in one.size_mm), default=0.0)
    pictures = tuple(draw(one, volume.window, colors, extent_mm=extent) for one in volume.slices)
    return Shown(volume.row, volume.window, volume.slices, pictures, volume.fault)


def _shares(plane: Slice, window: Window) -> NDArray[np.float64]:
    low, high = window
    values = plane.image[~plane.empty]
    if not len(values) or not high > low:
        return np.zeros(BINS + 2)
    edges = [-np.inf, *np.linspace(low, high, BINS + 1)[:-1], np.nextafter(high, np.inf), np.inf]  # high is inside
    counts, _ = np.histogram(values, edges)
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares


def position(plane: Slice) -> str:
    """Which plane it is: `axial 12 of 40`, counted from 1."""
    assert plane.plane in AXES
    return f"{plane.plane} {plane.index + 1} of {plane.depth}"

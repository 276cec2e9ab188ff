"""Slices through the middle of the volumes of a store, windowed as a model sees them: what a domain looks like."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mixio.normalize import window_of
from mixio.store import Store, open_store

DEPTH = (0.42, 0.5, 0.5)
"""Where a volume is cut along each axis; a sagittal cut is beside the midline, between the brain's halves."""

Slices = dict[str, list[NDArray[np.float32]]]


def read_slices(path: Path) -> Slices:
    """Per domain, images `(H, W)` in [0, 1]: three planes of its first volume, the axial one of its second."""
    store = open_store(path)
    slices: Slices = {}
    for domain in store.domains:
        names = store.names(domain)[:2]
        slices[domain] = [middle_slice(store, names[0], axis) for axis in (2, 1, 0)]
        slices[domain] += [middle_slice(store, name, 2) for name in names[1:]]
    return slices


def read_held_out(path: Path) -> dict[str, int]:
    """Per domain, how many volumes the held-out losses come from."""
    store = open_store(path)
    return {domain: len(store.names(domain, "val")) for domain in store.domains}


def middle_slice(store: Store, name: str, axis: int) -> NDArray[np.float32]:
    """A slice across the middle of an axis, the next axis to the right and the last upwards, in square pixels."""
    row = store.row(name)
    low, high = window_of(row)
    plane = store.read(name).voxels.take(int(row.shape[axis] * DEPTH[axis]), axis).astype(np.float32).T  # (H, W)
    shown = np.clip((plane - low) / ((high - low) or 1), 0, 1)
    width, height = (spacing for index, spacing in enumerate(row.spacing) if index != axis)
    fine = min(height, width)
    return ndimage.zoom(shown, (height / fine, width / fine), order=1)

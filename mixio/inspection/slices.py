"""Planes through stored volumes, laid out as a radiologist reads them.

A plane is `(rows, columns)`, first row on top. The patient's Right is on the left of axial and coronal planes, and
Anterior on the left of sagittal ones; Anterior is on top of axial planes and Superior on top of the others. Only the
planes shown are read, plus, where a volume has label maps and the middle one shows none, a few planes of those.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.row import Row
from mixio.store import Store
from mixio.volume import Shape, rescale

AXES = {"sagittal": 0, "coronal": 1, "axial": 2}
SIDES = {"sagittal": ("A", "P"), "coronal": ("R", "L"), "axial": ("R", "L")}
_PROBES = 8

Box = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Slice:
    """One plane of a volume.

    `image` (rows, columns) holds real values, `empty` says where the background is; `labels` maps the names of label
    maps to their values in the plane; `box` is the foreground box there (left, top, right, bottom, the last two one
    past it) or None where the plane misses it; `size_mm` is (width, height); `sides` the letters at left and right.
    """

    plane: str
    index: int
    depth: int
    image: NDArray[np.float32]
    empty: NDArray[np.bool_]
    labels: dict[str, NDArray[Any]]
    box: Box | None
    size_mm: tuple[float, float]
    sides: tuple[str, str]

    @property
    def values(self) -> set[tuple[str, int]]:
        """The label maps and values that are in the plane."""
        return {(name, int(v)) for name, labels in self.labels.items() for v in np.unique(labels) if v != 0}


def slices_of(store: Store, name: str, *, planes: tuple[str, ...] = ("axial",)) -> list[Slice]:
    """The planes of a volume through the middle of its foreground, or through its labels.

    The axial plane is the middle one if it shows a label or if the volume has none, else of a few evenly spaced
    ones that with most of it; the other planes go through the middle of the labels there. Raises `StoreError`, or
    `DamagedChunkError`, if the volume cannot be read.
    """
    row = store.row(name)
    low, high = row.foreground_box
    center = [(a + b) // 2 for a, b in zip(low, high, strict=True)]
    if row.labels:
        center = _labelled_center(store, row, center)
    return [_slice(store, row, plane, center[AXES[plane]]) for plane in planes]


def _labelled_center(store: Store, row: Row, center: list[int]) -> list[int]:
    """A point that the planes through it show labels at, if a few looks find one."""
    low, high = row.foreground_box[0][2], row.foreground_box[1][2]
    best, most = center, 0
    spaced = [low + (2 * n + 1) * (high - low) // (2 * _PROBES) for n in range(_PROBES)]
    for z in dict.fromkeys([center[2], *spaced]):
        marked = np.zeros(row.shape[:2], bool)
        for label in sorted(row.labels):
            marked |= _plane(store, row, 2, z, label) != 0
        if (found := int(marked.sum())) > most:
            x, y = (int(np.median(places)) for places in np.nonzero(marked))
            best, most = [x, y, z], found
        if most and z == center[2]:
            break
    return best


def _slice(store: Store, row: Row, plane: str, index: int) -> Slice:
    axis = AXES[plane]
    across, up = (a for a in range(3) if a != axis)
    stored = _upright(_plane(store, row, axis, index))
    labels = {label: _whole(_upright(_plane(store, row, axis, index, label))) for label in sorted(row.labels)}
    return Slice(
        plane=plane,
        index=index,
        depth=row.shape[axis],
        image=rescale(stored, row.slope, row.inter),
        empty=stored == row.background,
        labels=labels,
        box=_box(row, axis, index),
        size_mm=(row.shape[across] * row.spacing[across], row.shape[up] * row.spacing[up]),
        sides=SIDES[plane],
    )


def _plane(store: Store, row: Row, axis: int, index: int, label: str | None = None) -> NDArray[Any]:
    """The plane at `index` along an axis, on the two other axes in their order."""
    corner, size = [0, 0, 0], list(row.shape)
    corner[axis], size[axis] = index, 1
    patch = store.read_patch(row.name, corner=_triple(corner), size=_triple(size), label=label)
    return np.squeeze(patch, axis)


def _triple(values: list[int]) -> Shape:
    x, y, z = values
    return x, y, z


def _upright(plane: NDArray[Any]) -> NDArray[Any]:
    """RAS+ axes (across, up) to rows from the top and columns from the patient's right or front."""
    return plane.T[::-1, ::-1]


def _whole(labels: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers as they are; soft labels, which are shares, as 1 from half of their largest value on."""
    is_whole = labels.dtype.kind in "iu" or np.array_equal(labels, np.round(labels))
    whole: NDArray[np.int64] = (labels if is_whole else labels >= labels.max() / 2).astype(np.int64)
    return whole


def _box(row: Row, axis: int, index: int) -> Box | None:
    low, high = row.foreground_box
    if not low[axis] <= index < high[axis]:
        return None
    across, up = (a for a in range(3) if a != axis)
    width, height = row.shape[across], row.shape[up]
    return width - high[across], height - high[up], width - low[across], height - low[up]

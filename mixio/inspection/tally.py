"""Counts of one domain, row by row, and what they come to.

Sizes and spacings differ by factors, not by differences, so their histograms have bins of equal ratio. An
intensity is placed in the window that `normalize.window_of` gives its volume: where a modality has a window of its
own (CT, PET) that is a real value, elsewhere a position between two percentiles.
"""

from array import array
from collections import Counter
from dataclasses import dataclass
from math import atan2, degrees, hypot, prod

import numpy as np
from numpy.typing import NDArray

from mixio.normalize import Window, window_of
from mixio.row import Row

BINS = 16
NAMED = 20
"""Volumes named of those that are oblique, or that had non-finite voxels."""

_OBLIQUE_DEGREES = 0.1
_SAME = 1e-3
"""Spacings that differ by less, in ratio, are one: headers hold them as float32 affines."""

_HAS_UNIT = ("CT", "PET")
_MARKS = ("5", "50", "95")


@dataclass(frozen=True)
class Spread:
    """A positive number per axis x, y, z over the volumes: median, extremes, and counts in bins of equal ratio.

    `edges` bounds the bins, the same for every axis; `counts` has one tuple for each axis.
    """

    median: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    edges: tuple[float, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Intensity:
    """The smallest and largest real value of the volumes that have this unit (None: arbitrary)."""

    unit: str | None
    volumes: int
    low: float
    high: float


@dataclass(frozen=True)
class Flagged:
    """Volumes to look at: how many, the first of them by name, and the worst value."""

    count: int
    names: tuple[str, ...]
    worst: float
    total: float


@dataclass(frozen=True)
class Domain:
    """What a domain holds.

    `raw_bytes` are those of images and label maps uncompressed, `stored_bytes` all that was written of them;
    `window` is the window in real units if all volumes share one; `marks` are the medians over the volumes of the
    foreground's 5th, 50th and 95th percentiles, as positions in the window; `oblique` is in degrees, `nonfinite` in
    voxels; `unitless` are CT and PET volumes whose unit is not known, `flat` those that
    training sees as all zeros, for their window has no width.
    """

    domain: str
    modalities: tuple[str, ...]
    volumes: int
    subjects: int
    splits: dict[str, int]
    labelled: int
    label_maps: dict[str, int]
    voxels: int
    raw_bytes: int
    stored_bytes: int
    compression_ratio: float
    spacing_mm: Spread
    shape: Spread
    intensity: tuple[Intensity, ...]
    window: Window | None
    marks: tuple[float, float, float]
    foreground_fraction: float
    dtypes: dict[str, int]
    orientations: dict[str, int]
    oblique: Flagged
    nonfinite: Flagged
    unitless: Flagged
    flat: Flagged


class Tally:
    """Adds up the rows of one domain."""

    def __init__(self, domain: str) -> None:
        self.name = domain
        self.subjects: set[str] = set()
        self._counts: dict[str, Counter[str]] = {
            what: Counter() for what in ("modality", "split", "label", "dtype", "orientation")
        }
        self._volumes = self._labelled = self._voxels = self._raw = self._stored = 0
        self._spacing, self._shape, self._marks, self._foreground = (array("d") for _ in range(4))
        self._intensity: dict[str | None, list[float]] = {}
        self._windows: set[Window] = set()
        self._oblique, self._nonfinite, self._unitless, self._flat = (_Flags() for _ in range(4))

    def add(self, row: Row) -> None:
        """Count one volume."""
        voxels = prod(row.shape)
        self._volumes += 1
        self.subjects.add(row.subject)
        self._labelled += bool(row.labels)
        self._voxels += voxels
        self._raw += voxels * sum(np.dtype(dtype).itemsize for dtype in (row.dtype, *row.labels.values()))
        self._stored += sum(blob.nbytes for blob in row.blobs)
        for what, value in (("modality", row.modality or "?"), ("split", row.split), ("dtype", row.dtype)):
            self._counts[what][value] += 1
        self._counts["orientation"][row.orientation] += 1
        self._counts["label"].update(list(row.labels))
        self._spacing.extend(row.spacing)
        self._shape.extend(row.shape)
        self._foreground.append(row.foreground_fraction)
        self._add_intensity(row)
        self._oblique.add(row.name, obliqueness(row.affine), above=_OBLIQUE_DEGREES)
        self._nonfinite.add(row.name, row.nonfinite, above=0)
        self._unitless.add(row.name, float(row.modality in _HAS_UNIT and row.unit is None), above=0)

    def _add_intensity(self, row: Row) -> None:
        low, high = row.statistics["min"], row.statistics["max"]
        reach = self._intensity.setdefault(row.unit, [0, low, high])
        reach[0] += 1
        reach[1], reach[2] = min(low, reach[1]), max(high, reach[2])
        bottom, top = window = window_of(row)
        self._flat.add(row.name, float(not top > bottom), above=0)
        if len(self._windows) < 2:
            self._windows.add(window)
        percentiles = row.statistics["percentiles"]
        width = top - bottom if top > bottom else 1.0
        self._marks.extend(min(1.0, max(0.0, (percentiles[mark] - bottom) / width)) for mark in _MARKS)

    def domain(self) -> Domain:
        """What the rows so far come to; there must be one."""
        marks = np.median(np.asarray(self._marks).reshape(-1, len(_MARKS)), axis=0)
        return Domain(
            domain=self.name,
            modalities=tuple(sorted(self._counts["modality"])),
            volumes=self._volumes,
            subjects=len(self.subjects),
            splits={split: self._counts["split"][split] for split in ("train", "val", "test")},
            labelled=self._labelled,
            label_maps=_ordered(self._counts["label"]),
            voxels=self._voxels,
            raw_bytes=self._raw,
            stored_bytes=self._stored,
            compression_ratio=self._raw / self._stored if self._stored else 0.0,
            spacing_mm=spread(np.asarray(self._spacing).reshape(-1, 3)),
            shape=spread(np.asarray(self._shape).reshape(-1, 3)),
            intensity=self._intensities(),
            window=next(iter(self._windows)) if len(self._windows) == 1 else None,
            marks=(float(marks[0]), float(marks[1]), float(marks[2])),
            foreground_fraction=float(np.median(np.asarray(self._foreground))),
            dtypes=_ordered(self._counts["dtype"]),
            orientations=_ordered(self._counts["orientation"]),
            oblique=self._oblique.flagged(),
            nonfinite=self._nonfinite.flagged(),
            unitless=self._unitless.flagged(),
            flat=self._flat.flagged(),
        )

    def _intensities(self) -> tuple[Intensity, ...]:
        found = (Intensity(unit, int(n), low, high) for unit, (n, low, high) in self._intensity.items())
        return tuple(sorted(found, key=lambda one: (-one.volumes, one.unit or "")))


class _Flags:
    def __init__(self) -> None:
        self._count, self._worst, self._total = 0, 0.0, 0.0
        self._names: list[str] = []

    def add(self, name: str, value: float, *, above: float) -> None:
        if value <= above:
            return
        self._count += 1
        self._worst = max(self._worst, value)
        self._total += value
        if len(self._names) < NAMED:
            self._names.append(name)

    def flagged(self) -> Flagged:
        return Flagged(self._count, tuple(self._names), self._worst, self._total)


def _ordered(counts: Counter[str]) -> dict[str, int]:
    """The most frequent first, ties by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def obliqueness(affine: tuple[tuple[float, ...], ...]) -> float:
    """The largest angle in degrees between a voxel axis and its world axis, of an affine (4, 4) that is near RAS+."""
    (xx, xy, xz, _), (yx, yy, yz, _), (zx, zy, zz, _) = affine[:3]
    return degrees(max(atan2(hypot(yx, zx), xx), atan2(hypot(xy, zy), yy), atan2(hypot(xz, yz), zz)))


def spread(values: NDArray[np.float64]) -> Spread:
    """The spread of positive values (N, 3)."""
    low, high = float(values.min()), float(values.max())
    if high > low * (1 + _SAME):
        edges = np.geomspace(low, high, BINS + 1)
        edges[0], edges[-1] = low, high  # rounding must leave no value out
    else:
        edges = np.array([low / 2**0.5, high * 2**0.5])
    counts = (np.histogram(values[:, axis], edges)[0] for axis in range(3))
    return Spread(
        median=tuple(np.median(values, axis=0).tolist()),
        low=tuple(values.min(axis=0).tolist()),
        high=tuple(values.max(axis=0).tolist()),
        edges=tuple(edges.tolist()),
        counts=tuple(tuple(int(n) for n in count) for count in counts),
    )

"""What a volume holds: statistics of all voxels, percentiles of the foreground, and where the foreground is.

Integers of up to 16 bits are counted once into a histogram, from which every number follows exactly. Other types
are summed over slabs, and their percentiles come from about a million evenly spaced voxels. No float copy of a
volume is made, and every number is the same however the voxels lie in memory.
"""

from dataclasses import dataclass
from math import frexp, gcd, sqrt
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mixio.foreground import Band, Number, band_of, find, real_value
from mixio.memory import SLAB_BYTES, layout_of, slabs
from mixio.volume import Shape, Volume, rescale

PERCENTILES = (0.5, 5.0, 50.0, 95.0, 99.5)
_BRIGHT = 99.5
_SAMPLES = 1_000_000
_FEW = 100_000
_HALF, _LOW = np.uint64(32), np.uint64(2**32 - 1)


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


class Values(Protocol):
    """What is known of the values of a volume after a first pass over it."""

    extremes: tuple[Number, Number]
    """Smallest and largest stored value."""
    mean: float
    std: float

    def bright(self) -> float:
        """The 99.5th percentile of all voxels, in real units."""

    def percentiles(self, band: Band, count: int) -> list[float]:
        """`PERCENTILES` of the `count` voxels outside the band, of all if there is none, in real units."""


def describe(volume: Volume, background: float, modality: str | None) -> Content:
    """Statistics and foreground of a volume; `foreground.py` says what foreground is. Voxels must be finite."""
    dtype = volume.voxels.dtype
    values: Values = Histogram(volume) if dtype.kind in "iu" and dtype.itemsize <= 2 else Sample(volume)
    band = band_of(volume, background, values.extremes, high=values.bright, modality=modality)
    found = find(volume.voxels, band)
    ends = sorted(real_value(end, volume) for end in values.extremes)
    percentiles = values.percentiles(band, found.count)
    statistics = {
        "min": ends[0],
        "max": ends[1],
        "mean": values.mean,
        "std": values.std,
        "percentiles": {f"{p:g}": v for p, v in zip(PERCENTILES, percentiles, strict=True)},
    }
    return Content(statistics, found.count / volume.voxels.size, found.box, found.occupancy)


class Histogram:
    """How often each value of an integer type of 8 or 16 bits occurs; nothing is estimated."""

    def __init__(self, volume: Volume) -> None:
        counts = _counted(volume.voxels)
        info = np.iinfo(volume.voxels.dtype)
        present = np.flatnonzero(counts)
        self._stored = present + int(info.min)
        self._counts = counts[present]
        self._real = _real(self._stored, volume)
        self.extremes: tuple[Number, Number] = int(self._stored[0]), int(self._stored[-1])
        total = int(self._counts.sum())
        self.mean = float(self._real @ self._counts) / total
        self.std = sqrt(float((self._real - self.mean) ** 2 @ self._counts) / total)

    def bright(self) -> float:
        """See `Values`."""
        return self._quantiles(np.ones(self._stored.size, bool), (_BRIGHT,))[0]

    def percentiles(self, band: Band, count: int) -> list[float]:
        """See `Values`."""
        return self._quantiles(band.outside(self._stored) | (count == 0), PERCENTILES)

    def _quantiles(self, kept: NDArray[np.bool_], percents: tuple[float, ...]) -> list[float]:
        """As `numpy.percentile` of the repeated values would give."""
        order = np.argsort(self._real[kept], kind="stable")
        values, ends = self._real[kept][order], np.cumsum(self._counts[kept][order])
        places = np.array(percents) / 100 * (ends[-1] - 1)
        below, above = (values[np.searchsorted(ends, edge(places), side="right")] for edge in (np.floor, np.ceil))
        result: list[float] = (below + (above - below) * (places % 1)).tolist()
        return result


def _counted(voxels: NDArray[Any]) -> NDArray[np.int64]:
    """Occurrences of each value of an integer type, from its least to its greatest."""
    unsigned = f"u{voxels.dtype.itemsize}"
    bins = 2 ** (8 * voxels.dtype.itemsize)
    counts = np.zeros(bins, np.int64)
    memory = layout_of(voxels).ordered(voxels)
    native = memory.dtype.newbyteorder("=")
    for slab in slabs(memory):
        block = memory[slab].ravel().astype(native, copy=False)
        counts += np.bincount(block.view(unsigned).astype(np.intp), minlength=bins)
    return np.roll(counts, bins // 2) if voxels.dtype.kind == "i" else counts


class Sample:
    """Exact extremes, mean and deviation to nine digits of the range, percentiles of evenly spaced voxels."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._memory = layout_of(volume.voxels).ordered(volume.voxels)
        ends = [(self._memory[slab].min().item(), self._memory[slab].max().item()) for slab in slabs(self._memory)]
        self.extremes: tuple[Number, Number] = min(low for low, _ in ends), max(high for _, high in ends)
        self.mean, self.std = self._moments()
        size, shape = volume.voxels.size, volume.shape
        self._chosen = volume.voxels[np.unravel_index(np.arange(0, size, _stride(size, shape)), shape)]

    def _moments(self) -> tuple[float, float]:
        """Mean and standard deviation, by sums of whole numbers of steps of 2^-31 of the range.

        Sums of integers are exact: they do not depend on the order of the voxels, and nothing cancels.
        """
        low, high = sorted(real_value(end, self._volume) for end in self.extremes)
        step = 2.0 ** (frexp(high - low)[1] - 31)
        first, second, size = 0, 0, self._memory.size
        for slab in slabs(self._memory, nbytes=SLAB_BYTES // 4):
            steps = np.rint((_real(self._memory[slab], self._volume) - low) / step).astype(np.uint64)
            first += int(steps.sum())
            steps *= steps
            second += (int((steps >> _HALF).sum()) << 32) + int((steps & _LOW).sum())
        return low + first / size * step, sqrt((second * size - first**2) / size**2) * step

    def bright(self) -> float:
        """See `Values`."""
        return float(np.percentile(_real(self._chosen, self._volume), _BRIGHT))

    def percentiles(self, band: Band, count: int) -> list[float]:
        """See `Values`. Where few of the evenly spaced voxels are foreground, all of the foreground is taken."""
        inside = self._chosen[band.outside(self._chosen)] if count else self._chosen
        if inside.size < _FEW and inside.size < count:
            blocks = (self._memory[slab] for slab in slabs(self._memory))
            inside = np.concatenate([block[band.outside(block)] for block in blocks])
        result: list[float] = np.percentile(_real(inside, self._volume), PERCENTILES).tolist()
        return result


def _real(stored: NDArray[Any], volume: Volume) -> NDArray[np.float64]:
    """Real values as readers of the store get them, in float64."""
    real = rescale(stored, volume.slope, volume.inter) if volume.is_scaled else stored
    return real.astype(np.float64)


def _stride(size: int, shape: tuple[int, ...]) -> int:
    """Leaves about a million values: percentiles to three digits at a fraction of the time.

    Without a factor in common with any axis, else whole planes would never be seen.
    """
    stride = max(1, size // _SAMPLES)
    while any(gcd(stride, n) > 1 for n in shape):
        stride += 1
    return stride

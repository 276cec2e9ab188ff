"""Which voxels are foreground, where they lie, and how many are in each cell of 8 x 8 x 8.

The rule is on real values: in CT what is denser than -500 HU, elsewhere what differs from the background by more
than 8 % of the range between it and the 99.5th percentile. As rescaling is monotone, what is background is one
band of stored values, so the rule is moved there once and the voxels are compared in their own type: no float
copy, and exactly the answer of the rule for every slope, sign and width of integer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.memory import Layout, layout_of
from mixio.volume import Shape, Volume

CELL = 8
"""Edge in voxels of the cells in which foreground is counted."""

_AIR_HU = -500.0
_TISSUE_SHARE_OF_RANGE = 0.08

Number = int | float


@dataclass(frozen=True)
class Band:
    """The stored values from `low` to `high`, both included, that are background; None leaves a side open."""

    low: Number | None
    high: Number | None

    def outside(self, stored: NDArray[Any]) -> NDArray[np.bool_]:
        """Which values are foreground."""
        mask = np.zeros(stored.shape, bool)
        if self.high is not None:
            np.greater(stored, self.high, out=mask)
        if self.low is not None:
            mask |= np.less(stored, self.low)
        return mask


@dataclass(frozen=True)
class Found:
    """How many voxels are foreground, their box (first and one-past-last), and their share per cell, 0 to 255."""

    count: int
    box: tuple[Shape, Shape]
    occupancy: NDArray[np.uint8]


def real_value(stored: Number, volume: Volume) -> float:
    """What `volume.real()` makes of one stored number."""
    if not volume.is_scaled:
        return float(stored)
    return float(np.float32(float(stored) * volume.slope + volume.inter))


def band_of(
    volume: Volume,
    background: Number,
    extremes: tuple[Number, Number],
    *,
    high: Callable[[], float],
    modality: str | None,
) -> Band:
    """The background of a volume with these smallest and largest stored values.

    `high` gives the 99.5th percentile of the real values, and is asked for only where the rule needs it.
    """
    bottom, top = extremes if volume.slope >= 0 else extremes[::-1]
    if modality == "CT" and real_value(bottom, volume) < _AIR_HU < real_value(top, volume):
        start = bottom

        def is_background(stored: Number) -> bool:
            return real_value(stored, volume) <= _AIR_HU
    else:
        start, empty = background, real_value(background, volume)
        allowed = _TISSUE_SHARE_OF_RANGE * abs(high() - empty)

        def is_background(stored: Number) -> bool:
            return abs(real_value(stored, volume) - empty) <= allowed

    dtype = volume.voxels.dtype
    least, greatest = extremes
    low, up = (_last(start, end, is_background, dtype) for end in (min(least, start), max(greatest, start)))
    return Band(None if low <= least else low, None if up >= greatest else up)


def _last(start: Number, end: Number, holds: Callable[[Number], bool], dtype: np.dtype[Any]) -> Number:
    """The last value from `start` towards `end` for which `holds` is true, by bisection; it is true at the start."""
    if holds(end):
        return end
    near, far = _key(start, dtype), _key(end, dtype)
    while abs(far - near) > 1:
        middle = (near + far) // 2
        if holds(_value(middle, dtype)):
            near = middle
        else:
            far = middle
    return _value(near, dtype)


def _key(value: Number, dtype: np.dtype[Any]) -> int:
    """An integer that orders as the values of the type do, without gaps: the bits of a float, sign and magnitude."""
    if dtype.kind != "f":
        return int(value)
    bits = int(np.array(value, dtype).view(f"u{dtype.itemsize}"))
    sign = 1 << (8 * dtype.itemsize - 1)
    return bits if bits < sign else sign - bits


def _value(key: int, dtype: np.dtype[Any]) -> Number:
    if dtype.kind != "f":
        return key
    sign = 1 << (8 * dtype.itemsize - 1)
    bits = key if key >= 0 else sign - key
    return float(np.array(bits, f"u{dtype.itemsize}").view(dtype))


def find(voxels: NDArray[Any], band: Band) -> Found:
    """Count and place the voxels outside the band, a layer of cells at a time in memory order."""
    layout = layout_of(voxels)
    memory = layout.ordered(voxels)
    # Cells are counted from the first voxel of each axis, which lies at the end of an axis that runs backwards.
    before = [-n % CELL if flipped else 0 for n, flipped in zip(memory.shape, layout.flipped, strict=True)]
    padded = [-(-n // CELL) * CELL for n in memory.shape]
    mask = np.zeros((CELL, *padded[1:]), bool)
    inner = tuple(slice(b, b + n) for b, n in zip(before[1:], memory.shape[1:], strict=True))
    counts = np.empty([n // CELL for n in padded], np.int32)
    hits = [np.zeros(n, bool) for n in padded]
    for layer in range(counts.shape[0]):
        first = layer * CELL - before[0]
        planes = range(max(first, 0), min(first + CELL, memory.shape[0]))
        if len(planes) < CELL:
            mask[...] = False
        kept = slice(planes.start - first, planes.stop - first)
        mask[(kept, *inner)] = band.outside(memory[planes.start : planes.stop])
        counts[layer] = _count(mask, hits, layer)
    cells = layout.restored(counts)
    spans = [_span(hit[b : b + n]) for hit, b, n in zip(hits, before, memory.shape, strict=True)]
    box = _box(spans, layout, memory.shape)
    return Found(int(cells.sum()), box, _shares(cells, voxels.shape))


def _count(mask: NDArray[np.bool_], hits: list[NDArray[np.bool_]], layer: int) -> NDArray[np.int32]:
    """Foreground per cell of one layer `(8, Y, Z)`; marks in `hits` where along each axis there was any.

    Eight booleans are one 64-bit word, and adding words adds eight columns at once: no byte exceeds 64.
    """
    words = mask.view(np.uint64)
    hits[0][layer * CELL : (layer + 1) * CELL] = words.any(axis=(1, 2))
    columns = words.sum(axis=0)  # (8, Y, Z/8) -> (Y, Z/8)
    hits[1] |= columns.any(axis=1)
    hits[2] |= np.bitwise_or.reduce(columns, axis=0).view(np.uint8) > 0
    rows = columns.reshape(-1, CELL, columns.shape[1]).sum(axis=1)  # (Y, Z/8) -> (Y/8, Z/8)
    cells: NDArray[np.int32] = rows.view(np.uint8).reshape(*rows.shape, CELL).sum(axis=-1, dtype=np.int32)
    return cells


def _span(hit: NDArray[np.bool_]) -> tuple[int, int]:
    """From the first place with foreground to one past the last; all of the axis where there is none."""
    places = np.flatnonzero(hit)
    return (int(places[0]), int(places[-1]) + 1) if places.size else (0, hit.size)


def _box(spans: list[tuple[int, int]], layout: Layout, shape: tuple[int, ...]) -> tuple[Shape, Shape]:
    """Spans along the axes of memory as first and one-past-last voxel along those of the array."""
    low, high = [0, 0, 0], [0, 0, 0]
    for (first, end), axis, flipped, n in zip(spans, layout.axes, layout.flipped, shape, strict=True):
        low[axis], high[axis] = (n - end, n - first) if flipped else (first, end)
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


def _shares(counts: NDArray[np.int32], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Share of foreground per cell, 0 to 255, rounded up; cells cut by the border count their real voxels only."""
    x, y, z = (np.minimum(CELL, n - np.arange(0, n, CELL)).astype(np.float32) for n in shape)
    sizes = x[:, None, None] * y[:, None] * z
    shares: NDArray[np.uint8] = np.ceil(counts.astype(np.float32) / sizes * 255).astype(np.uint8)
    return np.ascontiguousarray(shares)

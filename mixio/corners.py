"""Where in a volume a patch begins: anywhere, at places a few voxels apart, or where there is foreground.

Pure functions of a 64-bit stream, `key_of(seed, "corner", domain, n)`, and of what the manifest and the occupancy
grid say of the volume; no voxel is read. Foreground is estimated: the share of a patch is the mean over the cells
of the grid (0 to 255 for each 8^3 voxels, `Store.occupancy`) that it touches, good to a cell at the patch's rim.
"""

import operator
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixio.draws import GOLDEN, mix64
from mixio.errors import InvalidArgument, as_float
from mixio.foreground import CELL
from mixio.volume import Shape

if TYPE_CHECKING:  # the manifest brings pyarrow
    from mixio.row import Row

CANDIDATES = 16
"""Corners tried for enough foreground before all places are looked at."""
KEPT = 128
"""Volumes of which is remembered where their foreground is."""

Align = int | Sequence[int] | Literal["chunk"] | None


class Lattice(NamedTuple):
    """The corners that a patch of `size` may have in a volume of `shape`: multiples of `step`, and the last of all.

    The last, `shape - size`, is a corner whether it is a multiple or not, so that no voxel is out of reach as long as
    a step is no longer than the patch. An axis shorter than the patch has one place, at which the volume is centered:
    a negative corner.
    """

    shape: Shape
    size: Shape
    step: Shape = (1, 1, 1)

    @property
    def counts(self) -> Shape:
        """Places along x, y, z."""
        (x, y, z), (p, q, r), (s, t, u) = self
        return _places(x, p, s), _places(y, q, t), _places(z, r, u)

    def corner(self, place: Sequence[int]) -> Shape:
        """The voxel at which the patch at this place begins."""
        (i, j, k), (x, y, z), (p, q, r), (s, t, u) = place, *self
        return _begin(i, x, p, s), _begin(j, y, q, t), _begin(k, z, r, u)

    def cells(self, corner: Sequence[int]) -> tuple[slice, slice, slice]:
        """The cells of the occupancy grid that the patch at this corner touches."""
        x, y, z = (
            slice(max(first, 0) // CELL, -(-min(first + p, n) // CELL))
            for first, p, n in zip(corner, self.size, self.shape, strict=True)
        )
        return x, y, z

    def coarse(self) -> "Lattice":
        """The places of this lattice that are about a cell apart, where it has more."""
        x, y, z = (s * max(1, CELL // s) for s in self.step)
        return Lattice(self.shape, self.size, (x, y, z))


class Foreground:
    """Which corners of a lattice have at least `share` of foreground in their patch, by the occupancy grid."""

    def __init__(self, occupancy: NDArray[np.uint8], lattice: Lattice, share: float) -> None:
        self.share = share
        self._occupancy, self._coarse = occupancy, lattice.coarse()
        self._best: tuple[float, NDArray[np.int64]] | None = None

    def share_at(self, corner: Shape) -> float:
        """Foreground of the patch at this corner."""
        return float(self._occupancy[self._coarse.cells(corner)].mean()) / 255

    def choose(self, stream: int) -> tuple[float, Shape]:
        """One of the places about a cell apart that have the share, all equally likely; else of the best.

        Returns what they have at least, and the corner.
        """
        if self._best is None:  # two threads may both work it out, and come to the same
            shares = self._shares()
            least = min(self.share, float(shares.max()))
            self._best = least, np.flatnonzero(shares >= least)
        least, places = self._best
        place = np.unravel_index(places[_below(stream, len(places))], self._coarse.counts)
        return least, self._coarse.corner([int(i) for i in place])

    def _shares(self) -> NDArray[np.float64]:
        """Foreground of the patch at each place of the coarse lattice, by running sums along each axis."""
        sums = np.pad(self._occupancy, ((1, 0),) * 3).astype(np.int64)
        cells: Any = 1
        for axis, count in enumerate(self._coarse.counts):
            spans = [self._coarse.cells(self._coarse.corner([i] * 3))[axis] for i in range(count)]
            first, stop = (np.array(ends) for ends in zip(*((one.start, one.stop) for one in spans), strict=True))
            sums = sums.cumsum(axis)
            sums = sums.take(stop, axis) - sums.take(first, axis)
            cells = np.multiply.outer(cells, stop - first)
        shares: NDArray[np.float64] = sums / (255 * cells)
        return shares


class CornerRule:
    """How a data set chooses corners: for patches of `size`, aligned, with a share of foreground; or just anywhere.

    `align` is a number of voxels, three of them, or "chunk" for the edges of each volume's own chunks, where a step
    longer than the patch counts as the patch's edge. Remembers the foreground of `KEPT` volumes.
    """

    def __init__(self, size: Shape, align: Align = None, foreground: float = 0.0) -> None:
        if not 0 <= as_float(foreground) <= 1:
            raise InvalidArgument(f"foreground must be a share between 0 and 1, got {foreground!r}")
        self.size = size
        self.align = _align(align, size)
        self.foreground = float(foreground)
        self._kept: OrderedDict[str, Foreground] = OrderedDict()

    def corner(self, stream: int, row: "Row", occupancy: Callable[[str], NDArray[np.uint8]]) -> Shape:
        """The corner of the draw with this stream in a volume; `occupancy` is asked only where foreground is wanted."""
        lattice = Lattice(row.shape, self.size, self._step(row.chunk))
        if not self.foreground:
            return corner_of(stream, lattice)
        found = self._kept.get(row.name)
        if found is None:
            found = self._kept[row.name] = Foreground(occupancy(row.name), lattice, self.foreground)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return corner_of(stream, lattice, found)

    @property
    def recorded(self) -> list[int] | str | None:
        """The alignment in the terms of JSON; None where a patch may begin at every voxel."""
        if isinstance(self.align, str):
            return self.align
        return None if self.align == (1, 1, 1) else list(self.align)

    def _step(self, chunk: Shape) -> Shape:
        if self.align != "chunk":
            return self.align
        x, y, z = (min(c, p) for c, p in zip(chunk, self.size, strict=True))
        return x, y, z

    def __reduce__(self) -> tuple[type["CornerRule"], tuple[Any, ...]]:
        return CornerRule, (self.size, self.align, self.foreground)


def corner_of(stream: int, lattice: Lattice, foreground: Foreground | None = None) -> Shape:
    """The voxel at which a patch begins; all corners of the lattice are equally likely.

    With `foreground` the first of 16 such corners is taken whose patch has the share. If none has, one of the places
    a cell apart that have it, all equally likely; if there is none, the best that was seen.
    """
    first = _candidate(stream, 0, lattice)
    if foreground is None:
        return first
    best, best_share = first, -1.0
    for number in range(CANDIDATES):
        corner = _candidate(stream, number, lattice)
        share = foreground.share_at(corner)
        if share > best_share:
            best, best_share = corner, share
        if share >= foreground.share:
            return corner
    least, corner = foreground.choose(stream + 3 * CANDIDATES * GOLDEN)
    return corner if least > best_share else best


def _candidate(stream: int, number: int, lattice: Lattice) -> Shape:
    x, y, z = lattice.counts
    stream += 3 * number * GOLDEN
    return lattice.corner((_below(stream, x), _below(stream + GOLDEN, y), _below(stream + 2 * GOLDEN, z)))


def _places(edge: int, patch: int, step: int) -> int:
    """Places of a patch along an axis."""
    return -(-max(edge - patch, 0) // step) + 1


def _begin(place: int, edge: int, patch: int, step: int) -> int:
    """The voxel at which the patch at this place begins along an axis."""
    return min(place * step, edge - patch) if edge >= patch else -((patch - edge) // 2)


def _below(stream: int, count: int) -> int:
    # The high bits of hash * count are uniform on [0, count) to 1 part in 2^64 / count.
    return (mix64(stream) * count) >> 64


def _align(align: Align, size: Shape) -> Shape | Literal["chunk"]:
    if isinstance(align, str) and align == "chunk":
        return "chunk"
    given = 1 if align is None else align
    try:
        x, y, z = (operator.index(a) for a in (given if isinstance(given, Sequence) else (given,) * 3))
    except (TypeError, ValueError):
        x = y = z = 0
    if not all(1 <= a <= s for a, s in zip((x, y, z), size, strict=True)):
        raise InvalidArgument(
            f'align must be "chunk", or one or three numbers of voxels from 1 to the edge of the patch {size}, '
            f"got {align!r}; longer steps would leave out voxels"
        )
    return x, y, z

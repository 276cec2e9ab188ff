"""The patches that draws name, read from a store and made ready for a model; replaced where bytes are damaged.

A draw whose patch cannot be read, because a chunk fails its checksum or a file is gone, may be replaced by the next
volume in that pass's order over its domain, at a corner of the same stream. That depends on the seed, the domain, n
and the stored bytes only, so the mixture stays exact and every process reads the same. What is no damage, such as a
server that does not answer, is raised.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mixio.corners import CornerRule
from mixio.damaged import DamagedVolumes
from mixio.draws import NO_FLIP, Draw, Flip, key_of
from mixio.errors import DamagedChunkError, InvalidArgument, TooManyFaults, as_float, expect, listed
from mixio.normalize import Linear, Window, linear_of, window_of
from mixio.patches import empty
from mixio.pools import Pools
from mixio.sources import MODALITIES
from mixio.volume import Shape

if TYPE_CHECKING:  # the manifest brings pyarrow
    from mixio.row import Row


Place = Callable[[Sequence[tuple[str, Shape]]], Sequence[NDArray[Any]]]


class PatchStore(Protocol):
    """What `mixio.open_store` returns, as far as it is used here; picklable and fork-safe."""

    @property
    def domains(self) -> tuple[str, ...]: ...
    def volumes(self, domain: str | None = None, split: str | None = None) -> Sequence[str]: ...
    def row(self, name: str) -> "Row": ...
    def shapes(self, names: Sequence[str]) -> NDArray[np.int64]: ...
    def occupancy(self, name: str) -> NDArray[np.uint8]: ...
    def read_patches(
        self,
        requests: Sequence[tuple[str, Shape]],
        *,
        size: Shape,
        out: Sequence[NDArray[Any]] | None = None,
        linear: Sequence[Linear] | None = None,
    ) -> list[NDArray[Any]]: ...


class Crop(NamedTuple):
    """A draw as it was read: a patch of the volume of `row` that begins at `corner`.

    `voxels` (X, Y, Z) are float32 in [0, 1], or stored numbers, which `linear`, a scale and an offset, takes there
    before the clip. They are in the opposite order along the axes of `flip`. `fault` names the damaged volume that is
    replaced by this one, or is "".
    """

    row: "Row"
    corner: Shape
    linear: Linear
    voxels: NDArray[Any]
    flip: Flip = NO_FLIP
    fault: str = ""

    @property
    def valid(self) -> tuple[list[int], list[int]]:
        """The first and one past the last voxel of the patch that lie in the volume."""
        first, last = [], []
        for p, s, c, flipped in zip(self.voxels.shape, self.row.shape, self.corner, self.flip, strict=True):
            low, high = max(0, -c), min(p, s - c)
            first.append(p - high if flipped else low)
            last.append(p - low if flipped else high)
        return first, last


@dataclass(frozen=True)
class Crops:
    """Reads draws of a store's volumes at the corners that `rule` gives.

    `windows` maps a domain or a modality to the real values that become 0 and 1, in place of `window_of`. Where
    `faults` is given, what is damaged is noted there and replaced.
    """

    store: PatchStore
    pools: Pools
    rule: CornerRule
    windows: Mapping[str, Window]
    faults: DamagedVolumes | None = None

    def placed(self, draw: Draw) -> Draw:
        """The draw with its corner."""
        stream = key_of(self.pools.seed, "corner", draw.domain, draw.n)
        return draw._replace(corner=self.rule.corner(stream, self.store.row(draw.volume), self.store.occupancy))

    def read(
        self, draws: Sequence[Draw], *, out: Sequence[NDArray[np.float32]] | None = None, place: Place | None = None
    ) -> list[Crop]:
        """The patches of these draws, read together; in float32 in the arrays of `out`, else as they are stored.

        Stored numbers go into the arrays that `place` makes of (dtype, shape) pairs, or into others where that is None
        or damage is met. Flips cost next to nothing: the voxels are written in the other order.
        """
        try:
            return self._read([self.placed(draw) for draw in draws], out, place)
        except DamagedChunkError:
            if self.faults is None:
                raise
            faults = self.faults
        return [self._replaced(draw, None if out is None else out[i], faults) for i, draw in enumerate(draws)]

    def _read(
        self, draws: Sequence[Draw], out: Sequence[NDArray[np.float32]] | None, place: Place | None = None
    ) -> list[Crop]:
        rows = [self.store.row(draw.volume) for draw in draws]
        linear = [self._linear(row) for row in rows]
        corners = [draw.corner or (0, 0, 0) for draw in draws]
        requests = [(row.name, corner) for row, corner in zip(rows, corners, strict=True)]
        size = self.rule.size
        targets = (place or _arrays)([(row.dtype, size) for row in rows]) if out is None else out
        turned = [_flipped(target, draw.flip) for target, draw in zip(targets, draws, strict=True)]
        self.store.read_patches(requests, size=size, out=turned, linear=None if out is None else linear)
        flips = [draw.flip for draw in draws]
        return [Crop(*parts) for parts in zip(rows, corners, linear, targets, flips, strict=True)]

    def _replaced(self, draw: Draw, out: NDArray[np.float32] | None, faults: DamagedVolumes) -> Crop:
        """The patch of a draw, or of the first volume later in its pass whose patch can be read."""
        volumes, fault = len(self.pools.members[draw.domain]), ""
        for later in range(volumes):
            volume = self.pools.volume(draw.domain, draw.n, later=later)
            try:
                (crop,) = self._read([self.placed(draw._replace(volume=volume))], None if out is None else [out])
            except DamagedChunkError as error:
                faults.add(volume, error)
                fault = fault or volume
            else:
                return crop._replace(fault=fault)
        raise TooManyFaults(
            f"draw {draw.g} finds no undamaged patch in the {volumes} volumes of {draw.domain!r}; "
            "run `mixio verify`, then convert them again"
        )

    def _linear(self, row: "Row") -> Linear:
        window = self.windows.get(row.domain) or self.windows.get(row.modality or "") or window_of(row)
        return linear_of(row, window)


def _arrays(kinds: Sequence[tuple[str, Shape]]) -> Sequence[NDArray[Any]]:
    return [empty(shape, dtype) for dtype, shape in kinds]


def _flipped(patch: NDArray[Any], flip: Flip) -> NDArray[Any]:
    """A view (X, Y, Z) of the same memory in the opposite order along the axes of `flip`."""
    return patch[tuple(slice(None, None, -1 if flipped else None) for flipped in flip)]


def checked_windows(windows: Mapping[str, Window], domains: Sequence[str]) -> dict[str, Window]:
    """Windows by domain or modality, as floats; `InvalidArgument` for a name or a window that cannot be."""
    way_out = "{'CT': (low, high)} has the real values that become 0 and 1"
    expect(windows, Mapping, "windows is a dictionary by domain or modality", way_out)
    for name, window in windows.items():
        if name not in domains and name not in MODALITIES:
            known = listed([*domains, *MODALITIES])
            raise InvalidArgument(f"windows names {name!r}, which is none of {known}; a misspelled domain?")
        try:
            low, high = map(as_float, window)
        except (TypeError, ValueError):
            low = high = math.nan
        if not -math.inf < low < high < math.inf:
            raise InvalidArgument(f"the window of {name!r} must have low < high, both finite numbers, got {window!r}")
    return {name: (float(low), float(high)) for name, (low, high) in windows.items()}

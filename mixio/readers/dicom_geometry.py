"""Slices to a stack: ordered by where they lie, never by name or number, and refused if they are not one regular grid.

The way from slice to slice is measured along the normal, the cross product of the direction cosines (PS3.3
C.7.6.2.1.1). Tolerances: positions are often written with two decimals, so a gap may be off by 0.01 mm, or by 1 % of
the usual gap if that is more; a missing slice is off by 100 %. (One missing at
either end leaves no gap and cannot be seen.) Along the whole stack a slice may be five times that
from its place on the grid. A stack that leans from its normal by more than 0.1 degrees is that of a tilted gantry:
its voxels are no boxes, and what reads axes as perpendicular would shear the patient. Several images at each place
are frames, put in order by the first of `ORDERS` that tells them apart everywhere.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mixio.errors import SourceError
from mixio.readers.affines import lps_to_ras
from mixio.readers.dicom_image import ORDERS, Slice

_SAME_PLACE = 0.01  # mm
_LEAST_GAP_ERROR, _GAP_ERROR, _DRIFT = 0.01, 0.01, 5.0  # mm, share of the gap, times that
_MOST_TILT = np.radians(0.1)
_COSINES, _SPACING = 1e-4, 1e-4


@dataclass(frozen=True)
class Stack:
    """Slices `frames[t][z]` in order, on one grid with the RAS+ `affine` (4, 4) of voxels (column, row, slice)."""

    frames: tuple[tuple[Slice, ...], ...]
    affine: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Columns, rows, slices."""
        return (*self.frames[0][0].size, len(self.frames[0]))


def stack_of(slices: list[Slice]) -> Stack:
    """The stack of `slices`; raises `SourceError` that says what is irregular, without the name of the source."""
    first = slices[0]
    _refuse_mixed(slices)
    along, down = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    if abs(np.linalg.norm(along) - 1) > 1e-3 or abs(np.linalg.norm(down) - 1) > 1e-3 or abs(along @ down) > 1e-3:
        raise SourceError("ImageOrientationPatient is not two perpendicular unit vectors; repair the header")
    if min(first.spacing) <= 0:
        raise SourceError("PixelSpacing is not above 0; repair the header")
    normal = np.cross(along, down)
    places = _places(slices, normal)
    if len(places) < 2:
        raise SourceError("one slice is no volume, expected at least 2 positions; give the folder of the whole series")
    step = _step(places, normal / np.linalg.norm(normal))
    affine = np.eye(4)
    affine[:3, 0] = along * first.spacing[0]
    affine[:3, 1] = down * first.spacing[1]
    affine[:3, 2] = step
    affine[:3, 3] = places[0][0].position
    return Stack(_in_time(places), lps_to_ras(affine))


def _refuse_mixed(slices: list[Slice]) -> None:
    first = slices[0]
    sizes = {item.size for item in slices}
    if len(sizes) > 1:
        raise SourceError(f"Rows and Columns are mixed ({len(sizes)} sizes); split the series first")
    for name, tolerance in (("orientation", _COSINES), ("spacing", _SPACING * min(first.spacing))):
        values = np.array([getattr(item, name) for item in slices])
        if np.abs(values - values[0]).max() > tolerance:
            keyword = {"orientation": "ImageOrientationPatient", "spacing": "PixelSpacing"}[name]
            raise SourceError(f"{keyword} is mixed, so the slices are not one stack; split the series first")


def _places(slices: list[Slice], normal: NDArray[np.float64]) -> list[list[Slice]]:
    """The slices of each place, from one end of the stack to the other."""
    heights = np.array([item.position for item in slices]) @ normal
    order = np.argsort(heights, kind="stable").tolist()
    places = [[slices[order[0]]]]
    for before, here in pairwise(order):
        if heights[here] - heights[before] > _SAME_PLACE:
            places.append([])
        places[-1].append(slices[here])
    counts = {len(place) for place in places}
    if len(counts) > 1:
        raise SourceError(
            f"{min(counts)} to {max(counts)} images lie at one position of {len(places)}; a frame is incomplete or a "
            "slice is there twice"
        )
    return places


def _step(places: list[list[Slice]], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """The way (3,) from slice to slice, which has to be the same everywhere."""
    positions = np.array([place[0].position for place in places])  # (n, 3)
    gaps = np.diff(positions @ normal)
    usual = float(np.median(gaps))
    tolerance = max(_LEAST_GAP_ERROR, _GAP_ERROR * usual)
    uneven = np.flatnonzero(np.abs(gaps - usual) > tolerance)
    if uneven.size:
        at = int(uneven[np.argmax(np.abs(gaps[uneven] - usual))])
        before, after = places[at][0].path.name, places[at + 1][0].path.name
        raise SourceError(
            f"the gap between {before} and {after} (slices {at + 1} and {at + 2} of {len(places)}) is "
            f"{gaps[at]:.3f} mm, usually it is {usual:.3f} mm; is a slice missing?"
        )
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    aside = np.linalg.norm(step - (step @ normal) * normal)
    tilt = float(np.arctan2(aside, step @ normal))
    if tilt > _MOST_TILT and aside * (len(positions) - 1) > _LEAST_GAP_ERROR:
        raise SourceError(
            f"the stack leans {np.degrees(tilt):.2f} degrees from the normal of its slices (gantry tilt); resample it "
            "to a straight grid first"
        )
    grid = positions[0] + np.arange(len(positions))[:, None] * step  # (n, 3)
    off = np.linalg.norm(positions - grid, axis=1)
    if off.max() > _DRIFT * tolerance:
        raise SourceError(
            f"slice {int(off.argmax()) + 1} of {len(positions)} lies {off.max():.3f} mm from its place on a regular "
            "grid; resample the series first"
        )
    return np.asarray(step)


def _in_time(places: list[list[Slice]]) -> tuple[tuple[Slice, ...], ...]:
    """The slices as frames of places, each place put in order by the same attribute."""
    count = len(places[0])
    if count == 1:
        return (tuple(place[0] for place in places),)
    for which in range(len(ORDERS)):
        times = [[item.times[which] for item in place] for place in places]
        if all(None not in row and len(set(row)) == count for row in times):
            sorted_places = [sorted(place, key=lambda item: item.times[which] or 0.0) for place in places]
            return tuple(zip(*sorted_places, strict=True))
    raise SourceError(
        f"{count} images lie at each position and none of {', '.join(ORDERS)} tells them apart; split the series first"
    )

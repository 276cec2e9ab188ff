"""Another type for stored voxels, and what that costs: the largest error is measured, voxel by voxel.

What readers of the store get is `slope * stored + inter`, rounded once to float32 where there is a scale; errors
are in those real units. Everything works on slabs, so that beside input and output little is held.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.errors import InvalidArgument, SourceError
from mixio.memory import layout_of, slabs
from mixio.volume import Volume, rescale

DTYPES = ("native", "int16", "float16", "float32")
_LEAST, _GREATEST = -(2**15), 2**15 - 1
_FLOAT16_MAX = 65504.0


@dataclass(frozen=True)
class _Range:
    """Smallest and largest stored and real value, and whether all stored ones are whole numbers."""

    stored: tuple[Any, Any]
    real: tuple[float, float]
    whole: bool


def cast(volume: Volume, dtype: str) -> tuple[Volume, float]:
    """The volume with voxels of this type, and the largest absolute error in real units, 0.0 if there is none.

    `int16` is without loss where stored or real values are whole numbers of a range of 65,536, else it divides the
    range of the volume into 65,535 equal steps. `float16` and `float32` hold real values. Voxels must be finite.
    Raises `SourceError` for values beyond what the type holds, `InvalidArgument` for another type.
    """
    if dtype not in DTYPES:
        raise InvalidArgument(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    if dtype == "native" or (volume.voxels.dtype == dtype and (dtype == "int16" or not volume.is_scaled)):
        return volume, 0.0
    found = _range_of(volume)
    if dtype == "int16":
        return _to_int16(volume, found)
    most = max(map(abs, found.real))
    limit = _FLOAT16_MAX if dtype == "float16" else float(np.finfo(np.float32).max)
    if most > limit:
        raise SourceError(f"holds {most:g}, {dtype} reaches {limit:g}; choose another dtype")
    unscaled = replace(volume, slope=1.0, inter=0.0)
    return _converted(volume, unscaled, np.dtype(dtype), lambda stored: _real(stored, volume))


def _range_of(volume: Volume) -> _Range:
    memory = layout_of(volume.voxels).ordered(volume.voxels)
    ends = [(memory[slab].min().item(), memory[slab].max().item()) for slab in slabs(memory)]
    stored = min(low for low, _ in ends), max(high for _, high in ends)
    whole = memory.dtype.kind in "iu" or all(bool((memory[s] == np.rint(memory[s])).all()) for s in slabs(memory))
    low, high = sorted(end * volume.slope + volume.inter for end in stored)
    return _Range(stored, (low, high), whole)


def _to_int16(volume: Volume, found: _Range) -> tuple[Volume, float]:
    """Stored values as they are, or moved by a whole number, if they are whole and fit; else quantised."""
    low, high = found.stored
    int16 = np.dtype(np.int16)
    if found.whole and low >= _LEAST and high <= _GREATEST:
        return _converted(volume, volume, int16, lambda stored: stored)
    if found.whole and high - low <= _GREATEST - _LEAST:
        moved = replace(volume, inter=volume.inter + volume.slope * (int(low) - _LEAST))
        least = volume.voxels.dtype.type(low)
        return _converted(volume, moved, int16, lambda stored: (stored - least).astype(np.int32) + _LEAST)
    bottom, top = found.real
    slope = (top - bottom) / (_GREATEST - _LEAST) or 1.0
    if not isfinite(slope):
        raise SourceError(f"its values from {bottom:g} to {top:g} are too far apart for int16; choose float32")
    scale = replace(volume, slope=slope, inter=bottom - _LEAST * slope)
    return _converted(volume, scale, int16, lambda stored: _quantised(_real(stored, volume), scale))


def _quantised(real: NDArray[np.float64], scale: Volume) -> NDArray[np.float64]:
    return np.rint((real - scale.inter) / scale.slope).clip(_LEAST, _GREATEST)


def _converted(
    volume: Volume, scale: Volume, dtype: np.dtype[Any], convert: Callable[[NDArray[Any]], NDArray[Any]]
) -> tuple[Volume, float]:
    """Every slab through `convert`, with the slope and intercept of `scale`; and the largest error of all."""
    layout = layout_of(volume.voxels)
    memory = layout.ordered(volume.voxels)
    converted = np.empty(memory.shape, dtype)
    worst = 0.0
    for slab in slabs(memory):
        converted[slab] = convert(memory[slab])
        worst = max(worst, _error(memory[slab], volume, converted[slab], scale))
    return replace(scale, voxels=layout.restored(converted)), worst


def _real(stored: NDArray[Any], volume: Volume) -> NDArray[np.float64]:
    real: NDArray[np.float64] = stored.astype(np.float64)
    return real * volume.slope + volume.inter if volume.is_scaled else real


def _error(before: NDArray[Any], old: Volume, after: NDArray[Any], new: Volume) -> float:
    """Largest difference between what readers would get of the one and of the other."""
    # 64-bit integers have digits that float64 has not; the long double of x86 has them, and is slow.
    wide: Any = np.longdouble if before.dtype.kind in "iu" and before.dtype.itemsize == 8 else np.float64
    return float(np.abs(_as_read(after, new).astype(wide) - _as_read(before, old).astype(wide)).max())


def _as_read(stored: NDArray[Any], scale: Volume) -> NDArray[Any]:
    return rescale(stored, scale.slope, scale.inter) if scale.is_scaled else stored

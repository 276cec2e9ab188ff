"""Stored numbers, as they lie in a file, to the voxels of a `Volume`, in the memory that already holds them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.errors import SourceError
from mixio.readers.layout import Layout
from mixio.volume import Volume

_BLOCK = 1 << 18  # numbers converted at once, so that the work stays in cache


def volume_of(stored: NDArray[Any], layout: Layout) -> Volume:
    """The volume whose numbers, first axis fastest, are `stored` (n,), which is used up.

    Integers keep their type, with slope and intercept beside them; floats become float32, scaled.
    """
    if stored.dtype.kind == "f":
        real = to_float32(stored, layout.slope, layout.inter, layout.name)
        return Volume(real.reshape(layout.grid, order="F"), layout.affine)
    if not stored.dtype.isnative:
        stored = stored.byteswap(inplace=True).view(stored.dtype.newbyteorder("="))
    return Volume(stored.reshape(layout.grid, order="F"), layout.affine, layout.slope, layout.inter)


def to_float32(stored: NDArray[Any], slope: float, inter: float, name: str) -> NDArray[np.float32]:
    """`slope * stored + inter` (n,), computed in float64 and rounded once, in the memory of `stored` if it fits."""
    is_scaled = (slope, inter) != (1.0, 0.0)
    if stored.dtype == np.float32 and not is_scaled:
        return stored
    fits = stored.dtype.itemsize >= 4
    real = stored.view(np.float32)[: stored.size] if fits else np.empty(stored.size, np.float32)
    with np.errstate(all="ignore"):
        for start in range(0, stored.size, _BLOCK):
            # A copy: block i of the result lies where block i, or an earlier one, of the stored numbers was.
            block = stored[start : start + _BLOCK].astype(np.float64)
            infinite = np.isinf(block).sum()
            if is_scaled:
                block *= slope
                block += inter
            real[start : start + _BLOCK] = block
            if np.isinf(real[start : start + _BLOCK]).sum() > infinite:
                raise SourceError(f"{name}: holds numbers too large for float32; rescale it first")
    return real

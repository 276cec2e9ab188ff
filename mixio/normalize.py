"""Stored numbers to model input in [0, 1], per modality.

Intensities stay integers from disk to here. Then the rescale (slope, inter) and the window become one
multiply-add, in place in the float32 result, and a clip. The window is in real units: Hounsfield for CT,
SUV for PET where it is known, and for arbitrary units the volume's own foreground percentiles.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mixio.native import compiled

if TYPE_CHECKING:  # the manifest brings pyarrow
    from mixio.row import Row

Window = tuple[float, float]
Linear = tuple[float, float]

CT_WINDOW: Window = (-1000.0, 1000.0)
PET_WINDOW: Window = (0.0, 10.0)


def window_of(row: "Row") -> Window:
    """The real values that become 0 and 1: CT -1000 to 1000 HU, PET 0 to 10 SUV, else percentiles.

    A CT or PET whose unit is not known is windowed by its percentiles too: a fixed window would clip it.
    """
    if row.modality == "CT" and row.unit == "HU":
        return CT_WINDOW
    if row.modality == "PET" and row.unit == "SUV":
        return PET_WINDOW
    percentiles = row.statistics["percentiles"]
    return percentiles["0.5"], percentiles["99.5"]


def normalize(patch: npt.NDArray[Any], row: "Row", window: Window) -> npt.NDArray[np.float32]:
    """A patch of stored numbers, any shape, as float32 in [0, 1]; all 0 for a window of no width."""
    image = np.empty(patch.shape, np.float32)
    apply_linear(patch, linear_of(row, window), out=image)
    return image


def linear_of(row: "Row", window: Window) -> Linear:
    """The scale and offset that take a volume's stored numbers to [0, 1], before the clip; both exact in float32.

    A window of no width gives (0, 0).
    """
    low, high = window
    if not high > low:
        return 0.0, 0.0
    return float(np.float32(row.slope / (high - low))), float(np.float32((row.inter - low) / (high - low)))


def apply_linear(patch: npt.NDArray[Any], linear: Linear, *, out: npt.NDArray[np.float32]) -> None:
    """Fill `out` with clip(patch * scale + offset, 0, 1), each step rounded to float32."""
    scale, offset = linear
    fast = compiled()
    fits = out.dtype == np.float32 and out.flags.c_contiguous and out.shape == patch.shape
    if fast is not None and fits and fast.can_take(patch):
        fast.linear(patch, scale, offset, out)
        return
    np.multiply(patch, scale, out=out, dtype=np.float32, casting="same_kind")
    np.add(out, np.float32(offset), out=out)
    np.clip(out, 0, 1, out=out)

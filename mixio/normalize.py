"""Stored numbers to model input in [0, 1], per modality.

Intensities stay integers from disk to here. Then the rescale (slope, inter) and the window become one
multiply-add, in place in the float32 result, and a clip. The window is in real units: Hounsfield for CT,
SUV for PET where it is known, and for arbitrary units the volume's own foreground percentiles.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # the manifest brings pyarrow
    from mixio.row import Row

Window = tuple[float, float]

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
    low, high = window
    image = np.empty(patch.shape, np.float32)
    if not high > low:
        image.fill(0)
        return image
    scale = row.slope / (high - low)
    offset = (row.inter - low) / (high - low)
    np.multiply(patch, scale, out=image, dtype=np.float32, casting="same_kind")
    np.add(image, np.float32(offset), out=image)
    return np.clip(image, 0, 1, out=image)

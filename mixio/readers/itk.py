"""What SimpleITK understands of an NRRD or MetaIO header: grid, voxel type, and place in the body.

SimpleITK reads no voxels here, for it fills up what is missing of truncated compressed data with zeros and says
nothing. `nrrd` and `metaio` find out where and how the voxels are stored, and `frames` reads them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.errors import SourceError, require
from mixio.readers.affines import lps_to_ras

_KINDS = "UInt8 Int8 UInt16 Int16 UInt32 Int32 UInt64 Int64 Float32 Float64".split()


@dataclass(frozen=True, eq=False)
class Information:
    """Shape, native voxel type and affine (4, 4) to RAS+ mm, as SimpleITK reads them."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    affine: NDArray[np.float64]


def read_information(path: Path) -> Information:
    """The header at `path`; raises `SourceError` for more than one number a voxel."""
    sitk = _library()
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise SourceError(f"{path.name}: SimpleITK cannot make sense of the header; make the file again") from error
    types = {getattr(sitk, f"sitk{kind}"): np.dtype(kind.lower()) for kind in _KINDS}
    if reader.GetPixelID() not in types:
        raise SourceError(
            f"{path.name}: voxels of type {sitk.GetPixelIDValueAsString(reader.GetPixelID())} "
            "are not one number each; split the channels first"
        )
    return Information(tuple(reader.GetSize()), types[reader.GetPixelID()], _affine(reader))


def _library() -> Any:
    try:
        import SimpleITK
    except ImportError as error:
        raise require("SimpleITK", "itk") from error
    return SimpleITK


def _affine(reader: Any) -> NDArray[np.float64]:
    axes = reader.GetDimension()
    direction = np.array(reader.GetDirection(), np.float64).reshape(axes, axes)
    affine = np.eye(4)
    if axes >= 3:  # a fourth axis is time
        affine[:3, :3] = direction[:3, :3] * np.array(reader.GetSpacing()[:3])
        affine[:3, 3] = reader.GetOrigin()[:3]
    return lps_to_ras(affine)

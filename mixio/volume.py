"""A volume: voxels, where they lie in the body, and what their numbers mean.

Conventions, used everywhere in mixio:

- voxels are `(X, Y, Z)`; once oriented, axis 0 runs towards the patient's Right, 1 Anterior, 2 Superior (RAS+);
- `affine` is 4 x 4 and takes a voxel index to world millimeters; `spacing` is in mm;
- `voxels` may be stored numbers: the real value is `slope * stored + inter`, in `unit` where one is known
  (`HU` for CT, `SUV` for PET, None for MRI, whose units are arbitrary).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels `(X, Y, Z)` with their affine (4, 4), rescale (slope, inter) and unit."""

    voxels: NDArray[Any]
    affine: NDArray[np.float64]
    slope: float = 1.0
    inter: float = 0.0
    unit: str | None = None

    @property
    def shape(self) -> Shape:
        """Number of voxels along x, y, z."""
        x, y, z = self.voxels.shape
        return x, y, z

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance in mm between neighboring voxels along x, y, z."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return x, y, z

    @property
    def is_scaled(self) -> bool:
        """Whether real values differ from the stored ones."""
        return (self.slope, self.inter) != (1.0, 0.0)

    def real(self) -> "Volume":
        """The same volume with real values: stored numbers as they are if unscaled, else float32."""
        if not self.is_scaled:
            return self
        return replace(self, voxels=rescale(self.voxels, self.slope, self.inter), slope=1.0, inter=0.0)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.real().voxels, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        spacing = " x ".join(f"{s:.3g}" for s in self.spacing)
        scale = f", {self.slope:g} * stored + {self.inter:g}" if self.is_scaled else ""
        unit = f", {self.unit}" if self.unit else ""
        return f"Volume({self.voxels.dtype}{list(self.shape)}, {spacing} mm{scale}{unit})"


def rescale(stored: NDArray[Any], slope: float, inter: float) -> NDArray[np.float32]:
    """Real values of stored ones, computed in float64 and rounded once to float32."""
    real: NDArray[np.float64] = stored.astype(np.float64)
    real *= slope
    real += inter
    return real.astype(np.float32)

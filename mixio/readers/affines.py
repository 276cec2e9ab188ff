"""Affines that can be trusted, and what stands in for one that a file does not have."""

import numpy as np
from numpy.typing import NDArray

from mixio.errors import SourceError
from mixio.readers.parts import ReadOptions

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_FLAT = 1e-6  # a determinant below this share of the product of the spacings is that of a plane


def is_usable(affine: NDArray[np.float64]) -> bool:
    """Whether `affine` (4, 4) is finite and spans three directions, with a spacing above 0 along each."""
    with np.errstate(all="ignore"):
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        volume = abs(np.linalg.det(affine[:3, :3] / spacing))  # 1 for a box, 0 for a plane
    return bool(np.isfinite(affine).all() and volume > _FLAT)


def checked_affine(affine: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """`affine` if it is usable."""
    if not is_usable(affine):
        raise SourceError(f"{name}: the affine is singular or not finite; repair the header")
    return affine


def stand_in(
    fallback: NDArray[np.float64], options: ReadOptions, name: str, *, why: str
) -> tuple[NDArray[np.float64], dict[str, str]]:
    """The affine of a file that has none, and the note of it: `options.spacing` along R, A and S, or `fallback`.

    Raises `SourceError` with `why` if the options allow neither.
    """
    if options.spacing is not None:
        return np.diag([*options.spacing, 1.0]), {"affine": "assumed"}
    if not options.assume_affine:
        raise SourceError(
            f"{name}: {why}, so left and right are unknown; "
            "set one in the header, or accept a guess with --assume-affine"
        )
    return checked_affine(fallback, name), {"affine": "assumed"}


def lps_to_ras(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """The affine (4, 4) of ITK and DICOM, whose world runs Left, Posterior, Superior, as one to RAS+."""
    return _LPS_TO_RAS @ affine

"""Cases as arrays: read, oriented, resampled and windowed as `mixio convert` and its loaders do it.

Everything before the window is `mixio.prepare`, so that a model meets the numbers it was pretrained on: RAS+, another
spacing if one is asked for, CT from -1000 to 1000 HU, PET from 0 to 10 SUV, else from the percentiles of the
foreground. Label maps go to the image's grid by the nearest voxel, and must be on it to begin with. All
cases are kept in memory, at 5 bytes a voxel.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.errors import InvalidArgument, SourceError
from mixio.normalize import normalize, window_of
from mixio.prepare import Prepared, options_of, prepare
from mixio.preprocess import to_ras
from mixio.readers import read_parts, read_volume
from mixio.settings import Settings
from mixio.sources import Source
from mixio.volume import Shape, Volume
from tools.labelled import Case

SAME_GRID = 0.1
"""Of a voxel: grids whose corners lie this close to one another are the same grid."""


@dataclass(frozen=True, eq=False)
class Example:
    """A case in memory.

    `image` (X, Y, Z) is float32 in [0, 1] and `background` its value where nothing is. `label` (X, Y, Z) is uint8;
    `target` is the number of the class of the whole image; either is None. `spacing` is in mm.
    """

    name: str
    subject: str
    image: NDArray[np.float32]
    background: float
    spacing: tuple[float, float, float]
    label: NDArray[np.uint8] | None = None
    target: int | None = None

    @property
    def shape(self) -> Shape:
        """Voxels along x, y, z."""
        x, y, z = self.image.shape
        return x, y, z


@dataclass(frozen=True)
class Reading:
    """How cases are read: `spacing` in mm or None for each image's own; modality and unit where a table has none."""

    spacing: tuple[float, float, float] | None = None
    modality: str | None = None
    unit: str | None = None


@dataclass(frozen=True)
class _Described:
    """What `mixio.normalize` has to know of a volume."""

    modality: str | None
    unit: str | None
    statistics: dict[str, Any]
    slope: float
    inter: float


def read_examples(cases: Sequence[Case], classes: Sequence[str], reading: Reading) -> list[Example]:
    """The cases in memory, in their order.

    `classes` are those of the voxels, the background first, or those of whole images. Raises `InvalidArgument` for a
    label outside of them and `SourceError` for files that cannot be trusted, both naming the case.
    """
    return [_read(case, classes, reading) for case in cases]


def classes_of(cases: Sequence[Case], names: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the classes, which label maps count from 0, the background, and tables name themselves.

    `names` are those of the labels 1, 2, ..., or of the classes in their order; without them they are taken from
    the data, for which all label maps are read.
    """
    if names and len({"background", *names}) <= len(names):
        raise InvalidArgument(f"--classes must be different names, none of them background, got {', '.join(names)}")
    if cases[0].label is None:
        present = sorted({case.target or "" for case in cases})
        return tuple(names or present)
    if names is None:
        most = max(int(_whole(read_volume(case.label).real().voxels, case).max()) for case in cases if case.label)
        names = [f"class {number}" for number in range(1, most + 1)]
    if not names:
        raise InvalidArgument("no label map has a voxel other than 0; are these the label maps?")
    return ("background", *names)


def _read(case: Case, classes: Sequence[str], reading: Reading) -> Example:
    modality, unit = case.modality or reading.modality, case.unit or reading.unit
    labels = {"label": case.label} if case.label else {}
    source = Source(case.image, case.name, "case", case.subject, modality, unit=unit, labels=labels)
    settings = Settings(spacing=reading.spacing, crop_foreground=case.label is None)
    parts = list(read_parts(case.image, options_of(source, settings)))
    if len(parts) != 1:
        raise SourceError(f"{case.name}: holds several volumes, expected one; list each as a file of its own")
    if case.label:
        _require_same_grid(case, parts[0].volume, read_volume(case.label))
    prepared = prepare(parts[0], source, settings)
    image, background = _windowed(prepared, modality)
    label = _labels(prepared.labels["label"], case, classes) if case.label else None
    target = None if case.target is None else _target(case, classes)
    return Example(case.name, case.subject, image, background, prepared.volume.spacing, label, target)


def _windowed(prepared: Prepared, modality: str | None) -> tuple[NDArray[np.float32], float]:
    """The image in [0, 1], and its background there."""
    volume = prepared.volume
    known = _Described(modality, volume.unit, prepared.content.statistics, volume.slope, volume.inter)
    window = window_of(known)
    background = normalize(np.array([prepared.background], volume.voxels.dtype), known, window)
    return normalize(volume.voxels, known, window), float(background[0])


def _require_same_grid(case: Case, image: Volume, mask: Volume) -> None:
    """Refuse a label map of another shape or place: which of the two is right cannot be told from here."""
    image, mask = to_ras(image), to_ras(mask)
    if image.shape != mask.shape:
        raise InvalidArgument(
            f"{case.name}: the image has {image.shape} voxels, its label map {mask.shape}; "
            "resample the label map onto its image first"
        )
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(image.shape) - 1)
    moved = image.affine[:3] - mask.affine[:3]
    apart = float(np.linalg.norm(corners @ moved[:, :3].T + moved[:, 3], axis=1).max())
    if not apart <= SAME_GRID * min(image.spacing):
        raise InvalidArgument(
            f"{case.name}: the affines of the image and its label map differ, by up to {apart:.3g} mm at the corners; "
            "correct the header that is wrong, or resample the label map onto its image"
        )


def _labels(voxels: NDArray[Any], case: Case, classes: Sequence[str]) -> NDArray[np.uint8]:
    whole = _whole(voxels, case)
    if int(whole.max()) >= len(classes):
        raise InvalidArgument(
            f"{case.name}: label {int(whole.max())} is outside the classes 0 to {len(classes) - 1} "
            f"({', '.join(classes)}); name it in --classes"
        )
    return whole.astype(np.uint8)


def _whole(voxels: NDArray[Any], case: Case) -> NDArray[Any]:
    """The labels, if they are whole numbers from 0 to 255."""
    if not (np.isfinite(voxels).all() and np.array_equal(voxels, np.rint(voxels)) and 0 <= voxels.min() <= 255):
        raise InvalidArgument(
            f"{case.name}: labels must be whole numbers from 0 on, the label map holds "
            f"{voxels.min():g} to {voxels.max():g}; threshold it first"
        )
    if voxels.max() > 255:
        raise InvalidArgument(f"{case.name}: label {voxels.max():g} is beyond 255; number the classes 1, 2, 3, ...")
    return voxels


def _target(case: Case, classes: Sequence[str]) -> int:
    if case.target not in classes:
        raise InvalidArgument(f"{case.name}: class {case.target!r} is not one of --classes {', '.join(classes)}")
    return classes.index(case.target)

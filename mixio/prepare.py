"""What is stored of a volume: oriented, resampled, cast, cropped as the settings say, described, with its labels.

    read -> RAS+ -> finite -> spacing -> dtype -> described -> cropped -> labels on its grid

Everything here is a function of the source and the settings, so that converting twice gives the same bytes and
verifying can compare a store with the originals.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.cast import cast
from mixio.content import Content, describe
from mixio.errors import SourceError
from mixio.preprocess import background_of, crop, fill_nonfinite, ras_axes, to_ras
from mixio.readers import Part, ReadOptions, read_volume
from mixio.resample import resample, resample_label
from mixio.settings import Settings
from mixio.sources import Source
from mixio.volume import Volume

_CT_AIR_HU = -500.0


@dataclass(frozen=True, eq=False)
class Prepared:
    """A volume as it will be stored, RAS+, with what the manifest says of it; label maps are on its grid."""

    volume: Volume
    background: int | float
    content: Content
    labels: dict[str, NDArray[Any]]
    orientation: str
    nonfinite: int
    quantization_error: float
    notes: dict[str, str]


def options_of(source: Source, settings: Settings, *, max_bytes: int | None = None) -> ReadOptions:
    """How to read a source under these settings."""
    return ReadOptions(
        frames=settings.frames,
        item=source.item,
        assume_affine=settings.assume_affine,
        spacing=source.spacing,
        max_bytes=max_bytes,
    )


def prepare(part: Part, source: Source, settings: Settings) -> Prepared:
    """One part of a source as it will be stored; raises `SourceError` if it, or a label map, cannot be trusted."""
    name = source.path.name
    volume, nonfinite = fill_nonfinite(to_ras(part.volume))
    share = nonfinite / volume.voxels.size
    if share > settings.max_nonfinite:
        raise SourceError(
            f"{name}: {share:.2%} of its voxels are NaN or infinite, more than {settings.max_nonfinite:.2%}; "
            "raise --max-nonfinite to take them for background"
        )
    if settings.spacing is not None:
        volume = resample(volume, settings.spacing)
    try:
        volume, error = cast(volume, settings.dtype)
    except SourceError as refusal:
        raise SourceError(f"{name}: {refusal}") from refusal
    background = background_of(volume.voxels)
    content = describe(volume, background, source.modality)
    if settings.crop_foreground and content.foreground_fraction > 0:
        volume = crop(volume, content.foreground_box)
        content = describe(volume, background, source.modality)
    return Prepared(
        volume=replace(volume, unit=source.unit or volume.unit or _evident_unit(source, content)),
        background=background,
        content=content,
        labels={label: _read_label(path, volume, settings, source) for label, path in sorted(source.labels.items())},
        orientation=_codes(part.volume),
        nonfinite=nonfinite,
        quantization_error=error,
        notes=dict(part.notes),
    )


def _evident_unit(source: Source, content: Content) -> str | None:
    """CT that holds air at negative numbers is in Hounsfield units; nothing else says its unit by itself."""
    is_hounsfield = source.modality == "CT" and content.statistics["min"] < _CT_AIR_HU
    return "HU" if is_hounsfield else None


def _codes(volume: Volume) -> str:
    """How the source's voxel axes ran, as letters: `LPS` is towards Left, Posterior, Superior."""
    axes, signs = ras_axes(volume.affine)
    letters = ["", "", ""]
    for world, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        letters[axis] = ("RAS" if sign > 0 else "LPI")[world]
    return "".join(letters)


def _read_label(path: Path, image: Volume, settings: Settings, source: Source) -> NDArray[Any]:
    """A label map on the image's grid, brought there by world coordinates where its own grid is another."""
    options = ReadOptions(assume_affine=settings.assume_affine, spacing=source.spacing)
    label = to_ras(read_volume(path, options).real())
    if label.voxels.dtype.kind == "f" and not np.isfinite(label.voxels).all():
        raise SourceError(f"{path.name}: the label map holds NaN or infinity; repair it")
    try:
        return _smallest(resample_label(label, image))
    except SourceError as refusal:
        raise SourceError(f"{path.name}: {refusal}") from refusal


def _smallest(voxels: NDArray[Any]) -> NDArray[Any]:
    """The same values in the smallest integer type that holds them; float32 where they are not whole numbers."""
    low, high = float(voxels.min()), float(voxels.max())
    for kind in ("uint8", "int16", "int32"):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            integers = voxels.astype(kind)
            return integers if np.array_equal(integers, voxels) else voxels
    return voxels

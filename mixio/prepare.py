"""What is stored of a volume: oriented, resampled, cast, cropped as the settings say, described, with its labels.

    read -> RAS+ -> finite -> spacing -> dtype -> described -> cropped -> labels on its grid

Everything here is a function of the source and the settings, so that converting twice gives the same bytes and
verifying can compare a store with the originals.
"""

from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.cast import cast
from mixio.content import Content, describe
from mixio.errors import SourceError, SourceTooLarge
from mixio.preprocess import background_of, crop, fill_nonfinite, ras_axes, to_ras
from mixio.readers import Part, ReadOptions, read_parts
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
    labels = {name: _label(name, volume, part, source, settings) for name in sorted(source.labels)}
    return Prepared(
        volume=replace(volume, unit=_unit(volume, source) or _evident_unit(source, content)),
        background=background,
        content=content,
        labels=labels,
        orientation=_codes(part.volume),
        nonfinite=nonfinite,
        quantization_error=error,
        notes=dict(part.notes),
    )


def _unit(volume: Volume, source: Source) -> str | None:
    """The unit that the table or the file says; raises `SourceError` where they differ, for the numbers are one's."""
    if source.unit and volume.unit and source.unit != volume.unit:
        raise SourceError(
            f"{source.path.name}: its own unit is {volume.unit}, the table says {source.unit}; correct the table"
        )
    return source.unit or volume.unit


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


def _label(name: str, image: Volume, part: Part, source: Source, settings: Settings) -> NDArray[Any]:
    """A label map on the image's grid, brought there by world coordinates where its own grid is another."""
    path = source.labels[name]
    try:
        label = _read_label(path, part, source, settings)
        return _smallest(resample_label(label, image))
    except SourceTooLarge:
        raise
    except SourceError as refusal:
        said = str(refusal)
        told = said if said.startswith(path.name) else f"{path.name}: {said}"
        raise SourceError(f"{told} (label map {name!r} of {source.path.name})") from refusal


def _read_label(path: Path, image: Part, source: Source, settings: Settings) -> Volume:
    """The one volume of a label map, RAS+, whose place in the world is as well known as that of its image."""
    # "each" finds out that there are several without a hint at --frames, which is about images.
    options = ReadOptions(frames="each", assume_affine=settings.assume_affine, spacing=source.spacing)
    parts = list(islice(read_parts(path, options), 2))
    if len(parts) != 1:
        raise SourceError("a label map of several volumes, expected one; split it, and list each as label:<name>")
    label = to_ras(parts[0].volume.real())
    if label.voxels.dtype.kind == "f" and not np.isfinite(label.voxels).all():
        raise SourceError("the label map holds NaN or infinity; repair it")
    guessed = [part.notes.get("affine") == "assumed" for part in (parts[0], image)]
    if guessed[0] != guessed[1]:
        raise SourceError(
            f"the affine of the {'label map' if guessed[0] else 'image'} is a guess, the other is not, "
            "so the one cannot be laid on the other; set both in their headers"
        )
    return label


def _smallest(voxels: NDArray[Any]) -> NDArray[Any]:
    """The same values in the smallest integer type that holds them; float32 where they are not whole numbers."""
    low, high = voxels.min(), voxels.max()
    for kind in ("uint8", "int16", "int32"):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            integers = voxels.astype(kind)
            return integers if np.array_equal(integers, voxels) else voxels
    return voxels

"""A DICOM series to parts: the headers of its images are brought together, then the pixels decoded slice by slice.

Stored integers are kept where one slope and intercept hold for the whole volume. PET scales each slice by its own, so
that the real value is computed in float64, slice by slice, and rounded once to float32. Only the voxels of one part
and the file being decoded are in memory.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.errors import SourceError, SourceTooLarge
from mixio.readers.dicom_file import decode
from mixio.readers.dicom_geometry import Stack, stack_of
from mixio.readers.dicom_image import Image, Slice
from mixio.readers.dicom_suv import suv_factor
from mixio.readers.layout import check_room
from mixio.readers.parts import Part, ReadOptions
from mixio.volume import Volume

_MEAN_BYTES = 12  # of a voxel of a mean: its sum in float64 and its result in float32


@dataclass(frozen=True)
class Series:
    """A series whose headers are in order; `scales` (t, z, 2) are slope and intercept of each slice."""

    label: str
    stack: Stack
    dtype: np.dtype[Any]
    scales: NDArray[np.float64]
    unit: str | None
    notes: dict[str, str]


def check_series(images: list[Image], label: str, notes: dict[str, str]) -> Series:
    """A series as one stack, from headers alone; `label` stands for it in messages.

    Raises `SourceError` for one that cannot be trusted.
    """
    for image in images:
        if image.refusal:
            raise SourceError(f"{label}: {image.refusal}" if image.path.name != label else image.refusal)
    if any(image.is_localizer for image in images):
        raise SourceError(f"{label}: a localizer (ImageType), not a volume; leave it out")
    dtypes = {image.dtype for image in images}
    if len(dtypes) > 1:
        raise SourceError(f"{label}: BitsAllocated or PixelRepresentation is mixed; split the series first")
    slices = [item for image in images for item in image.slices]
    try:
        stack = stack_of(slices)
        factor = _factor(images, slices)
    except SourceError as error:
        raise SourceError(f"{label}: {error}") from error
    scales = np.array([[(item.slope * factor, item.inter * factor) for item in frame] for frame in stack.frames])
    is_pet = images[0].pet is not None
    unit = "SUV" if is_pet else "HU" if all(image.in_hu for image in images) else None
    told = {key: text for image in images for key, text in image.notes}
    if is_pet:
        told["SUV factor"] = f"{factor:.9g}"
    return Series(label, stack, np.dtype(dtypes.pop()), scales, unit, {**notes, **told})


def parts_of(series: Series, options: ReadOptions, *, name: str = "", frame: int | None = None) -> Iterator[Part]:
    """The volume of a series, its frame number `frame`, or what `options` choose of its frames."""
    count = len(series.stack.frames)
    chosen = _chosen(series, frame, options)
    mean = count > 1 and frame is None and options.frames == "mean"
    varies = [bool(np.ptp(series.scales[t], axis=0).any()) for t in chosen]
    width = _MEAN_BYTES if mean else 4 if any(varies) else series.dtype.itemsize
    check_room(math.prod(series.stack.shape) * width, options.max_bytes, series.label)
    if mean:
        yield Part(name, _mean(series), {**series.notes, "frames": f"mean of {count}"})
        return
    digits = max(4, len(str(count - 1)))
    for t in chosen:
        names = [name] * bool(name) + [f"t{t:0{digits}}"] * (len(chosen) > 1)
        told = {"frames": f"{t} of {count}"} if count > 1 else {}
        yield Part("-".join(names), _frame(series, t), {**series.notes, **told})


def _factor(images: list[Image], slices: list[Slice]) -> float:
    """What rescaled values are multiplied with: 1, or the factor to SUV of a PET."""
    pet = images[0].pet
    if pet is None:
        return 1.0
    if any(image.pet != pet for image in images):
        raise SourceError("Units, PatientWeight, dose or times differ within the PET series; split it first")
    return suv_factor(pet, [item.times[1] for item in slices if item.times[1] is not None])


def _chosen(series: Series, frame: int | None, options: ReadOptions) -> range:
    count = len(series.stack.frames)
    if frame is not None:
        if frame >= count:
            raise SourceError(f"{series.label}: no frame {frame}; the frames are numbered 0 to {count - 1}")
        return range(frame, frame + 1)
    if count == 1 or options.frames == "first":
        return range(1)
    if options.frames is None:
        raise SourceError(
            f"{series.label}: holds {count} frames of {len(series.stack.frames[0])} slices, not one volume; "
            "choose with --frames first, mean or each"
        )
    if options.frames == "mean" and any(
        len({item.kind for item in place}) > 1 for place in zip(*series.stack.frames, strict=True)
    ):
        raise SourceError(
            f"{series.label}: its {count} frames differ in ImageType or echo time, so their mean is nothing; "
            "choose with --frames first or each"
        )
    return range(count)


def _frame(series: Series, t: int) -> Volume:
    scales = series.scales[t]
    is_uniform = not np.ptp(scales, axis=0).any()
    voxels = _empty(series, series.dtype if is_uniform else np.dtype(np.float32))
    for z, stored in _decoded(series, t):
        voxels[z] = stored if is_uniform else stored * scales[z, 0] + scales[z, 1]
    slope, inter = scales[0].tolist() if is_uniform else (1.0, 0.0)
    return Volume(voxels.transpose(2, 1, 0), series.stack.affine, slope, inter, series.unit)


def _mean(series: Series) -> Volume:
    total = _empty(series, np.dtype(np.float64))
    total[:] = 0
    for t in range(len(series.stack.frames)):
        for z, stored in _decoded(series, t):
            total[z] += stored * series.scales[t, z, 0] + series.scales[t, z, 1]
    total /= len(series.stack.frames)
    return Volume(total.astype(np.float32).transpose(2, 1, 0), series.stack.affine, unit=series.unit)


def _empty(series: Series, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Room for one frame, indexed (slice, row, column)."""
    needed = math.prod(series.stack.shape) * dtype.itemsize
    try:
        return np.empty(series.stack.shape[::-1], dtype)
    except MemoryError as error:
        raise SourceTooLarge(
            f"{series.label}: its voxels need {needed} bytes, more than can be had; use a machine with more memory",
            needed=needed,
        ) from error


def _decoded(series: Series, t: int) -> Iterator[tuple[int, NDArray[Any]]]:
    """The place and the stored pixels (rows, columns) of each slice of frame `t`, file by file."""
    files: dict[Path, list[tuple[int, int]]] = {}
    for z, item in enumerate(series.stack.frames[t]):
        files.setdefault(item.path, []).append((item.number, z))
    expected = series.stack.shape[1::-1]
    for path, wanted in files.items():
        wanted.sort()
        for (_, z), stored in zip(wanted, decode(path, [number for number, _ in wanted]), strict=True):
            if stored.shape != expected or stored.dtype.newbyteorder("=") != series.dtype:
                raise SourceError(
                    f"{path.name}: decodes to {stored.dtype}{list(stored.shape)}, expected "
                    f"{series.dtype}{list(expected)}; fetch the file again"
                )
            yield z, stored

"""The header of one DICOM image as plain values: what it is, how it is stored, where each of its slices lies.

A classic file is one slice. A file of an enhanced object (CT, MR, PET) is many, whose place and scale stand in its
functional groups, shared or one a frame (PS3.3 C.7.6.16). After this file nothing looks at a header again, and of
texts that could tell who or when only hashes are kept, to compare by.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixio.errors import SourceError
from mixio.readers.dicom_file import Pixels
from mixio.readers.dicom_suv import Pet, pet_of
from mixio.readers.dicom_values import moment, number, numbers, seconds, texts, whole

NO_IMAGES = ("SEG", "RTDOSE", "RTSTRUCT", "RTPLAN", "SR", "PR", "KO", "REG")
ORDERS = ("TemporalPosition", "AcquisitionTime", "TriggerTime", "InstanceNumber")


@dataclass(frozen=True)
class Slice:
    """One image plane: frame `number` (from 0) of the file at `path`.

    `size` is (columns, rows); `spacing` in mm between columns and between rows; `orientation` the direction cosines
    along a row, then along a column; `position` of the first voxel's center in mm, in DICOM's LPS. `times` has one
    number or None for each of `ORDERS`; `kind` is equal for slices that differ in time only.
    """

    path: Path
    number: int
    size: tuple[int, int]
    spacing: tuple[float, ...]
    orientation: tuple[float, ...]
    position: tuple[float, ...]
    slope: float
    inter: float
    times: tuple[float | None, ...]
    kind: str


@dataclass(frozen=True)
class Image:
    """One file: hashes of its series, patient and instance, and either its slices or why it is refused."""

    path: Path
    series: str
    patient: str
    instance: str
    modality: str
    is_localizer: bool = False
    dtype: str = ""
    in_hu: bool = False
    slices: tuple[Slice, ...] = ()
    pet: Pet | None = None
    notes: tuple[tuple[str, str], ...] = ()
    refusal: str = ""


def parse_image(header: Any, pixels: Pixels | None, path: Path) -> Image | None:
    """The image in the file at `path`; None if it holds none: no pixel data, or those of a segmentation or a dose.

    What is wrong with it is kept as its `refusal`, so that it is told of the series and no other is lost by it.
    """
    modality = str(header.get("Modality") or "")
    if pixels is None or modality in NO_IMAGES:
        return None
    series = header.get("SeriesInstanceUID")
    if not series:
        raise SourceError(f"{path.name}: SeriesInstanceUID is missing, so its series is unknown; repair the header")
    known = (path, _hashed(series), _hashed(header.get("PatientID")), _hashed(header.get("SOPInstanceUID")), modality)
    kinds = texts(header, "ImageType")
    try:
        return Image(
            *known,
            is_localizer="LOCALIZER" in kinds,
            dtype=_dtype(header, pixels),
            in_hu=modality == "CT" and _in_hu(header),
            slices=_slices(header, pixels, path, "/".join(kinds)),
            pet=pet_of(header) if modality == "PT" else None,
            notes=_notes(header),
        )
    except SourceError as error:
        return Image(*known, is_localizer="LOCALIZER" in kinds, refusal=f"{path.name}: {error}")


def _dtype(header: Any, pixels: Pixels) -> str:
    """The integer type of the pixels, once they are known to be one whole number each."""
    if pixels.floating:
        raise SourceError("FloatPixelData is not read, only integer PixelData; convert it first")
    if whole(header, "SamplesPerPixel", 1) != 1:
        raise SourceError("SamplesPerPixel is not 1 (color); only gray images are volumes")
    if header.get("PhotometricInterpretation") != "MONOCHROME2":
        raise SourceError("PhotometricInterpretation is not MONOCHROME2 (color or inverted gray); convert it first")
    if header.get("ModalityLUTSequence"):
        raise SourceError("ModalityLUTSequence is not read, only RescaleSlope and RescaleIntercept; apply it first")
    allocated, stored = whole(header, "BitsAllocated"), whole(header, "BitsStored")
    high = whole(header, "HighBit", stored - 1)
    if allocated not in (8, 16, 32) or not 0 < stored <= allocated or high != stored - 1:
        raise SourceError(
            f"BitsAllocated is {allocated}, BitsStored {stored}, HighBit {high}; expected 8, 16 or 32, no more than "
            "that, and one less"
        )
    signed = whole(header, "PixelRepresentation")
    if signed not in (0, 1):
        raise SourceError(f"PixelRepresentation is {signed}, expected 0 or 1")
    return f"{'u' * (1 - signed)}int{allocated}"


def _slices(header: Any, pixels: Pixels, path: Path, kind: str) -> tuple[Slice, ...]:
    size = (whole(header, "Columns"), whole(header, "Rows"))
    count = whole(header, "NumberOfFrames", 1)
    if min(size) < 1 or count < 1:
        raise SourceError(f"Columns, Rows and NumberOfFrames are {size[0]}, {size[1]} and {count}; expected above 0")
    _check_pixels(pixels, size[0] * size[1] * count * whole(header, "BitsAllocated") // 8, count)
    shared, frames = header.get("SharedFunctionalGroupsSequence"), header.get("PerFrameFunctionalGroupsSequence")
    if not shared and not frames:
        if count > 1:
            raise SourceError(f"NumberOfFrames is {count}, but PerFrameFunctionalGroupsSequence is missing")
        return (_classic(header, path, size, kind),)
    if len(frames or ()) != count:
        raise SourceError(f"PerFrameFunctionalGroupsSequence has {len(frames or ())} items for {count} frames")
    general = (shared or [{}])[0]
    return tuple(_enhanced(_Groups(frame, general), path, n, (size, kind)) for n, frame in enumerate(frames))


def _check_pixels(pixels: Pixels, expected: int, frames: int) -> None:
    if not pixels.whole:
        raise SourceError("PixelData ends early, the file is truncated; fetch it again")
    if pixels.fragments:
        if pixels.fragments < frames:
            raise SourceError(f"PixelData holds {pixels.fragments} fragments for {frames} frames; fetch it again")
    elif pixels.nbytes // expected != 1:
        raise SourceError(f"PixelData holds {pixels.nbytes} bytes, expected {expected}; fetch it again")


def _classic(header: Any, path: Path, size: tuple[int, int], kind: str) -> Slice:
    acquired = seconds(header, "AcquisitionDateTime")
    if acquired is None and header.get("AcquisitionTime"):
        day = str(header.get("AcquisitionDate") or header.get("SeriesDate") or "19700101")
        acquired = moment(day + str(header.get("AcquisitionTime")))
    times = (
        number(header, "TemporalPositionIdentifier"),
        acquired,
        number(header, "TriggerTime"),
        number(header, "InstanceNumber"),
    )
    rows, columns = numbers(header, "PixelSpacing", 2)
    return Slice(
        path,
        0,
        size,
        (columns, rows),
        numbers(header, "ImageOrientationPatient", 6),
        numbers(header, "ImagePositionPatient", 3),
        *_scale(header),
        times,
        _hashed(f"{kind} {number(header, 'EchoTime')}"),
    )


@dataclass(frozen=True)
class _Groups:
    """The functional groups of one frame, over the shared ones."""

    frame: Any
    shared: Any

    def __getitem__(self, name: str) -> Any:
        for groups in (self.frame, self.shared):
            if items := groups.get(name):
                return items[0]
        return {}


def _enhanced(groups: _Groups, path: Path, index: int, common: tuple[tuple[int, int], str]) -> Slice:
    size, kind = common
    content = groups["FrameContentSequence"]
    heart = groups["CardiacSynchronizationSequence"]
    echo = number(groups["MREchoSequence"], "EffectiveEchoTime")
    kinds = [texts(groups[name], "FrameType") for name in ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence")]
    times = (
        number(content, "TemporalPositionIndex"),
        seconds(content, "FrameAcquisitionDateTime"),
        number(heart, "NominalCardiacTriggerDelayTime"),
        float(index),
    )
    rows, columns = numbers(groups["PixelMeasuresSequence"], "PixelSpacing", 2)
    return Slice(
        path,
        index,
        size,
        (columns, rows),
        numbers(groups["PlaneOrientationSequence"], "ImageOrientationPatient", 6),
        numbers(groups["PlanePositionSequence"], "ImagePositionPatient", 3),
        *_scale(groups["PixelValueTransformationSequence"]),
        times,
        _hashed(f"{kind} {kinds} {echo}"),
    )


def _scale(group: Any) -> tuple[float, float]:
    slope, inter = number(group, "RescaleSlope"), number(group, "RescaleIntercept")
    if slope == 0:
        raise SourceError("RescaleSlope is 0, so all voxels would be equal; repair the header")
    return (1.0 if slope is None else slope), (0.0 if inter is None else inter)


def _in_hu(header: Any) -> bool:
    """PS3.3 C.8.2.1: a CT whose RescaleType is absent is in HU; the enhanced one says so in its first frame."""
    frames, shared = (header.get(f"{name}FunctionalGroupsSequence") for name in ("PerFrame", "Shared"))
    group = _Groups((frames or [{}])[0], (shared or [{}])[0])["PixelValueTransformationSequence"] or header
    scaled = group.get("RescaleSlope") is not None and group.get("RescaleIntercept") is not None
    return scaled and (group.get("RescaleType") or "HU") == "HU"


def _notes(header: Any) -> tuple[tuple[str, str], ...]:
    notes = []
    padding = number(header, "PixelPaddingValue")
    if padding is not None:
        notes.append(("padding", f"stored value {padding:g}, kept"))
    if header.get("RealWorldValueMappingSequence"):
        notes.append(("real world values", "mapping not applied"))
    if header.get("LossyImageCompression") == "01":
        notes.append(("compression", "lossy"))
    return tuple(notes)


def _hashed(value: Any) -> str:
    return hashlib.sha256(str(value).encode()).hexdigest() if value else ""

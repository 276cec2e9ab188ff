"""DICOM to volumes: a folder of one or many series, or a single file, classic or enhanced multi-frame.

A folder is the files in it; if there is no image among them (a CD with a DICOMDIR, say) those of its subfolders. Files
are put together by SeriesInstanceUID. What holds no image (structures, reports, segmentations, dose, hidden files as a
Mac leaves them) is counted in the notes. A file named `.dcm` that is not DICOM, a header that cannot be parsed, and
several patients in one folder refuse the whole source: any series may lack that file, and one source is one subject.

One series is one part without a name; several are parts named `s` and eight digits of a hash of their UID. A series
that cannot be trusted does not cost the others: they are read first, then `PartsRefused` says of each refused one why.
A converter keeps the parts it was given and puts the refused ones, by name, in quarantine.
"""

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mixio.errors import PartsRefused, SourceError, SourceTooLarge
from mixio.readers.dicom_file import is_dicom, read_header
from mixio.readers.dicom_image import Image, parse_image
from mixio.readers.dicom_series import check_series, parts_of
from mixio.readers.names import SLICE, has_suffix
from mixio.readers.parts import Part, ReadOptions
from mixio.readers.walk import files_below

_DEFAULTS = ReadOptions()


def read_dicom(path: Path, options: ReadOptions = _DEFAULTS) -> Iterator[Part]:
    """The series of the file or folder at `path`, one at a time, in the order of their names, not reoriented.

    Voxels are (column, row, slice) with the affine to RAS+ mm. They stay integers, with slope and intercept beside
    them, unless these vary from slice to slice: then they are real values in float32. CT is in HU, PET in SUV.
    `options.item` is a part's name, a frame's number, or both as `name/number`.

    Raises `SourceError` for a source or an only series that cannot be trusted, `SourceTooLarge` for one over
    `options.max_bytes`, and `PartsRefused` for some of several series, after the others have been yielded.
    """
    images, notes = _find(path)
    series: dict[str, list[Image]] = {}
    only = len({image.series for image in images}) == 1
    for image in images:
        series.setdefault("" if only else f"s{image.series[:8]}", []).append(image)
    if options.item is not None:
        name, frame = _item(options.item, series, path)
        yield from parts_of(check_series(series[name], _label(path, name), notes), options, frame=frame)
        return
    reasons = {}
    for name in sorted(series):
        try:
            yield from parts_of(check_series(series[name], _label(path, name), notes), options, name=name)
        except SourceTooLarge:
            raise  # it may fit when it is converted alone
        except SourceError as error:
            if only:
                raise
            reasons[name] = str(error)
    if reasons:
        told = f"{len(reasons)} of {len(series)} series refused; {'; '.join(reasons.values())}"
        raise PartsRefused(f"{path.name}: {told}", reasons=reasons)


def _label(path: Path, name: str) -> str:
    return f"{path.name} series {name}" if name else path.name


def _find(path: Path) -> tuple[list[Image], dict[str, str]]:
    """The images of a source, and notes of what else is there."""
    if not path.exists():
        raise SourceError(f"{path.name}: no such file or folder; is the disk mounted?")
    if not path.is_dir():
        images, others, _ = _scan([path])
        if not images:
            raise SourceError(f"{path.name}: holds no DICOM image{', only other objects' if others else ''}")
        return images, {}
    entries = sorted(path.iterdir())
    images, others, strangers = _scan([entry for entry in entries if entry.is_file()])
    folders = sum(entry.is_dir() for entry in entries)
    if not images and folders:
        images, others, strangers = _scan(files_below(path))
        folders = 0
    if not images:
        raise SourceError(f"{path.name}: holds no DICOM images ({others} other DICOM objects, {strangers} other files)")
    if len({image.patient for image in images if image.patient}) > 1:
        raise SourceError(f"{path.name}: holds several patients (PatientID differs); give one folder a patient")
    kept = _without_copies(images)
    counts = {
        "DICOM objects without an image": others,
        "other files": strangers,
        "copies": len(images) - len(kept),
        "subfolders": folders,
    }
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return kept, {"skipped": told} if told else {}


def _scan(paths: list[Path]) -> tuple[list[Image], int, int]:
    """The images among the files, how many other DICOM objects there are, and how many files of other kinds."""
    images, others, strangers = [], 0, 0
    for path in paths:
        if not is_dicom(path):
            if has_suffix(path, SLICE) and not path.name.startswith("."):
                raise SourceError(f"{path.name}: named as DICOM but is none; damaged? fetch it again or take it away")
            strangers += 1
            continue
        image = read_header(path, partial(parse_image, path=path))
        if image is None:
            others += 1
        else:
            images.append(image)
    return images, others, strangers


def _without_copies(images: list[Image]) -> list[Image]:
    """The images less those that are another's copy, byte for byte; equal SOPInstanceUIDs alone prove nothing."""
    groups: dict[str, list[Image]] = {}
    for image in images:
        groups.setdefault(image.instance or str(image.path), []).append(image)
    kept: list[Image] = []
    for group in groups.values():
        if len(group) > 1:
            digests = {hashlib.sha256(image.path.read_bytes()).digest(): image for image in reversed(group)}
            group = list(reversed(digests.values()))
        kept.extend(group)
    return kept


def _item(item: str, series: dict[str, list[Image]], path: Path) -> tuple[str, int | None]:
    """The series and the frame that `item` names."""
    name, _, frame = item.rpartition("/")
    if not name and not frame.isdecimal():
        name, frame = frame, ""
    if name not in series or not (frame == "" or frame.isdecimal()):
        known = ", ".join(sorted(series)) if len(series) > 1 else "the numbers of its frames"
        raise SourceError(f"{path.name}: no item {item!r}; expected one of: {known}")
    return name, int(frame) if frame else None

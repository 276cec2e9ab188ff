"""One DICOM file: its header as far as it matters, where its pixel data lie, and their decoding.

The only file that knows pydicom. Only the attributes in `_KEYWORDS` are parsed, so that names, dates of birth and
comments are not even read. Whatever pydicom has to say, as a warning or as a traceback, may quote the header:
warnings and its log are silenced here, and errors become a `SourceError` that names the file and the kind of error.
"""

import logging
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from numpy.typing import NDArray

from mixio.errors import SourceError, require

PHILIPS = "Philips PET Private Group"
_PHILIPS_GROUP = 0x7053
_PRIVATE = [0x70530010, 0x70530011, 0x70531000, 0x70531009, 0x70531100, 0x70531109]
_KEYWORDS = """SOPClassUID SOPInstanceUID SeriesInstanceUID PatientID Modality ImageType ConversionType
SeriesDate SeriesTime AcquisitionDate AcquisitionTime AcquisitionDateTime
Rows Columns NumberOfFrames SamplesPerPixel PhotometricInterpretation BitsAllocated BitsStored HighBit
PixelRepresentation PixelPaddingValue LossyImageCompression ModalityLUTSequence RealWorldValueMappingSequence
PixelSpacing ImageOrientationPatient ImagePositionPatient RescaleSlope RescaleIntercept RescaleType
TemporalPositionIdentifier TriggerTime InstanceNumber EchoTime
SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence
Units SUVType CorrectedImage DecayCorrection PatientWeight RadiopharmaceuticalInformationSequence""".split()
_DEFLATED = "1.2.840.10008.1.2.1.99"
_DIRECTORY = "1.2.840.10008.1.3.10"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_INTEGERS, _FLOATS = b"\xe0\x7f\x10\x00", (b"\xe0\x7f\x08\x00", b"\xe0\x7f\x09\x00")
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_OLD = {struct.pack("<2H", 8, n) for n in (0, 1, 5, 8, 0x16)} | {struct.pack("<2H", 2, n) for n in (0, 1, 2, 0x10)}
_UNDEFINED = 0xFFFFFFFF

Result = TypeVar("Result")


@dataclass(frozen=True)
class Pixels:
    """Where the pixel data of a file lie: `nbytes` of native ones, or the number of compressed `fragments`.

    `whole` is whether the file goes on to their end; `floating` whether they are FloatPixelData.
    """

    nbytes: int
    fragments: int
    whole: bool
    floating: bool = False


def is_dicom(path: Path) -> bool:
    """Whether the file at `path` begins as DICOM does: DICM after 128 bytes, or, in old files, one of `_OLD`."""
    with open(path, "rb") as file:
        start = file.read(132)
    return start[128:] == b"DICM" or start[:4] in _OLD


def read_header(path: Path, parse: Callable[[Any, Pixels | None], Result]) -> Result | None:
    """What `parse` makes of the header at `path` and of its pixel data, None if it has none.

    Raises `SourceError` for a file that cannot be parsed, and for an image without pixel data: it ended before them.
    """
    dicom = _pydicom()
    with _quiet(path, "its header"), open(path, "rb") as file:
        header = dicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=[*_KEYWORDS, *_PRIVATE])
        syntax = str(header.file_meta.get("TransferSyntaxUID", ""))
        if syntax == _DEFLATED:
            raise SourceError(f"{path.name}: TransferSyntaxUID is that of a deflated file; inflate it first")
        pixels = _locate(file, syntax, header.original_encoding[0])
        if pixels is None and _should_have_pixels(header):
            raise SourceError(f"{path.name}: the image ends before its PixelData, it is truncated; fetch it again")
        parsed = parse(header, pixels)
        if parsed is not None and not syntax:
            raise SourceError(f"{path.name}: TransferSyntaxUID is missing; repair the header or fetch the file again")
        return parsed


def decode(path: Path, numbers: Sequence[int]) -> Iterator[NDArray[Any]]:
    """The frames `numbers` (rising, from 0) of the file at `path`, each (rows, columns) of integers.

    Unused high bits, overlays among them, are taken out and the sign extended. Raises `SourceError` for pixel data
    that cannot be decoded.
    """
    dicom = _pydicom()
    with open(path, "rb") as file, closing(dicom.pixels.iter_pixels(file, indices=list(numbers), raw=True)) as frames:
        for _ in numbers:
            with _quiet(path, "its pixel data"):
                frame: NDArray[Any] = next(frames)
            yield frame


def philips_factor(header: Any, element: int) -> float | None:
    """The private Philips factor (7053,10`element`) of a PET header, None where there is none above 0."""
    try:
        value = header.private_block(_PHILIPS_GROUP, PHILIPS)[element].value
    except KeyError:
        return None
    try:
        factor = float(value.decode("ascii").strip("\0 ") if isinstance(value, bytes) else value)
    except (TypeError, ValueError, UnicodeDecodeError):
        return None
    return factor if 0 < factor < float("inf") else None


def _pydicom() -> Any:
    try:
        import pydicom
        import pydicom.pixels
    except ImportError as error:
        raise require("pydicom", "dicom") from error
    return pydicom


@contextmanager
def _quiet(path: Path, what: str) -> Iterator[None]:
    """No warnings, no log, and a line of ours for any error: pydicom raises nearly every kind for a damaged file."""
    logger = logging.getLogger("pydicom")
    was_disabled, logger.disabled = logger.disabled, True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (SourceError, OSError, MemoryError):
            raise
        except Exception as error:
            kind = type(error).__name__
            raise SourceError(f"{path.name}: {what} cannot be decoded ({kind}); fetch the file again") from error
        finally:
            logger.disabled = was_disabled


def _should_have_pixels(header: Any) -> bool:
    """Whether the header is of an image, or so short that it does not say."""
    kind, told = header.get("SOPClassUID"), header.file_meta.get("MediaStorageSOPClassUID")
    if not kind or (told and kind != told):
        return str(told) != _DIRECTORY
    return header.get("Rows") is not None or bool(kind.name.endswith("Image Storage"))


def _locate(file: BinaryIO, syntax: str, implicit: bool) -> Pixels | None:
    """The pixel data of a file that was read up to them."""
    order = ">" if syntax == _BIG_ENDIAN else "<"
    tag = file.read(4)
    if order == ">":
        tag = tag[1::-1] + tag[:1:-1]
    if tag != _INTEGERS:
        return Pixels(0, 0, True, floating=True) if tag in _FLOATS else None
    head = file.read(4)
    if not implicit and head[:2] in (b"OB", b"OW"):
        head = file.read(4)
    if len(head) < 4:
        return Pixels(0, 0, False)
    (length,) = struct.unpack(f"{order}I", head)
    if length == _UNDEFINED:
        return _fragments(file)
    held = _rest(file)
    return Pixels(min(length, held), 0, held >= length)


def _rest(file: BinaryIO) -> int:
    here = file.tell()
    return file.seek(0, 2) - here


def _fragments(file: BinaryIO) -> Pixels:
    """Walk the items of compressed pixel data from head to head; the first of them is the offset table."""
    size = Path(file.name).stat().st_size
    items = 0
    while True:
        head = file.read(8)
        if len(head) < 8 or head[:4] != _ITEM:
            return Pixels(0, max(items - 1, 0), head[:4] == _END)
        end = file.seek(struct.unpack("<I", head[4:])[0], 1)
        if end > size:
            return Pixels(0, max(items - 1, 0), False)
        items += 1

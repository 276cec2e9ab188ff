"""What a DICOM source may not be, each refused in a line that names it."""

import random
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from mixio.errors import SourceError
from mixio.readers.dicom import read_dicom
from mixio.readers.parts import ReadOptions
from tests.dicoms import SECRET, STRAIGHT, place, random_stored, write_enhanced, write_series


def change(**attributes: Any) -> Any:
    """An edit that sets attributes of slice 2 (None: takes them out), the others left as they are."""

    def edit(ds: Any, z: int) -> None:
        for keyword, value in attributes.items() if z == 2 else ():
            setattr(ds, keyword, value)
            if value is None:
                delattr(ds, keyword)

    return edit


def lie_at(way: list[float]) -> Any:
    """An edit that puts slice z at z times `way`."""
    return lambda ds, z: setattr(ds, "ImagePositionPatient", [round(z * w, 6) for w in way])


def shift(height: float, *, of: int = 2) -> Any:
    """An edit that moves slice `of` along the normal, in mm."""

    def edit(ds: Any, z: int) -> None:
        if z == of:
            x, y, h = ds.ImagePositionPatient
            ds.ImagePositionPatient = [x, y, h + height]

    return edit


def copy_of_place(ds: Any, z: int) -> None:
    place(ds, max(z, 1), STRAIGHT, (0.7, 0.9, 2.5), (0, 0, 0))


def two_at_each(ds: Any, z: int) -> None:
    place(ds, z // 2, STRAIGHT, (0.7, 0.9, 2.5), (0, 0, 0))
    del ds.AcquisitionTime, ds.InstanceNumber


def two_echoes(ds: Any, z: int) -> None:
    place(ds, z // 2, STRAIGHT, (0.7, 0.9, 2.5), (0, 0, 0))
    ds.EchoTime = 10 * (1 + z % 2)


REFUSED = {
    "missing slice": (lambda ds, z: "skip" if z == 2 else None, r"of 5\) is 5\.000 mm, usually it is 2\.500 mm"),
    "uneven gap": (shift(0.04), r"\(slices 2 and 3 of 6\) is 2\.540 mm, usually it is 2\.500 mm; is a slice missing"),
    "gantry tilt": (lie_at([0, 0.5, 2.5]), r"leans 11\.31 degrees .* \(gantry tilt\)"),
    "little tilt": (lie_at([0, 0.006, 2.5]), r"leans 0\.14 degrees .* \(gantry tilt\)"),
    "wobble": (change(ImagePositionPatient=[-10.5, 20.5, -25.125]), "slice 3 of 6 lies 0.250 mm from its place"),
    "mixed orientation": (change(ImageOrientationPatient=[0, 1, 0, 0, 0, -1]), "ImageOrientationPatient is mixed"),
    "mixed spacing": (change(PixelSpacing=[0.9, 0.8]), "PixelSpacing is mixed"),
    "mixed size": (change(Rows=2, Columns=10), r"Rows and Columns are mixed \(2 sizes\)"),
    "mixed type": (change(PixelRepresentation=0), "BitsAllocated or PixelRepresentation is mixed"),
    "one place twice": (copy_of_place, "1 to 2 images lie at one position of 5"),
    "same place": (two_at_each, "2 images lie at each position and none of TemporalPosition, AcquisitionTime"),
    "frames": (two_echoes, r"holds 2 frames of 3 slices.*choose with --frames first, mean or each"),
    "not a cosine": (lambda ds, z: setattr(ds, "ImageOrientationPatient", [2, 0, 0, 0, 1, 0]), "unit vectors"),
    "no spacing": (change(PixelSpacing=None), "PixelSpacing is missing"),
    "zero spacing": (lambda ds, z: setattr(ds, "PixelSpacing", [0, 0]), "PixelSpacing is not above 0"),
    "no position": (change(ImagePositionPatient=None), "ImagePositionPatient is missing"),
    "no orientation": (change(ImageOrientationPatient=None), "ImageOrientationPatient is missing"),
    "no rows": (change(Rows=None), "Rows is missing"),
    "no bits": (change(BitsStored=None), "BitsStored is missing"),
    "bits": (change(BitsStored=12, HighBit=13), "BitsAllocated is 16, BitsStored 12, HighBit 13"),
    "color": (change(SamplesPerPixel=3), r"SamplesPerPixel is not 1 \(color\)"),
    "palette": (change(PhotometricInterpretation="PALETTE COLOR"), "PhotometricInterpretation is not MONOCHROME2"),
    "inverted": (change(PhotometricInterpretation="MONOCHROME1"), "PhotometricInterpretation is not MONOCHROME2"),
    "zero slope": (change(RescaleSlope=0, RescaleIntercept=0), "RescaleSlope is 0"),
    "localizer": (change(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "a localizer"),
    "several patients": (change(PatientID="another"), "several patients"),
    "no series": (change(SeriesInstanceUID=None), "SeriesInstanceUID is missing"),
    "short": (change(PixelData=b"\0" * 20), "PixelData holds 20 bytes, expected 40"),
    "long": (change(PixelData=b"\0" * 80), "PixelData holds 80 bytes, expected 40"),
    "frame count": (change(NumberOfFrames=2, PixelData=b"\0" * 80), "NumberOfFrames is 2, but PerFrameFunctionalG"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_series_that_is_not_one_regular_volume_is_refused_by_name(tmp_path: Path, name: str) -> None:
    edit, reason = REFUSED[name]
    with pytest.raises(SourceError, match=reason):
        list(read_dicom(write_series(tmp_path / "s", random_stored((6, 4, 5)), edit=edit)))


@pytest.mark.parametrize("edit", [shift(0.02), lie_at([0, 0.003, 2.5]), lambda ds, z: "skip" if z == 5 else None])
def test_rounded_positions_are_no_reason_to_refuse(tmp_path: Path, edit: Any) -> None:
    (part,) = read_dicom(write_series(tmp_path / "s", random_stored((6, 4, 5)), edit=edit))
    assert part.volume.spacing[2] == pytest.approx(2.5, abs=0.01)


def test_the_mean_of_different_echoes_is_refused(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", random_stored((6, 4, 5)), edit=two_echoes)
    with pytest.raises(SourceError, match="differ in ImageType or echo time, so their mean is nothing"):
        list(read_dicom(folder, ReadOptions(frames="mean")))


@pytest.mark.parametrize("item", ["2", "s123", "0/1", "x/0"])
def test_an_item_that_is_not_there_is_named(tmp_path: Path, item: str) -> None:
    folder = write_series(tmp_path / "s", random_stored((6, 4, 5)), edit=two_echoes)
    with pytest.raises(SourceError, match=rf"s: no (item|frame) '?{item}'?.*numbers|numbered"):
        list(read_dicom(folder, ReadOptions(item=item)))


def test_one_slice_is_no_volume(tmp_path: Path) -> None:
    path = write_series(tmp_path / "s", random_stored()) / "013.dcm"
    with pytest.raises(SourceError, match=r"013\.dcm: one slice is no volume, .*; give the folder of the whole series"):
        list(read_dicom(path))


def test_an_enhanced_file_without_its_place_is_refused(tmp_path: Path) -> None:
    path = write_enhanced(
        tmp_path / "e.dcm", random_stored(), edit=lambda frame, z: z == 1 and delattr(frame, "PlanePositionSequence")
    )
    with pytest.raises(SourceError, match=r"e\.dcm: ImagePositionPatient is missing"):
        list(read_dicom(path))


@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_that_ends_early_is_refused(tmp_path: Path, share: float, compressed: bool) -> None:
    edit = (lambda ds, z: ds.compress(RLELossless)) if compressed else (lambda ds, z: None)
    folder = write_series(tmp_path / "s", random_stored((5, 64, 64)), edit=edit)
    whole = (folder / "013.dcm").read_bytes()
    (folder / "013.dcm").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(SourceError, match=r"013\.dcm: PixelData ends early, the file is truncated; fetch it again"):
        list(read_dicom(folder))


def test_a_file_that_ends_in_its_header_is_refused_wherever_that_is(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", random_stored())
    whole = (folder / "013.dcm").read_bytes()
    for end in range(0, len(whole) - 1, 3):
        (folder / "013.dcm").write_bytes(whole[:end])
        with pytest.raises(SourceError, match=r"013\.dcm"):
            list(read_dicom(folder))


def test_damage_anywhere_is_refused_or_harmless_and_never_a_traceback(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", random_stored(), edit=lambda ds, z: ds.compress(RLELossless))
    whole, chance = (folder / "013.dcm").read_bytes(), random.Random(0)
    messages = []
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[chance.randrange(132, len(whole))] = chance.randrange(256)
        end = chance.randrange(200, len(whole)) if chance.random() < 0.2 else len(whole)
        (folder / "013.dcm").write_bytes(damaged[:end])
        try:
            (part,) = read_dicom(folder)
            assert part.volume.shape == (6, 4, 5)
        except SourceError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert not [message for message in messages if "\n" in message or SECRET in message]


def test_what_is_no_dicom_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="gone: no such file or folder"):
        list(read_dicom(tmp_path / "gone"))
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(SourceError, match=r"holds no DICOM images \(0 other DICOM objects, 1 other files\)"):
        list(read_dicom(tmp_path))
    (tmp_path / "._1.dcm").write_text("x")
    with pytest.raises(SourceError, match="2 other files"):
        list(read_dicom(tmp_path))
    (tmp_path / "broken.dcm").write_text("x")
    with pytest.raises(SourceError, match=r"broken\.dcm: named as DICOM but is none"):
        list(read_dicom(tmp_path))


def test_a_deflated_file_is_refused(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", random_stored())
    ds = pydicom.dcmread(folder / "013.dcm")
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.save_as(folder / "013.dcm")
    with pytest.raises(SourceError, match=r"013\.dcm: TransferSyntaxUID is that of a deflated file; inflate it first"):
        list(read_dicom(folder))

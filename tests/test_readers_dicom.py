"""DICOM series to volumes: voxels, places and values as an independent reader has them."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from mixio.errors import PartsRefused, SourceError, SourceTooLarge
from mixio.readers.dicom import read_dicom
from mixio.readers.parts import Part, ReadOptions
from tests.dicoms import (
    SECRET,
    assert_same_in_world,
    group,
    itk_image,
    random_stored,
    write_enhanced,
    write_series,
)

OBLIQUE = [*np.array([0.8, 0.6, 0.0]), *np.array([-0.36, 0.48, 0.8])]


def read_one(path: Path, **options: Any) -> Part:
    (part,) = read_dicom(path, ReadOptions(**options))
    return part


def rewrite(folder: Path, **attributes: Any) -> Path:
    """Change attributes of every file of a folder."""
    for path in folder.iterdir():
        ds = pydicom.dcmread(path)
        for keyword, value in attributes.items():
            setattr(ds, keyword, value)
        ds.save_as(path)
    return folder


@pytest.mark.parametrize("orientation", [OBLIQUE, [0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 1, 0], [0, -1, 0, 1, 0, 0]])
def test_slices_are_ordered_by_place_and_lie_where_itk_has_them(tmp_path: Path, orientation: list[float]) -> None:
    folder = write_series(tmp_path / "s", random_stored(), orientation=orientation)
    part = read_one(folder)
    assert (part.name, part.notes, part.volume.shape) == ("", {}, (6, 4, 5))
    assert_same_in_world(part.volume, itk_image(folder))


def test_the_affine_is_the_formula_of_the_standard(tmp_path: Path) -> None:
    affine = read_one(write_series(tmp_path / "s", random_stored())).volume.affine
    expected = [[-0.7, 0, 0, 10.5], [0, -0.9, 0, -20.25], [0, 0, 2.5, -30.125], [0, 0, 0, 1]]
    np.testing.assert_allclose(affine, expected, atol=1e-9)


def test_ct_stays_integer_and_is_in_hounsfield_units(tmp_path: Path) -> None:
    def scale(ds: Any, z: int) -> None:
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1024

    stored = random_stored(dtype="uint16")
    volume = read_one(write_series(tmp_path / "s", stored, modality="CT", edit=scale)).volume
    assert (volume.voxels.dtype, volume.slope, volume.inter, volume.unit) == (np.uint16, 1.0, -1024.0, "HU")
    assert np.array_equal(volume.voxels, stored.transpose(2, 1, 0))


@pytest.mark.parametrize(("rescale_type", "unit"), [("HU", "HU"), ("US", None), ("MGML", None)])
def test_ct_of_another_rescale_type_has_no_unit(tmp_path: Path, rescale_type: str, unit: str | None) -> None:
    folder = write_series(tmp_path / "s", random_stored(), modality="CT")
    assert read_one(rewrite(folder, RescaleSlope=1, RescaleIntercept=0, RescaleType=rescale_type)).volume.unit == unit


def test_ct_of_mixed_rescale_types_has_no_unit(tmp_path: Path) -> None:
    def scale(ds: Any, z: int) -> None:
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, 0, "US" if z == 2 else "HU"

    assert read_one(write_series(tmp_path / "s", random_stored(), modality="CT", edit=scale)).volume.unit is None


def test_a_scale_of_each_slice_gives_real_values(tmp_path: Path) -> None:
    def scale(ds: Any, z: int) -> None:
        ds.RescaleSlope, ds.RescaleIntercept = 0.5 + z, z

    folder = write_series(tmp_path / "s", random_stored(), edit=scale)
    volume = read_one(folder).volume
    assert (volume.voxels.dtype, volume.slope, volume.inter) == (np.float32, 1.0, 0.0)
    assert_same_in_world(volume, itk_image(folder), rtol=1e-6)


def test_high_bits_that_are_not_stored_are_taken_out_and_signs_extended(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(-2048, 2048, (3, 4, 5)).astype(np.int16)
    overlaid = (values.view(np.uint16) & 0x0FFF) | 0x5000
    folder = write_series(tmp_path / "s", overlaid.view(np.int16))
    volume = read_one(rewrite(folder, BitsStored=12, HighBit=11)).volume
    assert np.array_equal(volume.voxels, values.transpose(2, 1, 0))


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("dtype", ["uint16", "int16"])
def test_compressed_pixels_are_those_that_were_compressed(tmp_path: Path, syntax: str, dtype: str) -> None:
    stored = random_stored((3, 36, 40), dtype) - (500 if dtype == "int16" else 0)
    folder = write_series(tmp_path / "s", stored, edit=lambda ds, z: ds.compress(syntax))
    assert np.array_equal(read_one(folder).volume.voxels, stored.transpose(2, 1, 0))


@pytest.mark.parametrize("kind", ["implicit", "bigendian", "expb", "padded", "RLE", "jp2klossless", "jpeg_ls_lossless"])
def test_one_image_in_the_encodings_of_other_software_is_the_same(tmp_path: Path, kind: str) -> None:
    volumes = []
    for name in ("MR_small", f"MR_small_{kind}"):
        (tmp_path / name).mkdir()
        for z in range(2):
            ds = pydicom.dcmread(get_testdata_file(f"{name}.dcm", download=False))
            ds.ImagePositionPatient = [0, 0, 3 * z]
            ds.save_as(tmp_path / name / f"{z}.dcm")
        volumes.append(read_one(tmp_path / name).volume)
    assert volumes[0].voxels.any()
    assert np.array_equal(volumes[0].voxels, volumes[1].voxels)


def test_a_single_file_of_many_frames_is_a_volume(tmp_path: Path) -> None:
    stored = random_stored()
    part = read_one(write_enhanced(tmp_path / "e.dcm", stored))
    classic = read_one(write_series(tmp_path / "s", stored))
    assert np.array_equal(part.volume.voxels, classic.volume.voxels)
    np.testing.assert_allclose(part.volume.affine, classic.volume.affine, atol=1e-9)


def test_frames_of_an_enhanced_file_are_ordered_by_place_and_scaled_each(tmp_path: Path) -> None:
    def reverse(group_of: Any, z: int) -> None:
        if z >= 0:
            group_of.PlanePositionSequence[0].ImagePositionPatient = [0, 0, 3.0 * (4 - z)]
            group_of.PixelValueTransformationSequence = group(RescaleSlope=1 + z, RescaleIntercept=0, RescaleType="US")

    stored = random_stored()
    volume = read_one(write_enhanced(tmp_path / "e.dcm", stored, edit=reverse)).volume
    expected = (stored * np.arange(1, 6)[:, None, None])[::-1].transpose(2, 1, 0)
    assert np.array_equal(volume.voxels, expected)
    assert volume.spacing == pytest.approx((0.7, 0.9, 3.0))


def test_enhanced_ct_says_its_unit_in_the_frame(tmp_path: Path) -> None:
    def scale(group_of: Any, z: int) -> None:
        if z >= 0:
            group_of.PixelValueTransformationSequence = group(RescaleSlope=1, RescaleIntercept=-9, RescaleType="HU")

    volume = read_one(write_enhanced(tmp_path / "e.dcm", random_stored(), modality="CT", edit=scale)).volume
    assert (volume.inter, volume.unit, volume.voxels.dtype) == (-9.0, "HU", np.int16)


def two_frames(ds: Any, z: int) -> None:
    """Slices 0, 1, 2 at the first time, 3, 4, 5 at the second, in the same places."""
    ds.ImagePositionPatient = [0, 0, 2.5 * (z % 3)]
    ds.InstanceNumber = 100 - z
    ds.TemporalPositionIdentifier = 1 + z // 3


def test_frames_in_time_are_chosen(tmp_path: Path) -> None:
    stored = random_stored((6, 4, 5))
    folder = write_series(tmp_path / "s", stored, edit=two_frames)
    early, late = stored[:3].transpose(2, 1, 0), stored[3:].transpose(2, 1, 0)
    assert np.array_equal(read_one(folder, frames="first").volume.voxels, early)
    assert np.array_equal(read_one(folder, frames="mean").volume.voxels, (early + late).astype(np.float32) / 2)
    each = list(read_dicom(folder, ReadOptions(frames="each")))
    assert [part.name for part in each] == ["t0000", "t0001"]
    assert [part.notes["frames"] for part in each] == ["0 of 2", "1 of 2"]
    assert np.array_equal(each[1].volume.voxels, late)
    assert np.array_equal(read_one(folder, item="1").volume.voxels, late)


def test_frames_of_an_enhanced_file_are_chosen_too(tmp_path: Path) -> None:
    def places(frame: Any, z: int) -> None:
        if z >= 0:
            frame.PlanePositionSequence[0].ImagePositionPatient = [0, 0, 2.5 * (z // 2)]
            frame.FrameContentSequence[0].TemporalPositionIndex = 2 - z % 2

    stored = random_stored((6, 4, 5))
    path = write_enhanced(tmp_path / "e.dcm", stored, edit=places)
    first, second = read_dicom(path, ReadOptions(frames="each"))
    assert np.array_equal(first.volume.voxels, stored[1::2].transpose(2, 1, 0))
    assert np.array_equal(second.volume.voxels, stored[::2].transpose(2, 1, 0))


def test_several_series_are_parts_and_a_bad_one_is_told_after_the_good(tmp_path: Path) -> None:
    for number in range(3):
        rewrite(write_series(tmp_path / f"{number}", random_stored()), SeriesInstanceUID=f"1.2.{number}")
    (tmp_path / "2" / "896.dcm").unlink()
    parts = read_dicom(tmp_path)
    names = [next(parts).name, next(parts).name]
    with pytest.raises(PartsRefused, match="1 of 3 series refused; .* series s[0-9a-f]{8}: .*missing") as caught:
        next(parts)
    assert names == sorted(names)
    assert len({*names, *caught.value.reasons}) == 3
    assert pickle.loads(pickle.dumps(caught.value)).reasons == caught.value.reasons
    assert read_one(tmp_path, item=names[1]).name == ""


def test_what_is_no_image_is_counted_and_passed_over(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", random_stored())
    ds = pydicom.dcmread(next(folder.iterdir()))
    ds.Modality, ds.SeriesInstanceUID = "RTSTRUCT", "9.9"
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    del ds.PixelData, ds.Rows
    ds.save_as(folder / "RS.dcm")
    (folder / "notes.txt").write_text("x")
    (folder / "copy.dcm").write_bytes((folder / "013.dcm").read_bytes())
    part = read_one(folder)
    assert part.volume.shape == (6, 4, 5)
    assert part.notes == {"skipped": "1 DICOM objects without an image, 1 other files, 1 copies"}


def test_files_of_one_instance_uid_that_differ_are_all_kept(tmp_path: Path) -> None:
    folder = rewrite(write_series(tmp_path / "s", random_stored()), SOPInstanceUID="1.2.9")
    assert read_one(folder).volume.shape == (6, 4, 5)


def test_subfolders_are_read_if_the_folder_has_no_image_and_else_noted(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "patient/series/deep", random_stored())
    assert read_one(tmp_path / "patient").notes == {}
    write_series(tmp_path / "patient", random_stored())
    assert read_one(tmp_path / "patient").notes == {"skipped": "1 subfolders"}
    assert read_one(folder).notes == {}


def test_no_text_of_the_header_gets_out(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", random_stored())
    part = read_one(rewrite(folder, LossyImageCompression="01"))
    assert part.notes == {"compression": "lossy"}
    with pytest.raises(SourceError) as caught:
        read_one(rewrite(folder, PixelSpacing=None))
    assert SECRET not in f"{part}{caught.value}"
    assert "1.2.3" not in f"{part}{caught.value}"


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_padding_is_kept_and_noted(tmp_path: Path, syntax: str) -> None:
    def pad(ds: Any, z: int) -> None:
        ds.add_new(0x00280120, "SS", -5)
        ds.file_meta.TransferSyntaxUID = syntax

    part = read_one(write_series(tmp_path / "s", random_stored(), edit=pad))
    assert part.notes == {"padding": "stored value -5, kept"}


def test_voxels_over_the_limit_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", random_stored())
    needed = 6 * 4 * 5 * 2
    assert read_one(folder, max_bytes=needed).volume.shape == (6, 4, 5)
    with pytest.raises(SourceTooLarge, match=f"s: its voxels need {needed} bytes, at most {needed - 1} are") as caught:
        read_one(folder, max_bytes=needed - 1)
    assert caught.value.needed == needed


def test_voxels_that_memory_cannot_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise MemoryError

    folder = write_series(tmp_path / "s", random_stored())
    monkeypatch.setattr("mixio.readers.dicom_series.np.empty", full)
    with pytest.raises(SourceTooLarge, match="s: its voxels need 240 bytes, more than can be had"):
        read_one(folder)


def test_a_header_that_breaks_small_rules_is_read_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_series(tmp_path / "s", random_stored())
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"1.2.3.4\0", b"1.2.3.X\0"))
    assert read_one(folder).volume.shape == (6, 4, 5)
    assert caplog.text == ""

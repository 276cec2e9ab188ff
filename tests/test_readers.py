"""Reading NIfTI: what nibabel reads, and a refusal of what cannot be trusted."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mixio.errors import SourceError
from mixio.readers import is_volume, read_volume, stem_of
from tests.conftest import write_nifti

REFUSED = {
    "made_bitflip_gz.nii.gz": "gzip stream is damaged",
    "made_truncated_gz.nii.gz": "gzip stream is damaged",
    "made_truncated_data.nii": "the header claims 214216 bytes, the file holds 142810",
    "made_singular_affine.nii": "the affine is singular or not finite",
    "made_empty.nii.gz": "not a NIfTI file",
    "made_bad_datatype.nii": "unreadable NIfTI header",
    "niivue_minimal.nii.gz": "left and right are unknown",
    "nifti-rs_rgb_3D.nii": "not one number each",
    "nibabel_example4d.nii.gz": r"shape \(128, 96, 24, 2\) is not one 3D volume",
    "nrjs_not-nifti.nii": "not a NIfTI file",
}


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_integers_keep_their_type_and_values(tmp_path: Path, dtype: str, order: str) -> None:
    limits = np.iinfo(dtype)
    voxels = np.array([limits.min, 0, 1, limits.max], dtype=dtype).reshape(2, 2, 1)
    header = nib.Nifti1Header(endianness=order)
    image = nib.Nifti1Image(voxels, np.eye(4), header, dtype=dtype)
    image.to_filename(tmp_path / "v.nii.gz")
    read = read_volume(tmp_path / "v.nii.gz").voxels
    assert read.dtype == np.dtype(dtype)
    assert read.dtype.isnative
    assert np.array_equal(read, voxels)


def test_doubles_become_float32_with_their_scale_applied(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "v.nii", np.linspace(0, 1, 8).reshape(2, 2, 2))
    volume = read_volume(path)
    assert volume.voxels.dtype == np.float32
    assert np.array_equal(volume.voxels, nib.load(path).get_fdata().astype(np.float32))


def test_scaled_integers_stay_integers_beside_slope_and_intercept(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.arange(8, dtype=np.int16).reshape(2, 2, 2), np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    image.to_filename(tmp_path / "v.nii.gz")
    volume = read_volume(tmp_path / "v.nii.gz")
    assert (volume.voxels.dtype, volume.slope, volume.inter) == (np.int16, 0.5, -3.0)
    assert np.array_equal(volume.real().voxels, nib.load(tmp_path / "v.nii.gz").get_fdata())


def test_nifti_2_is_read(tmp_path: Path) -> None:
    nib.Nifti2Image(np.ones((2, 3, 4), np.int16), np.eye(4)).to_filename(tmp_path / "v.nii")
    assert read_volume(tmp_path / "v.nii").shape == (2, 3, 4)


@pytest.mark.parametrize(("unit", "factor"), [("micron", 0.001), ("meter", 1000.0)])
def test_lengths_in_other_units_become_mm(tmp_path: Path, unit: str, factor: float) -> None:
    image = nib.Nifti1Image(np.ones((2, 3, 4), np.int16), np.diag([500.0, 500.0, 700.0, 1.0]))
    image.header.set_xyzt_units(unit)
    image.to_filename(tmp_path / "v.NII.GZ")
    assert read_volume(tmp_path / "v.NII.GZ").spacing == pytest.approx((500 * factor, 500 * factor, 700 * factor))


def test_numbers_too_large_for_float32_are_refused(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "v.nii", np.full((2, 2, 2), 1e39))
    with pytest.raises(SourceError, match="too large for float32; rescale it first"):
        read_volume(path)


def test_a_trailing_axis_of_one_is_dropped(tmp_path: Path) -> None:
    assert read_volume(write_nifti(tmp_path / "v.nii", np.ones((2, 3, 4, 1), np.int16))).shape == (2, 3, 4)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_odd_files_are_refused_by_name(real_volumes: Path, name: str) -> None:
    with pytest.raises(SourceError, match=f"{name}: .*{REFUSED[name]}"):
        read_volume(real_volumes / "odd" / name)


def test_every_odd_file_is_read_or_refused_and_never_crashes(real_volumes: Path) -> None:
    outcomes = []
    for path in sorted((real_volumes / "odd").rglob("*.nii*")):
        try:
            outcomes.append(np.isfinite(read_volume(path).affine).all())
        except SourceError as error:
            outcomes.append(path.name in str(error))
    assert len(outcomes) > 40
    assert all(outcomes)


def test_a_flipped_bit_anywhere_in_the_stream_is_noticed(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "v.nii", np.random.default_rng(0).integers(0, 99, (8, 8, 8)).astype(np.int16))
    packed = bytearray(gzip.compress(path.read_bytes()))
    packed[len(packed) // 2] ^= 4
    (tmp_path / "v.nii.gz").write_bytes(packed)
    with pytest.raises(SourceError, match="gzip stream is damaged"):
        read_volume(tmp_path / "v.nii.gz")


def test_missing_files_and_unknown_formats_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.nii: no such file"):
        read_volume(tmp_path / "gone.nii")
    (tmp_path / "scan.tiff").touch()
    with pytest.raises(SourceError, match=r"scan\.tiff: not a known format; expected one of \.nii, \.nii\.gz"):
        read_volume(tmp_path / "scan.tiff")


def test_stems_lose_the_whole_suffix() -> None:
    assert [stem_of(Path(p)) for p in ("a/b.nii.gz", "c.v1.nii")] == ["b", "c.v1"]
    assert [is_volume(Path(p)) for p in ("b.nii.gz", "B.NII", "b.gz")] == [True, True, False]

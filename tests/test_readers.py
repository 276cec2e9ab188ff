"""Which reader a path gets, which files belong to it, and what the first NIfTI files taught."""

import gzip
import os
import pickle
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mixio.errors import InvalidArgument, SourceError, SourceTooLarge
from mixio.readers import ReadOptions, files_of, is_volume, read_parts, read_volume, stem_of
from tests.conftest import write_nifti


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


def test_voxels_lie_as_in_the_file_first_axis_fastest(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "v.nii.gz", np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    assert read_volume(path).voxels.flags.f_contiguous


@pytest.mark.parametrize(("unit", "factor"), [("micron", 0.001), ("meter", 1000.0)])
def test_lengths_in_other_units_become_mm(tmp_path: Path, unit: str, factor: float) -> None:
    image = nib.Nifti1Image(np.ones((2, 3, 4), np.int16), np.diag([500.0, 500.0, 700.0, 1.0]))
    image.header.set_xyzt_units(unit)
    image.to_filename(tmp_path / "v.NII.GZ")
    assert read_volume(tmp_path / "v.NII.GZ").spacing == pytest.approx((500 * factor, 500 * factor, 700 * factor))


@pytest.mark.parametrize("dtype", ["float64", ">f8"])
def test_numbers_too_large_for_float32_are_refused(tmp_path: Path, dtype: str) -> None:
    path = write_nifti(tmp_path / "v.nii", np.full((2, 2, 2), 1e39, dtype))
    with pytest.raises(SourceError, match="too large for float32; rescale it first"):
        read_volume(path)


def test_nan_and_infinity_are_kept_for_the_converter_to_count(tmp_path: Path) -> None:
    voxels = np.array([np.nan, np.inf, -np.inf, 1.0]).reshape(2, 2, 1)
    assert np.array_equal(read_volume(write_nifti(tmp_path / "v.nii", voxels)).voxels, voxels, equal_nan=True)


def test_doubles_longer_than_a_block_are_converted_in_their_own_memory(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).standard_normal((70, 70, 70))
    path = write_nifti(tmp_path / "v.nii", voxels)
    assert np.array_equal(read_volume(path).voxels, voxels.astype(np.float32))


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8"])
def test_scaled_reals_are_scaled_once_and_for_all(tmp_path: Path, dtype: str) -> None:
    image = nib.Nifti1Image(np.arange(8, dtype=dtype).reshape(2, 2, 2), np.eye(4), dtype=dtype)
    image.header.set_slope_inter(0.5, 100)
    image.to_filename(tmp_path / "v.nii")
    volume = read_volume(tmp_path / "v.nii")
    assert (volume.slope, volume.inter, volume.voxels.dtype) == (1.0, 0.0, np.float32)
    assert np.array_equal(volume.voxels, nib.load(tmp_path / "v.nii").get_fdata())


def test_a_trailing_axis_of_one_is_dropped(tmp_path: Path) -> None:
    assert read_volume(write_nifti(tmp_path / "v.nii", np.ones((2, 3, 4, 1), np.int16))).shape == (2, 3, 4)


def test_missing_files_and_unknown_formats_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.nii: no such file"):
        read_volume(tmp_path / "gone.nii")
    (tmp_path / "scan.tiff").touch()
    with pytest.raises(SourceError, match=r"scan\.tiff: not a known format; expected one of \.nii, \.nii\.gz"):
        read_volume(tmp_path / "scan.tiff")


def test_what_the_file_system_refuses_is_a_source_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"x\.nii: cannot be read \(File name too long\); check the disk"):
        read_volume(tmp_path / ("x" * 300 + ".nii"))


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "v.nii")
    with pytest.raises(SourceError, match=r"v\.nii: neither a file nor a folder"):
        read_volume(tmp_path / "v.nii")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mgz", ".nrrd", ".mha"])
def test_a_pointer_of_git_lfs_is_told_from_damage(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"v{suffix}"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(SourceError, match="a git-LFS pointer, not the data; fetch it with git lfs pull"):
        read_volume(path)


def test_voxels_over_the_limit_are_refused_with_the_bytes_they_need(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "v.nii.gz", np.ones((10, 10, 10), np.int16))
    assert read_volume(path, ReadOptions(max_bytes=2000)).shape == (10, 10, 10)
    with pytest.raises(SourceTooLarge, match="need 2000 bytes, at most 1999 are allowed") as caught:
        read_volume(path, ReadOptions(max_bytes=1999))
    assert caught.value.needed == 2000
    assert pickle.loads(pickle.dumps(caught.value)).needed == 2000


def test_one_volume_is_expected_where_labels_are_read(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "v.nii", np.ones((2, 2, 2, 2), np.uint8))
    with pytest.raises(SourceError, match=r"v\.nii: holds several volumes, expected one"):
        read_volume(path, ReadOptions(frames="each"))


def test_options_are_checked_where_they_are_made() -> None:
    with pytest.raises(InvalidArgument, match="frames must be one of first, mean, each, got 'last'"):
        ReadOptions(frames="last")
    with pytest.raises(InvalidArgument, match="spacing must be three lengths in mm above 0"):
        ReadOptions(spacing=(1.0, 0.0, 1.0))


def test_a_part_of_a_single_volume_has_no_name_and_no_notes(tmp_path: Path) -> None:
    (part,) = read_parts(write_nifti(tmp_path / "v.nii", np.ones((2, 2, 2), np.uint8)))
    assert (part.name, part.notes) == ("", {})


def test_stems_lose_the_whole_suffix() -> None:
    paths = "a/b.nii.gz c.v1.nii d.img.gz e.MGZ f.nhdr g.mhd h.npz i.dcm j.raw k".split()
    assert [stem_of(Path(p)) for p in paths] == "b c.v1 d e f g h i j k".split()


def test_a_search_finds_headers_and_whole_files_only() -> None:
    sources = "b.nii.gz B.NII c.hdr c.hdr.gz d.mgh d.mgz e.nrrd e.nhdr f.mha F.MHD g.npz".split()
    assert all(is_volume(Path(p)) for p in sources)
    assert not any(is_volume(Path(p)) for p in "b.gz c.img c.img.gz e.raw f.zraw s.dcm s".split())


def test_the_files_of_a_source_are_all_that_it_is_read_from(tmp_path: Path) -> None:
    nib.Nifti1Pair(np.ones((2, 2, 2), np.uint8), np.eye(4)).to_filename(tmp_path / "p.hdr")
    (tmp_path / "m.mhd").write_text("NDims = 3\nElementDataFile = m.raw\n")
    (tmp_path / "n.nhdr").write_text("NRRD0004\nencoding: raw\ndata file: n.raw\n\n")
    for name in ("m.raw", "n.raw", "s/2.dcm", "s/1.dcm", "v.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = {
        name: [p.name for p in files_of(tmp_path / name)] for name in "p.hdr p.img m.mhd n.nhdr s v.nii.gz".split()
    }
    assert found["p.hdr"] == found["p.img"] == ["p.hdr", "p.img"]
    assert (found["m.mhd"], found["n.nhdr"]) == (["m.mhd", "m.raw"], ["n.nhdr", "n.raw"])
    assert (found["s"], found["v.nii.gz"]) == (["1.dcm", "2.dcm"], ["v.nii.gz"])


def test_the_files_of_what_cannot_be_read_are_itself(tmp_path: Path) -> None:
    (tmp_path / "m.mhd").write_text("ElementDataFile = ../secret.raw\n")
    names = ["m.mhd", "gone.nrrd", "gone.img", "gone.nii"]
    assert [files_of(tmp_path / name) for name in names] == [[tmp_path / name] for name in names]


def test_gzip_members_in_a_row_are_one_stream(tmp_path: Path) -> None:
    raw = write_nifti(tmp_path / "v.nii", np.arange(8, dtype=np.int16).reshape(2, 2, 2)).read_bytes()
    (tmp_path / "v.nii.gz").write_bytes(gzip.compress(raw[:100]) + gzip.compress(raw[100:]) + bytes(30))
    assert np.array_equal(read_volume(tmp_path / "v.nii.gz").voxels, np.arange(8).reshape(2, 2, 2))

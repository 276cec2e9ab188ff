"""Analyze 7.5 and SPM99 pairs: nibabel's guess where a guess is accepted, refused elsewhere."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mixio.errors import SourceError
from mixio.readers import ReadOptions, read_parts, read_volume

GUESS = ReadOptions(assume_affine=True)
VOXELS = np.random.default_rng(7).integers(-900, 900, (5, 4, 3)).astype(np.int16)


def write_pair(path: Path, kind: type = nib.AnalyzeImage, *, endian: str = ">", **fields: object) -> Path:
    """`VOXELS`, 1 x 1.5 x 2 mm, with these fields of the header."""
    header = kind.header_class(endianness=endian)
    header.set_data_dtype(VOXELS.dtype)
    header.set_data_shape(VOXELS.shape)
    header.set_zooms((1, 1.5, 2))
    path.parent.mkdir(parents=True, exist_ok=True)
    kind(VOXELS, None, header).to_filename(path)
    written = kind.header_class(path.read_bytes()[:348])
    for name, value in fields.items():
        written[name] = value
    path.write_bytes(written.binaryblock)
    return path


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("kind", [nib.AnalyzeImage, nib.Spm99AnalyzeImage])
def test_a_pair_is_what_nibabel_reads(tmp_path: Path, kind: type, endian: str) -> None:
    path = write_pair(tmp_path / "v.hdr", kind, endian=endian)
    (part,) = read_parts(path, GUESS)
    expected = nib.load(path)
    assert np.array_equal(part.volume.voxels, np.asarray(expected.dataobj))
    assert np.array_equal(part.volume.affine, expected.affine)
    assert part.notes == {"affine": "assumed"}


def test_the_guess_is_left_anterior_superior_about_the_middle(tmp_path: Path) -> None:
    volume = read_volume(write_pair(tmp_path / "v.hdr"), GUESS)
    assert volume.affine.tolist() == [[-1, 0, 0, 2], [0, 1.5, 0, -2.25], [0, 0, 2, -2], [0, 0, 0, 1]]


def test_the_origin_and_the_scale_of_spm99_are_taken(tmp_path: Path) -> None:
    path = write_pair(tmp_path / "v.hdr", nib.Spm99AnalyzeImage, origin=[2, 3, 1, 0, 0], scl_slope=0.25)
    volume = read_volume(path, GUESS)
    assert volume.affine[:3, 3].tolist() == [1, -3, 0]
    assert np.array_equal(volume.real().voxels, VOXELS * np.float32(0.25))


@pytest.mark.parametrize("options", [ReadOptions(), ReadOptions(spacing=(1, 1, 1))])
def test_without_leave_to_guess_it_is_refused_with_the_way_out(tmp_path: Path, options: ReadOptions) -> None:
    with pytest.raises(SourceError, match=r"^v\.hdr: an Analyze 7\.5 header does not say .* --assume-affine"):
        read_volume(write_pair(tmp_path / "v.hdr"), options)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"pixdim": [0, 1, 0, 1, 0, 0, 0, 0]}, r"the affine is singular or not finite"),
        ({"pixdim": [0, 1, -2, 1, 0, 0, 0, 0]}, r"a spacing of \[1\.0, -2\.0, 1\.0\] mm; repair its pixdim"),
        ({"vox_offset": -4}, "voxels cannot begin at byte -4"),
        ({"vox_offset": np.inf}, "unreadable Analyze header"),
        ({"datatype": 99}, "unreadable Analyze header"),
        ({"dim": [3, 500, 500, 500, 1, 0, 0, 0]}, "the header claims 250000000 bytes, the file holds 120; truncated"),
        ({"dim": [4, 5, 4, 1, 3, 0, 0, 0]}, "is not one 3D volume but 3 frames; choose with --frames"),
    ],
)
def test_a_broken_header_is_refused_by_name(tmp_path: Path, fields: dict, words: str) -> None:
    with pytest.raises(SourceError, match=rf"^v\.hdr: .*{words}"):
        read_volume(write_pair(tmp_path / "v.hdr", **fields), GUESS)


def test_an_analyze_header_named_nii_is_none(tmp_path: Path) -> None:
    write_pair(tmp_path / "v.hdr").rename(tmp_path / "v.nii")
    with pytest.raises(SourceError, match=r"v\.nii: not a NIfTI file"):
        read_volume(tmp_path / "v.nii", GUESS)

"""MGH and MGZ against nibabel."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mixio.errors import SourceError
from mixio.readers import ReadOptions, read_parts, read_volume
from tests.test_readers_nifti import random_affine


def theirs(path: Path) -> nib.MGHImage:
    """What nibabel reads, from memory: of a plain file it leaves the handle open."""
    content = path.read_bytes()
    return nib.MGHImage.from_bytes(gzip.decompress(content) if path.suffix == ".mgz" else content)


def write_mgh(path: Path, shape: tuple[int, ...] = (3, 4, 5), dtype: str = "int16") -> Path:
    """Random numbers under a random affine."""
    rng = np.random.default_rng(0)
    voxels = rng.integers(0, 255, shape).astype(dtype)
    nib.MGHImage(voxels, random_affine(rng).astype(np.float32)).to_filename(path)
    return path


@pytest.mark.parametrize("name", ["v.mgh", "v.mgz"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32"])
def test_voxels_and_affine_are_those_of_nibabel(tmp_path: Path, name: str, dtype: str) -> None:
    path = write_mgh(tmp_path / name, dtype=dtype)
    volume, image = read_volume(path), theirs(path)
    assert volume.voxels.dtype == np.dtype(dtype)
    assert np.array_equal(volume.voxels, np.asanyarray(image.dataobj))
    assert np.array_equal(volume.affine, image.affine)


def test_frames_are_chosen_as_in_nifti(tmp_path: Path) -> None:
    path = write_mgh(tmp_path / "v.mgz", (3, 4, 5, 2))
    with pytest.raises(SourceError, match="2 frames; choose with --frames"):
        read_volume(path)
    expected = np.asanyarray(theirs(path).dataobj)[..., 1]
    assert np.array_equal(read_volume(path, ReadOptions(item="1")).voxels, expected)


def test_without_a_good_ras_flag_the_affine_must_be_assumed(tmp_path: Path) -> None:
    path = write_mgh(tmp_path / "v.mgh")
    content = bytearray(path.read_bytes())
    content[28:30] = b"\0\0"
    path.write_bytes(content)
    with pytest.raises(SourceError, match="goodRASFlag is 0, so left and right are unknown"):
        read_volume(path)
    (part,) = read_parts(path, ReadOptions(assume_affine=True))
    assert part.notes == {"affine": "assumed"}
    assert np.array_equal(part.volume.affine, theirs(path).affine)


def test_an_mgz_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = write_mgh(tmp_path / "v.mgz")
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(SourceError, match=r"v\.mgz: "):
            read_volume(path)


@pytest.mark.parametrize(
    ("at", "what", "said"),
    [
        (0, b"\0\0\0\2", "not an MGH file of version 1"),
        (4, b"\x7f\xff\xff\xff", "the header claims .* bytes"),
        (4, b"\xff\xff\xff\xff", "has an empty axis"),
        (20, b"\0\0\0\x63", "unknown MGH voxel type 99"),
        (30, b"\x7f\xc0\0\0", "singular or not finite"),
    ],
)
def test_a_broken_header_is_refused_by_what_is_broken(tmp_path: Path, at: int, what: bytes, said: str) -> None:
    content = bytearray(gzip.decompress(write_mgh(tmp_path / "v.mgz").read_bytes()))
    content[at : at + len(what)] = what
    (tmp_path / "v.mgz").write_bytes(gzip.compress(content))
    with pytest.raises(SourceError, match=rf"v\.mgz: .*{said}"):
        read_volume(tmp_path / "v.mgz")

"""4D files: nothing is chosen unasked, and what is chosen is what nibabel has there."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mixio.errors import SourceError, SourceTooLarge
from mixio.readers import ReadOptions, read_parts, read_volume
from tests.conftest import write_nifti

VOXELS = np.random.default_rng(0).integers(-999, 999, (5, 4, 3, 12)).astype(np.int16)
NAMES = ["v.nii", "v.nii.gz"]


@pytest.fixture(params=NAMES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """`VOXELS`, plain and gzipped."""
    return write_nifti(tmp_path / request.param, VOXELS)


def test_frames_are_not_chosen_unasked(path: Path) -> None:
    with pytest.raises(SourceError, match=r"not one 3D volume but 12 frames; choose with --frames first, mean or each"):
        read_volume(path)


def test_the_first_frame_is_the_first(path: Path) -> None:
    (part,) = read_parts(path, ReadOptions(frames="first"))
    assert (part.name, part.notes) == ("", {"frames": "0 of 12"})
    assert np.array_equal(part.volume.voxels, VOXELS[..., 0])


def test_each_frame_is_a_part_named_by_its_number(path: Path) -> None:
    parts = list(read_parts(path, ReadOptions(frames="each")))
    assert [part.name for part in parts] == [f"t{n:04}" for n in range(12)]
    assert np.array_equal(np.stack([part.volume.voxels for part in parts], axis=-1), VOXELS)


@pytest.mark.parametrize("number", [0, 3, 11])
def test_an_item_is_one_frame_whatever_frames_say(path: Path, number: int) -> None:
    (part,) = read_parts(path, ReadOptions(item=str(number), frames="mean"))
    assert (part.name, part.notes) == ("", {"frames": f"{number} of 12"})
    assert np.array_equal(part.volume.voxels, VOXELS[..., number])


@pytest.mark.parametrize("item", ["12", "-1", "x", "1.0", "²"])
def test_an_item_that_is_not_there_is_refused(path: Path, item: str) -> None:
    with pytest.raises(SourceError, match=r"no item '.*'; the frames are numbered 0 to 11"):
        read_volume(path, ReadOptions(item=item))


def test_an_item_of_a_single_volume_is_refused(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "v.nii", VOXELS[..., 0])
    with pytest.raises(SourceError, match="holds one volume, so there is no item '0'"):
        read_volume(path, ReadOptions(item="0"))


@pytest.mark.parametrize("dtype", ["int16", ">i2", "uint8", "float32", "float64"])
def test_the_mean_is_that_of_the_real_values(tmp_path: Path, dtype: str) -> None:
    voxels = np.abs(VOXELS // 8).astype(dtype)
    image = nib.Nifti1Image(voxels, np.eye(4), dtype=voxels.dtype)
    image.header.set_slope_inter(0.5, 7)
    image.to_filename(tmp_path / "v.nii.gz")
    (part,) = read_parts(tmp_path / "v.nii.gz", ReadOptions(frames="mean"))
    expected = nib.load(tmp_path / "v.nii.gz").get_fdata().mean(axis=-1)
    assert (part.volume.voxels.dtype, part.notes) == (np.float32, {"frames": "mean of 12"})
    assert np.allclose(part.volume.real().voxels, expected, rtol=1e-6)


@pytest.mark.parametrize(("frames", "needed"), [("first", 120), ("each", 120), ("mean", 600)])
def test_the_limit_holds_for_one_frame_at_a_time(path: Path, frames: str, needed: int) -> None:
    list(read_parts(path, ReadOptions(frames=frames, max_bytes=needed)))
    with pytest.raises(SourceTooLarge, match=f"need {needed} bytes") as caught:
        list(read_parts(path, ReadOptions(frames=frames, max_bytes=needed - 1)))
    assert caught.value.needed == needed


@pytest.mark.parametrize("options", [ReadOptions(frames="first"), ReadOptions(frames="each"), ReadOptions(item="0")])
def test_no_frame_of_a_stream_damaged_at_its_end_is_given_away(tmp_path: Path, options: ReadOptions) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 40, 12), np.uint8)  # more than a reader buffers
    path = write_nifti(tmp_path / "v.nii.gz", noise)
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # the CRC
    path.write_bytes(content)
    with pytest.raises(SourceError, match="gzip stream is damaged"):
        next(read_parts(path, options))

"""Archives of NumPy arrays, as MedMNIST3D has them."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.lib import format as npy

from mixio.errors import SourceError, SourceTooLarge
from mixio.readers import ReadOptions, archive, read_parts, read_volume

STACK = np.random.default_rng(0).integers(0, 255, (6, 5, 4, 3), np.uint8)
SPACING = (1.0, 1.5, 2.0)


@pytest.fixture(params=[np.savez, np.savez_compressed])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An archive of images and labels."""
    request.param(tmp_path / "organ.npz", train_images=STACK, test_images=STACK[::-1], train_labels=np.zeros((6, 1)))
    return tmp_path / "organ.npz"


def options(item: str | None = "train_images/2", **more: object) -> ReadOptions:
    """An item, with the spacing that archives lack."""
    return ReadOptions(item=item, **{"spacing": SPACING, **more})


@pytest.mark.parametrize("number", range(6))
def test_an_item_is_one_volume_of_an_array(path: Path, number: int) -> None:
    (part,) = read_parts(path, options(f"test_images/{number}"))
    assert np.array_equal(part.volume.voxels, STACK[5 - number])
    assert np.array_equal(part.volume.affine, np.diag([*SPACING, 1.0]))
    assert (part.name, part.notes) == ("", {"affine": "assumed"})


def test_one_channel_is_no_channel_and_doubles_become_float32(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", a=np.asfortranarray(STACK[..., None].astype(">f8")))
    voxels = read_volume(tmp_path / "v.npz", options("a/2")).voxels
    assert voxels.dtype == np.float32
    assert np.array_equal(voxels, STACK[2])


def test_what_is_given_away_can_be_changed_without_harm(path: Path) -> None:
    read_volume(path, options()).voxels[:] = 0
    assert np.array_equal(read_volume(path, options()).voxels, STACK[2])


def test_an_array_is_inflated_once_for_all_its_volumes_and_again_when_it_changes(path: Path) -> None:
    archive._array.cache_clear()
    for number in range(6):
        read_volume(path, options(f"train_images/{number}"))
    assert archive._array.cache_info().misses == 1
    os.utime(path, ns=(1, 1))
    read_volume(path, options())
    assert archive._array.cache_info().misses == 2


def test_without_a_spacing_it_is_refused(path: Path) -> None:
    with pytest.raises(SourceError, match=r"organ\.npz: an array carries no spacing; give it in mm"):
        read_volume(path, ReadOptions(item="train_images/0", assume_affine=True))


@pytest.mark.parametrize("item", [None, "3", "train_images", "train_images/", "train_images/x"])
def test_without_an_item_the_arrays_are_named(path: Path, item: str | None) -> None:
    with pytest.raises(SourceError, match="the arrays are train_images, test_images, train_labels"):
        read_volume(path, options(item))


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("val_images/0", "no array 'val_images', only train_images"),
        ("train_images/6", "no item 6 in train_images; it holds 0 to 5"),
        ("train_labels/0", r"shape \(6, 1\) is not a stack of volumes"),
    ],
)
def test_an_item_that_is_not_there_is_refused(path: Path, item: str, said: str) -> None:
    with pytest.raises(SourceError, match=f"organ.npz: .*{said}"):
        read_volume(path, options(item))


def test_channels_and_frames_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", a=np.zeros((2, 4, 4, 4, 3), np.uint8))
    with pytest.raises(SourceError, match=r"volumes of shape \(4, 4, 4, 3\), expected one channel"):
        read_volume(tmp_path / "v.npz", options("a/0"))


@pytest.mark.parametrize("dtype", ["object", "complex64", "U3"])
def test_what_is_not_a_number_is_refused_and_never_unpickled(tmp_path: Path, dtype: str) -> None:
    np.savez(tmp_path / "v.npz", a=np.zeros((2, 4, 4, 4), dtype), allow_pickle=True)
    with pytest.raises(SourceError, match="not one number each"):
        read_volume(tmp_path / "v.npz", options("a/0"))


def test_an_array_over_the_limit_is_refused(path: Path) -> None:
    archive._array.cache_clear()
    with pytest.raises(SourceTooLarge, match="need 360 bytes, at most 359") as caught:
        read_volume(path, options(max_bytes=359))
    assert caught.value.needed == 360


def test_a_header_that_claims_more_than_its_member_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 3, 3), np.uint8))
    content = (tmp_path / "a.npy").read_bytes().replace(b"(2, 3, 3, 3)", b"(9**9,3,3,3)").replace(b"9**9", b"9999")
    with zipfile.ZipFile(tmp_path / "v.npz", "w") as file:
        file.writestr("a.npy", content)
    with pytest.raises(SourceError, match=r"an array claims \d+ bytes, the archive \d+; truncated"):
        read_volume(tmp_path / "v.npz", options("a/0"))


def test_an_archive_that_claims_more_than_deflate_can_hold_is_refused(tmp_path: Path) -> None:
    header = io.BytesIO()
    npy.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (200, 99, 99, 99)})
    with zipfile.ZipFile(tmp_path / "v.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.npy", header.getvalue())
    content = bytearray((tmp_path / "v.npz").read_bytes())
    central = content.index(b"PK\1\2")
    content[central + 24 : central + 28] = (len(header.getvalue()) + 200 * 99**3).to_bytes(4, "little")
    (tmp_path / "v.npz").write_bytes(content)
    with pytest.raises(SourceError, match="a claims more than its compressed bytes can hold"):
        read_volume(tmp_path / "v.npz", options("a/0"))


def test_a_flipped_bit_in_an_array_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    start = whole.index(b"train_images.npy") + 150  # past the headers of the archive and of the array
    for byte in range(start, start + 200, 7):
        damaged = bytearray(whole)
        damaged[byte] ^= 16
        path.write_bytes(damaged)
        archive._array.cache_clear()
        with pytest.raises(SourceError, match=r"organ\.npz: archive is damaged|not one number|claims"):
            read_volume(path, options())


def test_an_archive_cut_short_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(SourceError, match=r"organ\.npz: archive is damaged"):
            read_volume(path, options())

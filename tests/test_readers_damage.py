"""Damaged, lying and hostile files: refused with a reason, and before anything of the claimed size is allocated."""

import gzip
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mixio.errors import SourceError, SourceTooLarge
from mixio.readers import ReadOptions, read_parts, read_volume
from mixio.readers.layout import room_for
from tests.conftest import write_nifti

MIB = 1 << 20


@contextmanager
def little_memory(limit: int = 4 * MIB) -> Iterator[None]:
    """Fails if more than `limit` bytes are allocated at a time, which numpy and bytes both tell tracemalloc."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A gzipped file of 8 x 8 x 8 noise, and the same plain beside it."""
    voxels = np.random.default_rng(0).integers(0, 99, (8, 8, 8)).astype(np.int16)
    plain = write_nifti(tmp_path / "plain.nii", voxels)
    (tmp_path / "v.nii.gz").write_bytes(gzip.compress(plain.read_bytes()))
    return tmp_path / "v.nii.gz"


def claiming(path: Path, shape: tuple[int, ...], body: bytes = b"") -> Path:
    """A sound header that claims `shape` int16 voxels, followed by `body`."""
    header = nib.Nifti2Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(shape)
    header.set_sform(np.eye(4), code=1)
    header["vox_offset"] = 544
    content = header.binaryblock + bytes(4) + body
    path.write_bytes(gzip.compress(content, 9) if path.suffix == ".gz" else content)
    return path


def test_a_gzip_stream_cut_anywhere_is_refused(small: Path) -> None:
    whole = small.read_bytes()
    for length in range(len(whole)):
        small.write_bytes(whole[:length])
        with pytest.raises(SourceError, match=r"v\.nii\.gz: (gzip stream is damaged|not a NIfTI file)|claims"):
            read_volume(small)


def test_a_plain_file_cut_anywhere_is_refused(small: Path) -> None:
    path = small.with_name("plain.nii")
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(SourceError, match=r"plain\.nii: (not a NIfTI file|unreadable|.*truncated\?)"):
            read_volume(path)


def test_a_flipped_bit_in_a_gzip_stream_never_changes_a_voxel(small: Path) -> None:
    whole, right, refused = small.read_bytes(), read_volume(small).voxels, 0
    for bit in np.random.default_rng(1).choice(8 * len(whole), 200, replace=False).tolist():
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        small.write_bytes(flipped)
        try:
            assert np.array_equal(read_volume(small).voxels, right)
        except SourceError:
            refused += 1
    assert refused >= 195  # the rest hit what gzip does not check: its own time stamp and the like


def test_any_flipped_bit_of_a_plain_header_is_read_or_refused(small: Path) -> None:
    path = small.with_name("plain.nii")
    whole = path.read_bytes()
    for bit in range(8 * 352):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            parts = list(read_parts(path, ReadOptions(frames="first", assume_affine=True, max_bytes=MIB)))
        except SourceError:
            continue
        assert np.isfinite(parts[0].volume.affine).all()


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
@pytest.mark.parametrize("shape", [(32767,) * 3, (2**40, 2**10, 2**10), (2**31, 2**31, 2**31)])
def test_a_header_that_claims_more_than_the_file_can_hold_is_refused(tmp_path: Path, name: str, shape: tuple) -> None:
    path = claiming(tmp_path / name, shape, bytes(5000))
    with little_memory(), pytest.raises(SourceError, match=r"the header claims \d+ bytes, .*truncated\?"):
        read_volume(path)


def test_a_claim_that_compression_makes_possible_meets_the_memory_limit(tmp_path: Path) -> None:
    path = claiming(tmp_path / "v.nii.gz", (256, 256, 256), bytes(2 * 256**3))
    assert path.stat().st_size * 1032 > 2 * 256**3
    with little_memory(), pytest.raises(SourceTooLarge, match="need 33554432 bytes, at most 1048576 are allowed"):
        read_volume(path, ReadOptions(max_bytes=MIB))


def test_a_stream_that_inflates_on_and_on_is_refused_early(tmp_path: Path) -> None:
    path = claiming(tmp_path / "v.nii.gz", (4, 4, 4), bytes(200 * MIB))
    with little_memory(), pytest.raises(SourceError, match="more than 1048576 bytes follow the 672 that the header"):
        read_volume(path)


def test_a_stream_shorter_than_claimed_is_refused(tmp_path: Path) -> None:
    path = claiming(tmp_path / "v.nii.gz", (10, 10, 10), bytes(1999))
    with pytest.raises(SourceError, match="the header claims 2544 bytes, the stream holds 2543; truncated?"):
        read_volume(path)


def test_a_plain_file_much_longer_than_claimed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="more than 1048576 bytes follow"):
        read_volume(claiming(tmp_path / "v.nii", (4, 4, 4), bytes(2 * MIB)))


def test_little_may_follow_the_voxels(tmp_path: Path) -> None:
    assert read_volume(claiming(tmp_path / "v.nii.gz", (4, 4, 4), bytes(1000))).shape == (4, 4, 4)


@pytest.mark.parametrize("rest", [b"garbage", b"\0\0x", b"\x1f\x8b\x08"])
def test_garbage_behind_a_gzip_stream_is_refused(small: Path, rest: bytes) -> None:
    small.write_bytes(small.read_bytes() + rest)
    with pytest.raises(SourceError, match="gzip stream is damaged .*; fetch the file again"):
        read_volume(small)


def test_zeros_behind_a_gzip_stream_are_padding(small: Path) -> None:
    small.write_bytes(small.read_bytes() + bytes(1000))
    assert read_volume(small).shape == (8, 8, 8)


@pytest.mark.parametrize("negative", [-1, -32768])
def test_a_negative_axis_is_refused(small: Path, negative: int) -> None:
    path = small.with_name("plain.nii")
    content = bytearray(path.read_bytes())
    content[42:44] = negative.to_bytes(2, "little", signed=True)
    path.write_bytes(content)
    with pytest.raises(SourceError, match="has an empty axis|unreadable"):
        read_volume(path)


def test_memory_that_cannot_be_had_is_a_source_too_large() -> None:
    said = "v: its voxels need 1152921504606846976 bytes, more than can be had"
    with pytest.raises(SourceTooLarge, match=said), room_for(2**60, "v"):
        np.empty(2**60, np.uint8)


@pytest.mark.parametrize("dtype", ["int16", ">i2", "float64"])
def test_one_volume_needs_its_own_memory_and_little_more(tmp_path: Path, dtype: str) -> None:
    voxels = np.random.default_rng(0).integers(0, 99, (160, 160, 160)).astype(dtype)
    path = write_nifti(tmp_path / "v.nii.gz", voxels)
    with little_memory(voxels.nbytes + 7 * MIB):
        read_volume(path)

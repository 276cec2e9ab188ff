"""Patches out of blobs: equal to slicing the whole, in threads, forks and spawned processes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from mixio import shards
from mixio.blob import Grid, plan_grid
from mixio.codec import Codec
from mixio.errors import InvalidArgument, StoreError
from mixio.normalize import apply_linear
from mixio.patches import Patch, read_patches
from mixio.row import Blob
from tests.arrays import cache_of, read_region, write_array
from tests.small_array import GRID, SHAPE, VOXELS, the_array, the_blobs, way  # noqa: F401

flips = st.tuples(*[st.sampled_from([slice(None), slice(None, None, -1)])] * 3)
"""Views of the same memory, in the opposite order along some axes."""


def expected(corner: tuple[int, ...], size: tuple[int, ...]) -> np.ndarray:
    padded = np.pad(VOXELS, 64, constant_values=-7)
    return padded[tuple(slice(c + 64, c + 64 + s) for c, s in zip(corner, size, strict=True))]


@given(data=st.data())
def test_any_patch_equals_slicing_the_padded_whole(array: Path, blobs: list[Blob], data: st.DataObject) -> None:
    size = data.draw(st.tuples(*[st.integers(1, 45)] * 3))
    corner = tuple(data.draw(st.integers(1 - s, n - 1)) for s, n in zip(size, SHAPE, strict=True))
    assert np.array_equal(read_region(cache_of(array.parent), blobs, GRID, corner, size), expected(corner, size))


@given(data=st.data())
def test_patches_read_together_equal_patches_read_alone(array: Path, blobs: list[Blob], data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.tuples(*[st.integers(1, 45)] * 3), min_size=1, max_size=5))
    corners = [tuple(data.draw(st.integers(1 - s, n - 1)) for s, n in zip(z, SHAPE, strict=True)) for z in sizes]
    linear = data.draw(st.sampled_from([None, (0.01, 0.5), (-0.3, 0.1)]))
    targets = [np.empty(size, np.int16 if linear is None else np.float32)[data.draw(flips)] for size in sizes]
    wanted = [Patch(blobs, GRID, c, t, linear) for c, t in zip(corners, targets, strict=True)]
    read_patches(cache_of(array.parent), wanted)
    for corner, size, target in zip(corners, sizes, targets, strict=True):
        voxels = expected(corner, size)
        if linear is not None:
            apply_linear(voxels, linear, out=(floats := np.empty(size, np.float32)))
            voxels = floats
        assert np.array_equal(target, voxels)


def read_by_us() -> int:
    """Bytes that this process has read from files, by the kernel's count."""
    line = Path("/proc/self/io").read_text().splitlines()[0]
    return int(line.removeprefix("rchar: "))


def test_of_many_patches_each_stored_byte_is_read_once(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(0, 2**15, (64, 64, 64)).astype(np.int16)
    grid = plan_grid(voxels.shape, "int16", 0, chunk=16)
    blobs, cache = write_array(tmp_path, "0", voxels, grid), cache_of(tmp_path)
    targets = [np.empty((32, 32, 32), np.int16) for _ in range(8)]
    patches = [Patch(blobs, grid, (16, 16, i), target) for i, target in enumerate(targets)]
    read_patches(cache, patches)
    before = read_by_us()
    read_patches(cache, patches)
    read = read_by_us() - before
    chunks = cache.open(blobs[0], grid).index[1:3, 1:3, 0:3, 1].sum()
    assert int(chunks) <= read <= int(chunks) + 2000


def test_patches_that_share_chunks_decode_them_once(
    array: Path, blobs: list[Blob], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded, decode = [], shards.decode_chunk
    monkeypatch.setattr(shards, "compiled", lambda: None)
    monkeypatch.setattr(shards, "decode_chunk", lambda *args: decoded.append(1) or decode(*args))
    targets = [np.empty((8, 8, 8), np.int16) for _ in range(3)]
    corners = [(16, 8, 0), (17, 8, 0), (20, 8, 0)]
    read_patches(cache_of(array.parent), [Patch(blobs, GRID, *pair) for pair in zip(corners, targets, strict=True)])
    assert len(decoded) == 2


@pytest.mark.parametrize(
    ("target", "linear"),
    [
        (np.empty((4, 4, 4), np.int32), None),
        (np.empty((4, 4, 4), np.int16), (1.0, 0.0)),
        (np.empty((4, 4, 4), np.int16).transpose(2, 1, 0), None),
        (np.frombuffer(bytes(128), np.int16).reshape(4, 4, 4), None),
    ],
)
def test_an_array_that_cannot_hold_the_patch_is_refused(
    array: Path, blobs: list[Blob], target: np.ndarray, linear: tuple[float, float] | None
) -> None:
    with pytest.raises(InvalidArgument, match="with its last axis contiguous, got int"):
        read_patches(cache_of(array.parent), [Patch(blobs, GRID, (0, 0, 0), target, linear)])


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_array_is_read_as_zarr_python_reads_it_from_both_containers(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    shape = data.draw(st.tuples(*[st.integers(1, 40)] * 3))
    dtype = data.draw(st.sampled_from(["int8", "uint8", "int16", "uint16", "int32", "float32", "float64"]))
    codec = Codec.parse(data.draw(st.sampled_from(["lz4:5:bitshuffle", "lz4:5", "zstd:1", "none"])))
    shard_bytes = data.draw(st.sampled_from([None, 4096]))
    grid = replace(
        plan_grid(shape, dtype, 3, chunk=data.draw(st.integers(1, 20)), shard_bytes=shard_bytes), codec=codec
    )
    voxels = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 100, shape).astype(dtype)
    voxels[: data.draw(st.integers(0, shape[0]))] = 3  # chunks that are not stored
    size = tuple(data.draw(st.integers(1, n)) for n in shape)
    corner = tuple(data.draw(st.integers(0, n - s)) for s, n in zip(size, shape, strict=True))
    root = tmp_path_factory.mktemp("array")
    blobs = write_array(root, "0", voxels, grid)
    with (root / "tar").open("wb") as tar:
        tar.write(bytes(1536))
        members = [Blob("tar", tar.tell(), tar.write((root / blob.path).read_bytes()), blob.crc32c) for blob in blobs]
    reference = zarr.open_array(root / "0", mode="r")[tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))]
    for stored in (blobs, members):
        patch = read_region(cache_of(root), stored, grid, corner, size)
        assert patch.dtype == reference.dtype
        assert np.array_equal(patch, reference)
        turned = np.empty(size, dtype)[data.draw(flips)]
        read_patches(cache_of(root), [Patch(stored, grid, corner, turned)])
        assert np.array_equal(turned, reference)


def test_patches_equal_those_of_zarr_python(array: Path, blobs: list[Blob]) -> None:
    reference = zarr.open_array(array, mode="r")
    assert np.array_equal(
        read_region(cache_of(array.parent), blobs, GRID, (3, 5, 1), (20, 11, 7)), reference[3:23, 5:16, 1:8]
    )


def test_an_array_of_many_shards_is_read_across_their_borders(tmp_path: Path) -> None:
    grid = plan_grid(SHAPE, "int16", -7, chunk=8, shard_bytes=4096)
    assert max(grid.shards) > 1
    blobs = write_array(tmp_path, "0", VOXELS, grid)
    patch = read_region(cache_of(tmp_path), blobs, grid, (-2, 3, -1), (39, 15, 10))
    assert np.array_equal(patch, expected((-2, 3, -1), (39, 15, 10)))


def test_only_the_chunks_of_the_patch_are_read(array: Path, blobs: list[Blob], monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    decode = shards.decode_chunk
    monkeypatch.setattr(shards, "compiled", lambda: None)
    monkeypatch.setattr(shards, "decode_chunk", lambda *args: decoded.append(1) or decode(*args))
    read_region(cache_of(array.parent), blobs, GRID, (17, 9, 0), (7, 7, 8))
    assert len(decoded) == 1


@pytest.mark.parametrize("corner", [(37, 0, 0), (0, -4, 0)])
def test_a_patch_outside_the_volume_is_refused(array: Path, blobs: list[Blob], corner: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidArgument, match=r"lies outside a volume of \(37, 20, 9\)"):
        read_region(cache_of(array.parent), blobs, GRID, corner, (4, 4, 4))


def test_a_patch_of_nothing_is_refused(array: Path, blobs: list[Blob]) -> None:
    with pytest.raises(InvalidArgument, match=r"at least 1 voxel on each of 3 axes, got \(0, 4, 4\)"):
        read_region(cache_of(array.parent), blobs, GRID, (0, 0, 0), (0, 4, 4))


def test_a_grid_of_one_chunk_reads_a_single_voxel(tmp_path: Path) -> None:
    grid = Grid((1, 1, 1), (1, 1, 1), (1, 1, 1), "uint8", 0)
    blobs = write_array(tmp_path, "0", np.array([[[9]]], np.uint8), grid)
    assert read_region(cache_of(tmp_path), blobs, grid, (0, 0, 0), (1, 1, 1)).item() == 9


def test_more_voxels_than_there_is_memory_for_are_an_error(array: Path, blobs: list[Blob]) -> None:
    with pytest.raises(StoreError, match="no memory for .* voxels of int16; read smaller patches"):
        read_region(cache_of(array.parent), blobs, GRID, (0, 0, 0), (10**5,) * 3)

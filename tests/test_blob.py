"""The shard encoding: what zarr-python and tensorstore read is what was put in, and damage is noticed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mixio import blob
from mixio.errors import DamagedChunkError, InvalidArgument
from mixio.stores.zarr import write_array

DTYPES = ["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32"]


def written(folder: Path, voxels: NDArray[Any], grid: blob.Grid) -> Path:
    list(write_array(folder, "0", voxels, grid))
    return folder / "0"


@pytest.mark.parametrize("dtype", DTYPES)
def test_zarr_and_tensorstore_read_every_type(tmp_path: Path, dtype: str) -> None:
    voxels = np.random.default_rng(0).integers(0, 120, (21, 30, 9)).astype(dtype)
    path = written(tmp_path, voxels, blob.plan_grid(voxels.shape, dtype, 3, chunk=8))
    assert np.array_equal(zarr.open_array(path, mode="r")[:], voxels)
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
    assert np.array_equal(tensorstore.open(spec).result().read().result(), voxels)


def test_an_array_of_many_shards_is_read_by_zarr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blob, "SHARD_BYTES", 4096)
    voxels = np.random.default_rng(0).integers(0, 120, (40, 17, 23)).astype(np.int16)
    grid = blob.plan_grid(voxels.shape, "int16", 0, chunk=8)
    path = written(tmp_path, voxels, grid)
    assert np.prod(grid.shards) > 4
    assert np.array_equal(zarr.open_array(path, mode="r")[:], voxels)


def test_chunks_of_background_are_left_out(tmp_path: Path) -> None:
    voxels = np.full((64, 64, 64), -1000, np.int16)
    voxels[:8, :8, :8] = np.random.default_rng(0).integers(0, 99, (8, 8, 8))
    grid = blob.plan_grid(voxels.shape, "int16", -1000, chunk=8)
    data = blob.encode_shard(voxels, grid)
    index = blob.decode_index(data[-blob.index_bytes(grid) :], grid, "here")
    assert sum(not blob.is_missing(entry) for entry in index.reshape(-1, 2)) == 1
    assert np.array_equal(zarr.open_array(written(tmp_path, voxels, grid), mode="r")[:], voxels)


@settings(max_examples=30)
@given(shape=st.tuples(*[st.integers(1, 40)] * 3), chunk=st.integers(1, 16))
def test_a_grid_covers_its_array_in_whole_chunks(shape: tuple[int, int, int], chunk: int) -> None:
    grid = blob.plan_grid(shape, "int16", 0, chunk=chunk)
    for n, c, s in zip(shape, grid.chunk, grid.shard, strict=True):
        assert s % c == 0
        assert s >= n
        assert c == min(chunk, n)


def test_a_volume_over_half_a_gibibyte_gets_several_shards() -> None:
    grid = blob.plan_grid((1024, 1024, 800), "int16", 0)
    assert np.prod(grid.shard) * 2 <= 512 * 2**20
    assert np.prod(grid.shards) == 4


def test_any_flipped_bit_of_a_chunk_is_noticed() -> None:
    chunk = np.random.default_rng(0).integers(0, 99, (8, 8, 8)).astype(np.int16)
    grid = blob.Grid((8, 8, 8), (8, 8, 8), (8, 8, 8), "int16", 0)
    data = blob.encode_chunk(chunk)
    assert np.array_equal(blob.decode_chunk(data, grid, "here"), chunk)
    for position in range(0, len(data), 7):
        damaged = bytearray(data)
        damaged[position] ^= 1
        with pytest.raises(DamagedChunkError, match="here: a chunk does not match its checksum"):
            blob.decode_chunk(bytes(damaged), grid, "here")


def test_a_chunk_of_another_type_is_not_taken_for_this_one() -> None:
    data = blob.encode_chunk(np.arange(512, dtype=np.int16).reshape(8, 8, 8))
    with pytest.raises(DamagedChunkError, match="has not the size that the manifest says"):
        blob.decode_chunk(data, blob.Grid((8, 8, 8), (8, 8, 8), (8, 8, 8), "int32", 0), "here")


def test_a_damaged_index_is_noticed() -> None:
    grid = blob.plan_grid((8, 8, 8), "int16", 0)
    footer = bytearray(blob.encode_shard(np.ones((8, 8, 8), np.int16), grid)[-blob.index_bytes(grid) :])
    footer[0] ^= 1
    with pytest.raises(DamagedChunkError, match="index does not match its checksum"):
        blob.decode_index(bytes(footer), grid, "here")


def test_a_chunk_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="chunk must be at least 1 voxel, got 0"):
        blob.plan_grid((4, 4, 4), "int16", 0, chunk=0)

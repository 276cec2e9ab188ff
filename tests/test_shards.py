"""Open shards: a bounded cache for threads and forks, and damage told by name."""

import os
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from mixio import shards
from mixio.blob import crc32c, index_bytes
from mixio.errors import DamagedChunkError, StoreError
from mixio.row import Blob
from mixio.shards import ShardCache
from tests.arrays import cache_of, read_region, write_array
from tests.small_array import GRID, SHAPE, VOXELS, the_array, the_blobs, way  # noqa: F401


def test_files_stay_bounded_and_close(
    array: Path, blobs: list[Blob], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "MAX_OPEN_FILES", 4)
    cache = cache_of(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(12):
        read_region(cache, write_array(tmp_path, f"{number}/0", VOXELS, GRID), GRID, (0, 0, 0), (8, 8, 8))
    assert len(os.listdir("/proc/self/fd")) - before <= 4
    del cache
    assert len(os.listdir("/proc/self/fd")) == before


def test_threads_share_a_cache_that_keeps_dropping_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "MAX_OPEN_FILES", 2)
    arrays = [write_array(tmp_path, f"{number}/0", VOXELS + np.int16(number), GRID) for number in range(8)]
    cache = cache_of(tmp_path)

    def corner_value(i: int) -> int:
        return int(read_region(cache, arrays[i % 8], GRID, (36, 19, 8), (1, 1, 1))[0, 0, 0])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(corner_value, range(400))) == [VOXELS[36, 19, 8] + i % 8 for i in range(400)]


def total(cache: ShardCache, blobs: list[Blob]) -> int:
    return int(read_region(cache, blobs, GRID, (0, 0, 0), SHAPE).sum())


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_cache_used_in_the_parent_works_in_a_child(array: Path, blobs: list[Blob], method: str) -> None:
    cache = cache_of(array.parent)
    here = total(cache, blobs)
    with ProcessPoolExecutor(1, mp_context=get_context(method)) as pool:
        assert pool.submit(total, cache, blobs).result(timeout=60) == here == int(VOXELS.sum())
    assert isinstance(pickle.loads(pickle.dumps(cache)), ShardCache)


def test_damage_names_the_file(tmp_path: Path) -> None:
    blobs = write_array(tmp_path, "0", VOXELS, GRID)
    shard = tmp_path / "0" / "c" / "0" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[content.index(b"\n") + 30] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DamagedChunkError, match="c/0/0/0: a chunk does not match its checksum"):
        read_region(cache_of(tmp_path), blobs, GRID, (0, 0, 0), SHAPE)
    shard.write_bytes(content[:-1])
    with pytest.raises(DamagedChunkError, match="truncated, it ends before byte"):
        read_region(cache_of(tmp_path), blobs, GRID, (0, 0, 0), SHAPE)
    shard.unlink()
    with pytest.raises(StoreError, match="the shard is missing"):
        read_region(cache_of(tmp_path), blobs, GRID, (0, 0, 0), SHAPE)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ((2**64 - 2, 8), "points past the end of the shard"),
        ((0, 2**63), "points past the end of the shard"),
        ((10**6, 100), "points past the end of the shard"),
        ((128, 3), "a chunk does not match its checksum"),
        ((0, 500), "a chunk does not match its checksum"),
    ],
)
def test_a_forged_index_ends_in_an_error(tmp_path: Path, entry: tuple[int, int], reason: str) -> None:
    (blob,) = write_array(tmp_path, "0", VOXELS, GRID)
    content = bytearray((tmp_path / blob.path).read_bytes())
    start = len(content) - index_bytes(GRID)
    index = np.frombuffer(bytes(content[start:-4]), "<u8").reshape(-1, 2).copy()
    index[-1] = entry
    content[start:] = index.tobytes() + crc32c(index.tobytes())
    (tmp_path / blob.path).write_bytes(content)
    with pytest.raises(DamagedChunkError, match=reason):
        read_region(cache_of(tmp_path), [blob], GRID, (0, 0, 0), SHAPE)


@pytest.mark.parametrize("values", [{"nbytes": 2**62}, {"offset": 2**62}, {"offset": 1}])
def test_a_blob_said_to_be_larger_than_its_file_is_refused(tmp_path: Path, values: dict[str, int]) -> None:
    (blob,) = write_array(tmp_path, "0", VOXELS, GRID)
    with pytest.raises(DamagedChunkError, match="truncated, it ends before byte"):
        read_region(cache_of(tmp_path), [replace(blob, **values)], GRID, (0, 0, 0), SHAPE)

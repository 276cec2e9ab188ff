"""What a patch weighs, against the bytes that are really in the shards."""

from pathlib import Path

import numpy as np
import pytest
import zarr

from mixio.convert import convert
from mixio.dataset import MixtureDataset
from mixio.mixture import Mixture
from mixio.settings import Settings
from mixio.store import Store, open_store
from tests.conftest import write_nifti
from tools.bench_work import Work, stored_bytes


def work_of(store: Store, domain: str, size: int = 8) -> Work:
    return Work(MixtureDataset(store, Mixture({domain: 1.0}), patch_size=size), 2)


def test_a_patch_of_the_whole_volume_weighs_all_its_chunks(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(1, 1000, (32, 32, 32)).astype(np.int16)
    write_nifti(tmp_path / "in" / "ct" / "a.nii.gz", voxels)
    convert(tmp_path / "in", tmp_path / "store", settings=Settings(chunk=16, val_fraction=0), jobs=0)
    weight = work_of(open_store(tmp_path / "store"), "ct", 32).weigh()
    (shard,) = (tmp_path / "store" / "ct").glob("*/0/c/0/0/0")
    index = shard.read_bytes()[-8 * 16 - 4 : -4]  # Zarr v3: offset and length of each of 8 chunks, then a crc32c
    assert weight.stored == np.frombuffer(index, "<u8").reshape(8, 2)[:, 1].sum()
    assert weight.chunk == weight.stored / 8
    assert weight.voxels == 32**3 * 2


def test_files_are_the_shards_of_the_domains_drawn_from(small_store: Store) -> None:
    work = work_of(small_store, "pet")
    files = work.files()
    assert files
    for path in files:
        assert path.is_relative_to(Path(small_store.path) / "pet")
        assert path.name != "zarr.json"
    assert stored_bytes(work.rows()) == sum(path.stat().st_size for path in files)


def test_a_cold_turn_reads_a_quarter_of_the_store_at_most(small_store: Store) -> None:
    work = work_of(small_store, "pet")
    read = work.cold_patches() * work.weigh().stored
    quarter = sum(path.stat().st_size for path in work.files()) / 4
    assert quarter - work.weigh().stored <= read <= quarter


def test_requests_are_the_draws_of_the_data_set(small_store: Store) -> None:
    work = work_of(small_store, "abdomen-ct")
    name, corner = work.requests(3, 1)[0]
    array = zarr.open_array(f"{small_store.path}/{name}/0", mode="r")
    x, y, z = corner
    expected = np.asarray(array[x : x + 8, y : y + 8, z : z + 8])
    (patch,) = small_store.read_patches([(name, corner)], size=(8, 8, 8))
    np.testing.assert_array_equal(patch, expected)
    assert work.requests(0, 3, 2)[1] == work.requests(2, 1)[0]


def test_a_store_on_disk_is_local(small_store: Store) -> None:
    assert work_of(small_store, "pet").is_local


@pytest.mark.parametrize("size", [8, 64])
def test_patches_larger_than_a_volume_weigh_no_more_than_it(small_store: Store, size: int) -> None:
    work = work_of(small_store, "pet", size)
    assert 0 < work.weigh().stored < max(path.stat().st_size for path in work.files())

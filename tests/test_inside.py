"""Files of a store are files, and in it."""

import os
import shutil
from pathlib import Path

import pytest

from mixio.errors import StoreError
from mixio.store import Store, open_store
from mixio.stores.inside import refuse_outside
from mixio.stores.storage import storage_of

SHARD = "pet/0/0/c/0/0/0"


@pytest.fixture
def root(small_store: Store, tmp_path: Path) -> Path:
    return shutil.copytree(small_store.path, tmp_path / "store")


def test_files_missing_files_and_links_within_the_store_pass(root: Path) -> None:
    (root / "pet/link").symlink_to(root / SHARD)
    (root.parent / "elsewhere").symlink_to(root)
    for name in (SHARD, "pet/gone", "pet/link"):
        refuse_outside(storage_of(root), name)
        refuse_outside(storage_of(root.parent / "elsewhere"), name)
    refuse_outside(storage_of("s3://bucket/store"), "anything")


@pytest.mark.parametrize("target", ["/etc/passwd", "/dev/zero", "../../../../../../../../outside", "/nowhere/at/all"])
def test_a_link_out_of_the_store_is_refused_and_not_followed(root: Path, target: str) -> None:
    (root / SHARD).unlink()
    (root / SHARD).symlink_to(target)
    for read in (lambda: open_store(root).read("pet/0"), lambda: refuse_outside(storage_of(root), SHARD)):
        with pytest.raises(StoreError, match="leads out of the store, to /.*; it is not read"):
            read()


def test_a_folder_that_is_a_link_out_of_the_store_is_refused(root: Path, small_store: Store) -> None:
    shutil.rmtree(root / "pet/0")
    (root / "pet/0").symlink_to(Path(small_store.path) / "pet/0")
    with pytest.raises(StoreError, match="leads out of the store"):
        open_store(root).occupancy("pet/0")


@pytest.mark.parametrize("name", ["zarr.json", "manifest.json", "manifest.parquet"])
def test_the_files_that_open_a_store_are_held_to_it_too(root: Path, small_store: Store, name: str) -> None:
    (root / name).unlink()
    (root / name).symlink_to(Path(small_store.path) / name)
    with pytest.raises(StoreError, match="leads out of the store"):
        open_store(root)


def test_pipes_devices_folders_and_loops_are_refused_at_once(root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "loop").symlink_to(root / "loop")
    for name in ("pipe", "pet"):
        with pytest.raises(StoreError, match="is not a file; remove it and run"):
            refuse_outside(storage_of(root), name)
    with pytest.raises(StoreError, match=r"loop: cannot be read \(Too many levels of symbolic links\)"):
        refuse_outside(storage_of(root), "loop")

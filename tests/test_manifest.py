"""The manifest says again what was written into it, and refuses what it cannot know."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mixio.errors import DamagedStoreError, StoreError
from mixio.manifest import NAME, SIDECAR, Manifest, check_version, write_manifest
from mixio.store import Store
from mixio.stores.storage import storage_of


def test_rows_come_back_as_they_were(tmp_path: Path, small_store: Store) -> None:
    rows = [small_store.row(name) for name in small_store.names()]
    assert write_manifest(storage_of(tmp_path), rows) == len(rows)
    manifest = Manifest(storage_of(tmp_path))
    assert list(manifest.rows()) == rows
    assert [manifest.row(row.name) for row in reversed(rows)] == rows[::-1]
    assert isinstance(rows[0].background, int)


def test_names_are_found_by_domain_and_split(small_store: Store) -> None:
    manifest = Manifest(small_store.storage)
    rows = list(manifest.rows())
    assert manifest.names() == [row.name for row in rows]
    assert manifest.names("pet", "val") == [row.name for row in rows if (row.domain, row.split) == ("pet", "val")]
    assert manifest.names("liver") == []
    for name in ("pet/9", "pet", "liver/0", "pet/"):
        with pytest.raises(KeyError):
            manifest.row(name)


def test_any_parquet_reader_opens_it(small_store: Store) -> None:
    table = pq.read_table(Path(small_store.path) / NAME)
    assert table.column("domain").to_pylist() == ["abdomen-ct"] * 6 + ["brain-t1"] * 4 + ["pet"] * 3
    assert table.column("statistics")[0].as_py()["min"] == -1000.0


def test_the_fingerprint_is_that_of_content_and_split(tmp_path: Path, small_store: Store) -> None:
    rows = [small_store.row(name) for name in small_store.names()]
    write_manifest(storage_of(tmp_path), rows)
    assert Manifest(storage_of(tmp_path)).fingerprint == small_store.fingerprint
    write_manifest(storage_of(tmp_path), rows[:-1])
    assert Manifest(storage_of(tmp_path)).fingerprint != small_store.fingerprint


def test_a_newer_schema_and_an_older_one_are_refused() -> None:
    with pytest.raises(StoreError, match="schema version 3 is newer than 2, the newest known here; upgrade mixio"):
        check_version(3, "store")
    with pytest.raises(StoreError, match="schema version 1 is older than 2; convert into a new store"):
        check_version(1, "store")


def test_a_missing_or_damaged_manifest_is_named(tmp_path: Path, small_store: Store) -> None:
    with pytest.raises(StoreError, match=r"half-written, manifest.parquet is missing; run `mixio convert` again"):
        Manifest(storage_of(tmp_path))
    shutil.copy(Path(small_store.path) / SIDECAR, tmp_path)
    with pytest.raises(StoreError, match=r"half-written, manifest.parquet is missing"):
        Manifest(storage_of(tmp_path))
    content = bytearray((Path(small_store.path) / NAME).read_bytes())
    content[len(content) // 2] ^= 16
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(DamagedStoreError, match=r"manifest.parquet: does not match its checksum"):
        Manifest(storage_of(tmp_path))
    (tmp_path / SIDECAR).write_text(json.dumps({"schema_version": 2}))
    with pytest.raises(DamagedStoreError, match=r"manifest.json: not readable"):
        Manifest(storage_of(tmp_path))

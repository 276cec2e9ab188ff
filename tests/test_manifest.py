"""The manifest says again what was written into it, and refuses what it cannot know."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mixio.errors import StoreError
from mixio.manifest import NAME, check_version, read_manifest, write_manifest
from mixio.store import Store


def test_rows_come_back_as_they_were_sorted_by_name(tmp_path: Path, small_store: Store) -> None:
    rows = [small_store.row(name) for name in small_store.names()]
    write_manifest(tmp_path, reversed(rows))
    assert read_manifest(tmp_path) == rows
    assert isinstance(rows[0].background, int)


def test_any_parquet_reader_opens_it(small_store: Store) -> None:
    table = pq.read_table(Path(small_store.path) / NAME)
    assert table.column("domain").to_pylist() == ["abdomen-ct"] * 6 + ["brain-t1"] * 4 + ["pet"] * 3
    assert table.column("statistics")[0].as_py()["min"] == -1000.0


def test_a_newer_schema_is_refused() -> None:
    with pytest.raises(StoreError, match="schema version 2 is newer than 1, the newest known here; upgrade mixio"):
        check_version(2, Path("store"))


def test_a_missing_or_broken_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="half-written, manifest.parquet is missing; run `mixio convert` again"):
        read_manifest(tmp_path)
    (tmp_path / NAME).write_bytes(b"PAR1 nonsense")
    with pytest.raises(StoreError, match="not a readable manifest"):
        read_manifest(tmp_path)

"""The manifest says again what was written into it, and refuses what it cannot know."""

import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixio.blob import extend_crc32c
from mixio.errors import DamagedStoreError, StoreError
from mixio.manifest import INDEX, NAME, SIDECAR, Manifest, check_version, remove_manifest, write_manifest
from mixio.row import Row
from mixio.store import Store
from mixio.stores.parquet import Table
from mixio.stores.sidecar import sidecar_bytes
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
    assert [*manifest.volumes()] == [row.name for row in rows]
    assert [*manifest.volumes("pet", "val")] == [row.name for row in rows if (row.domain, row.split) == ("pet", "val")]
    assert [*manifest.volumes("liver")] == []
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


def forge(folder: Path, table: pa.Table, rows: int | None = None) -> None:
    """A manifest of this table, with the checksum file that belongs to it."""
    pq.write_table(table, folder / NAME)
    content = (folder / NAME).read_bytes()
    count = table.num_rows if rows is None else rows
    (folder / SIDECAR).write_bytes(sidecar_bytes(count, len(content), extend_crc32c(0, content)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.drop_columns(["key"]), "is no manifest of a store"),
        (lambda t: t.drop_columns(["split"]), "is no manifest of a store"),
        (lambda t: t.take([1, 0, *range(2, 13)]), "its rows are not in the order of their names"),
        (lambda t: t.take([0, 0, *range(2, 13)]), "its rows are not in the order of their names"),
        (lambda t: t.take([*range(12, -1, -1)]), "its rows are not in the order of their names"),
        (lambda t: t.take([12, *range(12)]), "its rows are not in the order of their names"),
    ],
)
def test_a_forged_manifest_is_refused_when_it_is_opened(
    tmp_path: Path, small_store: Store, change: Callable[[pa.Table], pa.Table], reason: str
) -> None:
    forge(tmp_path, change(pq.read_table(Path(small_store.path) / NAME)))
    with pytest.raises(DamagedStoreError, match=rf"manifest\.parquet: .*{reason}"):
        Manifest(storage_of(tmp_path))


@pytest.mark.parametrize("name", ["blobs", "shape", "affine", "dtype", "notes", "statistics"])
def test_a_manifest_without_a_column_that_rows_need_is_refused(tmp_path: Path, small_store: Store, name: str) -> None:
    forge(tmp_path, pq.read_table(Path(small_store.path) / NAME).drop_columns([name]))
    with pytest.raises(DamagedStoreError, match=rf"manifest\.parquet: is no manifest of a store \('{name}'\)"):
        Manifest(storage_of(tmp_path))


def test_another_number_of_rows_than_told_and_no_parquet_at_all_are_refused(tmp_path: Path, small_store: Store) -> None:
    forge(tmp_path, pq.read_table(Path(small_store.path) / NAME), rows=12)
    with pytest.raises(DamagedStoreError, match=r"manifest\.json: says 12 rows, manifest\.parquet has 13"):
        Manifest(storage_of(tmp_path))
    (tmp_path / NAME).write_bytes(b"PAR1 or not")
    (tmp_path / SIDECAR).write_bytes(sidecar_bytes(13, 11, extend_crc32c(0, b"PAR1 or not")))
    with pytest.raises(DamagedStoreError, match=r"manifest\.parquet: is no manifest of a store"):
        Manifest(storage_of(tmp_path))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", "[" * 100_000, '{"schema_version": 3}', '{"schema_version": 2, "rows": 1e999}', "\udcff",
     '{"schema_version": 2, "rows": "13"}', '{"schema_version": 2}', '{"schema_version": 3, "rows": 13}'],
)  # fmt: skip
def test_a_checksum_file_that_says_nothing_is_damage(tmp_path: Path, small_store: Store, text: str) -> None:
    shutil.copy(Path(small_store.path) / NAME, tmp_path)
    (tmp_path / SIDECAR).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DamagedStoreError, match=r"manifest\.json: not readable"):
        Manifest(storage_of(tmp_path))


@pytest.mark.parametrize("name", [INDEX, NAME])
def test_a_bit_that_flips_while_the_manifest_is_open_is_not_read_as_a_row(
    tmp_path: Path, small_store: Store, name: str
) -> None:
    rows = [small_store.row(name) for name in small_store.names()]
    write_manifest(storage_of(tmp_path), rows)
    manifest, content = Manifest(storage_of(tmp_path)), (tmp_path / name).read_bytes()
    assert [*manifest.volumes()] == [row.name for row in manifest.table.rows()]
    for place in np.random.default_rng(0).integers(8 * len(content), size=300).tolist():
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        with (tmp_path / name).open("r+b") as file:
            file.write(changed)
        for read in (manifest.rows, manifest.table.rows, lambda: map(manifest.row, manifest.volumes())):
            with suppress(DamagedStoreError):
                assert list(read()) == rows


@pytest.mark.slow
def test_every_flipped_bit_of_the_index_is_refused_on_opening_or_on_reading(tmp_path: Path, small_store: Store) -> None:
    rows = [small_store.row(name) for name in small_store.names()][:2]
    write_manifest(storage_of(tmp_path), rows)
    content = (tmp_path / INDEX).read_bytes()
    for place in range(8 * len(content)):
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        (tmp_path / INDEX).write_bytes(changed)
        with pytest.raises(DamagedStoreError, match=r"manifest\.index: .*does not match its checksum"):
            list(Manifest(storage_of(tmp_path)).rows())


def test_an_index_of_another_manifest_or_none_or_half_of_one_is_refused(tmp_path: Path, small_store: Store) -> None:
    rows = [small_store.row(name) for name in small_store.names()]
    write_manifest(storage_of(tmp_path), rows[:-1])
    other = (tmp_path / INDEX).read_bytes()
    write_manifest(storage_of(tmp_path), rows)
    for content in (other, b"", (tmp_path / INDEX).read_bytes()[:-1]):
        (tmp_path / INDEX).write_bytes(content)
        with pytest.raises(DamagedStoreError, match=r"manifest\.index: does not match its checksum in manifest\.json"):
            Manifest(storage_of(tmp_path))
    (tmp_path / INDEX).unlink()
    with pytest.raises(StoreError, match=r"half-written, manifest\.index is missing; run `mixio convert` again"):
        Manifest(storage_of(tmp_path))


def test_a_store_of_before_the_index_opens_the_same(tmp_path: Path, small_store: Store, caplog: Any) -> None:
    forge(tmp_path, pq.read_table(Path(small_store.path) / NAME))
    old, new = Manifest(storage_of(tmp_path)), small_store.manifest
    assert [*old.rows()] == [*new.rows()] == [old.row(name) for name in new.volumes()]
    assert old.fingerprint == new.fingerprint
    assert "has no manifest.index; run `mixio convert` again to open it sooner" in caplog.text
    again = pickle.loads(pickle.dumps(old))
    assert again.row("pet/0") == new.row("pet/0")


def test_removing_the_manifest_leaves_no_file_of_it(tmp_path: Path, small_store: Store) -> None:
    write_manifest(storage_of(tmp_path), small_store.manifest.rows())
    remove_manifest(storage_of(tmp_path))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_manifest_that_is_written_anew_is_not_taken_for_the_one_that_was_pickled(
    tmp_path: Path, small_store: Store
) -> None:
    rows = list(small_store.manifest.rows())
    write_manifest(storage_of(tmp_path), rows)
    sent = pickle.dumps(Manifest(storage_of(tmp_path)))
    assert [*pickle.loads(sent).rows()] == rows
    write_manifest(storage_of(tmp_path), rows[:-1])
    with pytest.raises(StoreError, match="its manifest has been written anew since .*; open the store again"):
        pickle.loads(sent)


domains = st.sampled_from(["ct", "ct-2", "ct2", "mr"])
keys = st.text("abAB01._-", min_size=1, max_size=3).filter(lambda key: key not in (".", ".."))


@given(st.dictionaries(st.tuples(domains, keys), st.sampled_from(["train", "val", "test"]), max_size=12))
def test_names_are_a_sequence_that_equals_the_list_of_them(
    small_store: Store, splits: dict[tuple[str, str], str]
) -> None:
    row = small_store.row("pet/0")
    rows = [replace(moved(row, *place), split=splits[place]) for place in sorted(splits, key="/".join)]
    with TemporaryDirectory() as folder:
        write_manifest(storage_of(folder), rows)
        manifest = Manifest(storage_of(folder))
        for domain, split in product([None, "ct", "ct-2", "ct2", "mr", "pet"], [None, "train", "val", "test", "x"]):
            names = manifest.volumes(domain, split)
            plain = [r.name for r in rows if domain in (None, r.domain) and split in (None, r.split)]
            assert (len(names), [*names], [names[i] for i in range(len(plain))]) == (len(plain), plain, plain)
            assert (names[1:], names[::-2], [*pickle.loads(pickle.dumps(names))]) == (plain[1:], plain[::-2], plain)
            assert [names[i - len(plain)] for i in range(len(plain))] == plain
            with pytest.raises(IndexError):
                names[len(plain)]
        assert [*manifest.table.rows()] == [*manifest.rows()] == rows


def test_domains_whose_names_begin_alike_are_found_whatever_their_order(tmp_path: Path, small_store: Store) -> None:
    row = small_store.row("pet/0")
    rows = sorted(
        (moved(row, domain, key) for domain in ("ct", "ct-2", "ct2") for key in ("a", "B", "a-1", "a.1", "0")),
        key=lambda row: row.name,
    )
    write_manifest(storage_of(tmp_path), rows)
    manifest = Manifest(storage_of(tmp_path))
    assert [*manifest.volumes()] == [row.name for row in rows]
    assert manifest.domains == ("ct", "ct-2", "ct2")
    assert [manifest.row(row.name) for row in rows] == rows


def moved(row: Row, domain: str, key: str) -> Row:
    """The row of another name."""
    path = f"{domain}/{key}"
    blobs = tuple(replace(blob, path=blob.path.replace(row.path, path)) for blob in row.blobs)
    return replace(row, domain=domain, key=key, path=path, blobs=blobs)


def test_records_are_columns_of_rows(small_store: Store) -> None:
    found = list(small_store.manifest.records(["key", "shape", "blobs.list.element.nbytes"]))
    rows = list(small_store.manifest.rows())
    assert [record["key"] for record in found] == [row.key for row in rows]
    assert [tuple(record["shape"]) for record in found] == [row.shape for row in rows]
    assert [[blob["nbytes"] for blob in record["blobs"]] for record in found] == [
        [blob.nbytes for blob in row.blobs] for row in rows
    ]


def test_shapes_are_those_of_the_rows(small_store: Store) -> None:
    manifest = Manifest(small_store.storage)
    for names in (manifest.volumes(), manifest.volumes("brain-t1", "train"), manifest.volumes("liver")):
        expected = [list(manifest.row(name).shape) for name in names]
        assert manifest.shapes(names).tolist() == manifest.shapes(list(names)).tolist() == expected
    names = ["pet/2", "abdomen-ct/5", "pet/2"]
    assert Manifest(small_store.storage).shapes(manifest.volumes("pet")).shape == (3, 3)
    assert manifest.shapes(names).tolist() == [list(manifest.row(name).shape) for name in names]
    with pytest.raises(KeyError, match="pet/9"):
        manifest.shapes(["pet/9"])


@pytest.mark.parametrize(
    ("shape", "reason"), [([9, 9], "not three numbers"), (None, "not three numbers"), ([9, 0, 9], "without voxels")]
)
def test_forged_shapes_are_refused(tmp_path: Path, small_store: Store, shape: list[int] | None, reason: str) -> None:
    table = pq.read_table(Path(small_store.path) / NAME)
    shapes = [*table["shape"].to_pylist()[1:], shape]
    pq.write_table(pa.table({"shape": pa.array(shapes, pa.list_(pa.int64()))}), tmp_path / NAME)
    with pytest.raises(DamagedStoreError, match=rf"manifest\.parquet: is no manifest of a store \(a .*{reason}"):
        Table(tmp_path / NAME, str(tmp_path / NAME)).shapes()


def test_shapes_of_another_number_of_rows_are_refused(tmp_path: Path, small_store: Store) -> None:
    write_manifest(storage_of(tmp_path), small_store.manifest.rows())
    told = json.loads((tmp_path / SIDECAR).read_bytes())
    pq.write_table(pq.read_table(tmp_path / NAME).slice(0, 12), tmp_path / NAME)
    content = (tmp_path / NAME).read_bytes()
    (tmp_path / SIDECAR).write_bytes(sidecar_bytes(13, len(content), extend_crc32c(0, content), told["index"]))
    manifest = Manifest(storage_of(tmp_path))
    with pytest.raises(DamagedStoreError, match=r"manifest\.parquet: has 12 rows, manifest\.index 13"):
        manifest.shapes(manifest.volumes())


def test_an_empty_manifest_opens(tmp_path: Path) -> None:
    assert write_manifest(storage_of(tmp_path), []) == 0
    manifest = Manifest(storage_of(tmp_path))
    assert (len(manifest), [*manifest.volumes()], manifest.domains, list(manifest.rows())) == (0, [], (), [])
    assert manifest.shapes(manifest.volumes()).shape == (0, 3)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows_that_are_written_or_looked_up(tmp_path: Path) -> None:
    def peak_mb(what: str, count: int) -> float:
        words = ["--do", what, str(tmp_path / str(count)), str(count)]
        command = [sys.executable, "-m", "benchmarks.bench_manifest", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
        return float(json.loads(done.stdout.splitlines()[-1])["peak_mb"])

    few = {what: peak_mb(what, 1000) for what in ("write", "open_store", "open and 20000 row()", "open and inspect")}
    for what, megabytes in few.items():
        assert peak_mb(what, 50_000) < megabytes + 200
    assert max(few.values()) < 400

"""The index is read by position, from a folder as from a bucket; what was forged is refused before it costs much."""

import json
import os
import uuid
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixio.blob import extend_crc32c
from mixio.errors import DamagedStoreError, StoreError
from mixio.manifest import Manifest, write_manifest
from mixio.row import Row, row_to_line
from mixio.store import Store
from mixio.stores import index
from mixio.stores.index import NAME, Index, read_tables, reader_of
from mixio.stores.index_writer import IndexWriter
from mixio.stores.objects import ObjectStorage
from mixio.stores.storage import storage_of
from tests.servers import s3, s3_log, s3_server  # noqa: F401


@pytest.fixture(scope="module")
def rows(small_store: Store) -> list[Row]:
    return list(small_store.manifest.rows())


def made(rows: list[Row]) -> tuple[bytes, bytes]:
    """The lines and the tables of an index."""
    writer = IndexWriter()
    whole = b"".join(writer.pieces(rows))
    return whole.removesuffix(writer.tables), writer.tables


def test_lines_are_rows_and_tables_say_where_they_lie(rows: list[Row]) -> None:
    lines, tables = made(rows)
    assert lines == b"".join(map(row_to_line, rows))
    head, _, rest = tables.partition(b"\n")
    assert json.loads(head)["domains"] == {"abdomen-ct": 6, "brain-t1": 4, "pet": 3}
    ends = np.frombuffer(rest, "<i8", 14)
    assert [lines[a:b] for a, b in pairwise(ends)] == lines.splitlines(keepends=True)
    assert rest.endswith(b"012345" + b"0123" + b"012")


def test_a_line_in_the_place_of_another_is_refused(rows: list[Row]) -> None:
    first, second = rows[0], replace(rows[1], key="0", path="abdomen-ct/0", blobs=rows[0].blobs)
    lines, tables = made([first, rows[1]])
    swapped = row_to_line(second)
    length = len(row_to_line(rows[1]))
    opened = Index(tables, lambda offset, size: swapped if size == length else lines[offset : offset + size], "here")
    assert opened.row(0) == first
    with pytest.raises(DamagedStoreError, match=r"here: what it says of abdomen-ct/1 does not match its checksum"):
        opened.row(1)


def forged(tables: bytes, **says: Any) -> bytes:
    """Tables of which the first line says something else."""
    head, _, rest = tables.partition(b"\n")
    return json.dumps({**json.loads(head), **says}).encode() + b"\n" + rest


def with_column(tables: bytes, number: int, value: int) -> bytes:
    """Tables with another number in the second place of a column; 13 rows."""
    start = tables.index(b"\n") + 1 + sum([8 * 14, 8 * 14, 4 * 13][:number])
    dtype = np.dtype(index.COLUMNS[number])
    changed = np.array([value], dtype).tobytes()
    at = start + dtype.itemsize
    return tables[:at] + changed + tables[at + dtype.itemsize :]


FORGED: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda t: b"",
    "no head": lambda t: b"[]\n",
    "more rows": lambda t: forged(t, rows=10**9),
    "fewer rows": lambda t: forged(t, rows=12),
    "rows below none": lambda t: forged(t, rows=-1),
    "longer lines": lambda t: forged(t, lines=2**60),
    "other domains": lambda t: forged(t, domains={"pet": 14}),
    "domains as a list": lambda t: forged(t, domains=["pet"]),
    "no splits": lambda t: forged(t, splits=[]),
    "a line far away": lambda t: with_column(t, 0, 2**60),
    "a line before the file": lambda t: with_column(t, 0, -1),
    "a key far away": lambda t: with_column(t, 1, 2**60),
    "an unknown split": lambda t: with_column(t, 3, 999),
}


@pytest.mark.parametrize("name", sorted(FORGED))
def test_forged_tables_are_refused_on_opening(rows: list[Row], name: str) -> None:
    lines, tables = made(rows)
    with pytest.raises(DamagedStoreError, match=r"here: is no index of a store \(.*\); run `mixio convert` again"):
        Index(FORGED[name](tables), lambda offset, size: lines[offset : offset + size], "here")


@pytest.mark.parametrize("line", [b"", b"[]\n", b"{}\n", b"3\n", b"[" * 100_000, b"\xff\n", b"null\n"])
def test_a_forged_line_is_no_row(rows: list[Row], line: bytes) -> None:
    _, tables = made(rows[:1])
    crc = np.array([extend_crc32c(0, line)], "<u4").tobytes()
    start = tables.index(b"\n") + 1 + 16 + 16
    opened = Index(tables[:start] + crc + tables[start + 4 :], lambda offset, size: line, "here")
    with pytest.raises(DamagedStoreError, match=r"here: what it says of abdomen-ct/0 is no row"):
        opened.row(0)


def test_a_forged_line_of_another_volume_is_not_taken_for_this_one(rows: list[Row]) -> None:
    _, tables = made(rows[:1])
    line = row_to_line(rows[1])
    start = tables.index(b"\n") + 1 + 16 + 16
    crc = np.array([extend_crc32c(0, line)], "<u4").tobytes()
    opened = Index(tables[:start] + crc + tables[start + 4 :], lambda offset, size: line, "here")
    with pytest.raises(DamagedStoreError, match=r"here: has abdomen-ct/1 in the place of abdomen-ct/0"):
        opened.row(0)


def test_an_index_that_is_cut_short_while_it_is_open_is_damage(tmp_path: Path, rows: list[Row]) -> None:
    write_manifest(storage_of(tmp_path), rows)
    manifest = Manifest(storage_of(tmp_path))
    os.truncate(tmp_path / NAME, 100)
    with pytest.raises(DamagedStoreError, match=r"what it says of pet/0 does not match its checksum"):
        manifest.row("pet/0")


def test_an_index_that_is_replaced_while_it_is_open_stays_what_it_was(tmp_path: Path, rows: list[Row]) -> None:
    write_manifest(storage_of(tmp_path), rows)
    manifest = Manifest(storage_of(tmp_path))
    write_manifest(storage_of(tmp_path), rows[:3])
    assert [*manifest.rows()] == [manifest.row(row.name) for row in rows] == rows


def test_no_file_stays_open_when_a_manifest_is_let_go(tmp_path: Path, rows: list[Row]) -> None:
    write_manifest(storage_of(tmp_path), rows)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        Manifest(storage_of(tmp_path)).row("pet/0")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("kept_whole", [2**25, 0])
def test_a_bucket_gives_the_same_rows_read_whole_or_by_ranges(
    rows: list[Row],
    s3: str,  # noqa: F811
    small_store: Store,
    monkeypatch: pytest.MonkeyPatch,
    kept_whole: int,
) -> None:
    monkeypatch.setattr(index, "_KEPT_WHOLE", kept_whole)
    place = ObjectStorage(f"{s3}/{uuid.uuid4().hex}")
    write_manifest(place, rows)
    manifest = Manifest(place)
    assert [*manifest.rows()] == [manifest.row(row.name) for row in rows] == [*manifest.table.rows()] == rows
    assert manifest.fingerprint == small_store.fingerprint
    assert place.read(NAME) == (Path(small_store.path) / NAME).read_bytes()


def test_a_damaged_parquet_file_or_index_in_a_bucket_is_refused(rows: list[Row], s3: str) -> None:  # noqa: F811
    place = ObjectStorage(f"{s3}/{uuid.uuid4().hex}")
    write_manifest(place, rows)
    content = bytearray(place.read("manifest.parquet"))
    content[50] ^= 1
    place.write("manifest.parquet", bytes(content))
    with pytest.raises(DamagedStoreError, match=r"manifest\.parquet: does not match its checksum"):
        list(Manifest(place).records(["key"]))
    place.write(NAME, place.read(NAME)[:-1] + b"?")
    with pytest.raises(DamagedStoreError, match=r"manifest\.index: does not match its checksum"):
        Manifest(place)
    place.delete("manifest.parquet")
    with pytest.raises(StoreError, match=r"half-written, manifest\.parquet is missing"):
        Manifest(place)


def test_tables_and_lines_are_read_apart(tmp_path: Path, rows: list[Row]) -> None:
    write_manifest(storage_of(tmp_path), rows)
    told = json.loads((tmp_path / "manifest.json").read_text())["index"]
    lines, tables = made(rows)
    assert read_tables(storage_of(tmp_path), told) == tables
    assert reader_of(storage_of(tmp_path))(0, len(lines)) == lines

"""The journal of a conversion survives a crash in the middle of a line, and refuses volumes in another's place."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from mixio.errors import InvalidArgument
from mixio.journal import Claim, Entry, Journal, files_of_volume
from mixio.row import Row
from mixio.store import Store
from mixio.stores.storage import storage_of


def claim_of(row: Row, stamp: str = "as.it-was") -> Claim:
    return Claim(row.source, row.name, row.subject, row.split, "told", "here", stamp)


def add(journal: Journal, *rows: Row) -> None:
    for row in rows:
        journal.add(Entry(claim_of(row), "digest", (row.name,), (row.path,)), [row])


@pytest.fixture
def rows(small_store: Store) -> list[Row]:
    return [small_store.row(name) for name in small_store.names()[:3]]


def opened(folder: Path) -> Journal:
    return Journal(storage_of(folder))


def test_rows_come_back_in_the_order_of_their_names(tmp_path: Path, rows: list[Row]) -> None:
    add(opened(tmp_path), *reversed(rows))
    assert list(opened(tmp_path).rows()) == rows
    assert opened(tmp_path).entry(rows[0].source) == Entry(
        claim_of(rows[0]), "digest", (rows[0].name,), (rows[0].path,)
    )


def test_a_torn_line_is_forgotten_and_the_rest_kept(tmp_path: Path, rows: list[Row]) -> None:
    add(opened(tmp_path), *rows[:2])
    path = tmp_path / ".mixio" / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    again = opened(tmp_path)
    assert list(again.rows()) == rows[:1]
    add(again, rows[1])
    assert list(opened(tmp_path).rows()) == rows[:2]


def test_a_line_with_a_flipped_bit_is_not_believed(tmp_path: Path, rows: list[Row]) -> None:
    add(opened(tmp_path), *rows)
    path = tmp_path / ".mixio" / "journal.jsonl"
    content = bytearray(path.read_bytes())
    content[content.index(b"\n") + 50] ^= 1
    path.write_bytes(content)
    again = opened(tmp_path)
    assert (again.names(), again.damaged) == ([rows[0].name, rows[2].name], 1)


def test_the_latest_word_on_a_source_counts_and_its_old_files_are_known(tmp_path: Path, rows: list[Row]) -> None:
    first, second, _ = rows
    moved = replace(first, domain="torso", path=f"torso/{first.key}", blobs=())
    add(opened(tmp_path), first, second, moved)
    again = opened(tmp_path)
    assert again.names() == [second.name, moved.name]
    assert again.superseded == files_of_volume(first)
    add(again, first)
    assert opened(tmp_path).names() == [first.name, second.name]
    assert not opened(tmp_path).superseded & files_of_volume(first)


def test_a_removed_source_and_a_touched_one(tmp_path: Path, rows: list[Row]) -> None:
    first, second, _ = rows
    journal = opened(tmp_path)
    add(journal, first, second)
    journal.remove(first.source)
    journal.see(claim_of(second, "another.stamp"))
    again = opened(tmp_path)
    assert again.names() == [second.name]
    assert again.entry(first.source) is None
    assert again.entry(second.source).claim.stamp == "another.stamp"


def test_what_is_packed_lies_in_its_tar(tmp_path: Path, rows: list[Row]) -> None:
    journal = opened(tmp_path)
    add(journal, *rows)
    journal.pack([replace(row, path="abdomen-ct/000000.tar") for row in rows[:2]])
    again = opened(tmp_path)
    assert [row.path for row in again.rows()] == ["abdomen-ct/000000.tar"] * 2 + [rows[2].path]
    assert again.entry(rows[0].source).paths == ("abdomen-ct/000000.tar",)


def test_rows_of_a_packing_that_was_cut_short_count_for_nothing_ever_after(tmp_path: Path, rows: list[Row]) -> None:
    packed = [replace(row, path="abdomen-ct/000000.tar") for row in rows]
    journal = opened(tmp_path)
    add(journal, *rows)
    before = (tmp_path / ".mixio" / "journal.jsonl").stat().st_size
    journal.pack(packed)
    path = tmp_path / ".mixio" / "journal.jsonl"
    lines = path.read_bytes()[before:].splitlines(keepends=True)
    os.truncate(path, before + sum(map(len, lines[:-1])))
    assert [row.path for row in opened(tmp_path).rows()] == [row.path for row in rows]
    opened(tmp_path).pack(packed)
    assert [row.path for row in opened(tmp_path).rows()] == ["abdomen-ct/000000.tar"] * 3


def test_a_volume_in_anothers_place_is_refused(tmp_path: Path, rows: list[Row]) -> None:
    first, second, _ = rows
    journal = opened(tmp_path)
    add(journal, first)
    with pytest.raises(InvalidArgument, match=f"{first.name} is in the store already, from another source"):
        journal.refuse_clashes([replace(claim_of(second), name=first.name)])
    with pytest.raises(InvalidArgument, match=r"its subject is in the split '.*' of the store, not in 'other'"):
        journal.refuse_clashes([replace(claim_of(second), subject=first.subject, split="other")])
    journal.refuse_clashes([replace(claim_of(first, "as.copied"), place="moved")])
    journal.refuse_clashes([replace(claim_of(first), split="val")])

"""The journal of a conversion survives a crash in the middle of a line, and refuses volumes in another's place."""

from dataclasses import replace
from pathlib import Path

import pytest

from mixio.errors import InvalidArgument, StoreError
from mixio.journal import Claim, Journal, locked, stamp_of
from mixio.row import Row
from mixio.store import Store


def claim_of(row: Row, stamp: str = "as-it-was") -> Claim:
    return Claim(row.source, row.name, row.subject, row.split, "here", stamp)


@pytest.fixture
def rows(small_store: Store) -> list[Row]:
    return [replace(small_store.row(name), blobs=()) for name in small_store.names()[:2]]


def test_a_torn_line_is_forgotten_and_the_rest_kept(tmp_path: Path, rows: list[Row]) -> None:
    first, second = rows
    journal = Journal(tmp_path)
    journal.add(first, claim_of(first))
    journal.add(second, claim_of(second))
    path = tmp_path / ".mixio" / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    again = Journal(tmp_path)
    assert again.rows() == [first]
    assert again.finished(claim_of(first))
    assert not again.finished(claim_of(second))
    again.add(second, claim_of(second))
    assert Journal(tmp_path).rows() == [first, second]


def test_a_volume_whose_shards_are_gone_is_not_finished(tmp_path: Path, small_store: Store) -> None:
    row = small_store.row(small_store.names()[0])
    journal = Journal(tmp_path)
    journal.add(row, claim_of(row))
    assert not journal.finished(claim_of(row))


def test_stamps_change_with_size_time_and_what_the_table_says(tmp_path: Path) -> None:
    file = tmp_path / "scan.nii"
    file.write_text("before")
    first = stamp_of([file], "ct")
    assert stamp_of([file], "ct") == first != stamp_of([file], "pet")
    file.write_text("after it")
    assert stamp_of([file], "ct") != first


def test_a_volume_in_anothers_place_is_refused(tmp_path: Path, rows: list[Row]) -> None:
    first, second = rows
    journal = Journal(tmp_path)
    journal.add(first, claim_of(first))
    with pytest.raises(InvalidArgument, match=f"{first.name} is in the store already, from another source"):
        journal.refuse_clashes([replace(claim_of(second), name=first.name)])
    with pytest.raises(InvalidArgument, match="its subject is in the split '.*' of the store, not in 'other'"):
        journal.refuse_clashes([replace(claim_of(second), subject=first.subject, split="other")])
    with pytest.raises(InvalidArgument, match="is that of another file, converted before from another folder"):
        journal.refuse_clashes([replace(claim_of(first, "changed"), place="there")])
    journal.refuse_clashes([replace(claim_of(first), place="moved"), replace(claim_of(first, "changed"), split="val")])


def test_a_second_converter_is_refused(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(StoreError, match="another conversion is writing here; wait for it to end"),
        locked(tmp_path),
    ):
        pass

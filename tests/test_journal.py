"""The journal of a conversion survives a crash in the middle of a line."""

from pathlib import Path

from mixio.journal import Journal, stamp_of
from mixio.store import Store


def test_a_torn_line_is_forgotten_and_the_rest_kept(tmp_path: Path, small_store: Store) -> None:
    first, second = (small_store.row(name) for name in small_store.names()[:2])
    journal = Journal(tmp_path)
    journal.add(first, [1, 2])
    journal.add(second, [3, 4])
    path = tmp_path / ".mixio" / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    again = Journal(tmp_path)
    assert again.rows() == [first]
    assert again.finished(first.source, [1, 2])
    assert not again.finished(second.source, [3, 4])
    again.add(second, [3, 4])
    assert Journal(tmp_path).rows() == [first, second]


def test_a_source_that_changed_is_not_finished(tmp_path: Path, small_store: Store) -> None:
    row = small_store.row(small_store.names()[0])
    file = tmp_path / "scan.nii"
    file.write_text("before")
    journal = Journal(tmp_path)
    journal.add(row, stamp_of(file))
    assert journal.finished(row.source, stamp_of(file))
    file.write_text("after it")
    assert not journal.finished(row.source, stamp_of(file))

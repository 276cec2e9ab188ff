"""The quarantine of a store, read back."""

import json
from pathlib import Path

from mixio.inspection.faults import EXAMPLES, MAX_KINDS, OTHER, read_quarantine
from mixio.quarantine import NAME as QUARANTINE
from mixio.stores.storage import storage_of


def write(root: Path, *entries: tuple[str, str]) -> Path:
    lines = [json.dumps({"source": source, "reason": reason}) for source, reason in entries]
    (root / QUARANTINE).write_text("\n".join(lines) + "\n")
    return root


def test_no_file_is_an_empty_quarantine(tmp_path: Path) -> None:
    assert (read_quarantine(storage_of(tmp_path)).count, read_quarantine(storage_of(tmp_path)).kinds) == (0, ())


def test_reasons_that_differ_in_names_and_numbers_are_one_kind(tmp_path: Path) -> None:
    entries = [(f"/disk/{n}.nii.gz", f"{n}.nii.gz: the header claims {n} bytes") for n in (300, 20)]
    root = write(tmp_path, *entries, ("/disk/a.nii", "a.nii: not a NIfTI-1 file"))
    kinds = read_quarantine(storage_of(root)).kinds
    assert [(kind.count, kind.reason) for kind in kinds] == [
        (2, "the header claims … bytes"),
        (1, "not a NIfTI-1 file"),
    ]
    assert [example.source for example in kinds[0].examples] == ["/disk/20.nii.gz", "/disk/300.nii.gz"]


def test_a_kind_names_no_file_not_even_a_label_map(tmp_path: Path) -> None:
    root = write(tmp_path, ("C:\\scans\\Doe, Jane.nii", "Doe, Jane label.nii.gz: the label map is not on its grid"))
    assert read_quarantine(storage_of(root)).kinds[0].reason == "the label map is not on its grid"
    root = write(tmp_path, ("/disk/IM0001", "IM0001: not a DICOM file"))
    assert read_quarantine(storage_of(root)).kinds[0].reason == "not a DICOM file"


def test_few_examples_are_kept_of_many_sources(tmp_path: Path) -> None:
    root = write(tmp_path, *((f"{n:03}.nii", "f.nii: too short") for n in range(99, 0, -1)))
    kind = read_quarantine(storage_of(root)).kinds[0]
    assert (kind.count, len(kind.examples), kind.examples[0].source) == (99, EXAMPLES, "001.nii")


def test_too_many_kinds_are_counted_together(tmp_path: Path) -> None:
    root = write(tmp_path, *(("a.nii", "x" * n) for n in range(1, MAX_KINDS + 21)))
    quarantine = read_quarantine(storage_of(root))
    assert quarantine.count == MAX_KINDS + 20
    assert (quarantine.kinds[0].reason, quarantine.kinds[0].count) == (OTHER, 20)


def test_lines_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    (tmp_path / QUARANTINE).write_bytes(b'{"source": "a", "reason": "b"}\n{"sour\n[]\n\n"x"\n\xff\n')
    quarantine = read_quarantine(storage_of(tmp_path))
    assert (quarantine.count, quarantine.unreadable) == (1, 4)

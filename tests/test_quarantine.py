"""Faults in two lists: with names for who converted, without them for the store."""

import json
from pathlib import Path

import pytest

from mixio.quarantine import NAME, PRIVATE, Fault, write_quarantine
from mixio.settings import Settings
from mixio.sources import Source
from mixio.stores.storage import storage_of
from mixio.tasks import tasks_of
from mixio.writer import Task

HASHED, KEPT = Settings(), Settings(keep_names=True)


def task_of(path: Path, settings: Settings = HASHED, **fields: object) -> Task:
    source = Source(path, f"ct/{path.name}", "ct", fields.pop("subject", "Zqx"), **fields)
    return tasks_of([source], settings)[0]


def public(root: Path, task: Task, reason: str) -> str:
    """What the store says of a fault, `#` standing for the hash of its source."""
    write_quarantine(storage_of(root), [(task, Fault(str(task.source.path), reason))], task.settings)
    line = json.loads((root / NAME).read_text())
    assert line["source"] == task.source_id
    return str(line["reason"]).replace(task.source_id, "#")


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("Zqx_1.nii.gz: gzip stream is damaged", "gzip stream is damaged"),
        ("Zqx_1.nii.gz (label map of Zqx_1.nii.gz)", "# (label map of #)"),
        ("ct/Zqx_1.nii.gz is in the store", "# is in the store"),
        ("OSError: '{root}/Zqx_1.nii.gz' is gone", "OSError: '#' is gone"),
        ("Zqx_1.hdr: its .img file is not beside it", "its .img file is not beside it"),
        ("Zqx_2.nii: the label map holds NaN", "the label map holds NaN"),
        ("of subject Zqx: wrong", "of subject #: wrong"),
        ("Zqxy.nii is another word, aZqx too", "Zqxy.nii is another word, aZqx too"),
    ],
)
def test_the_store_is_told_a_reason_without_names(tmp_path: Path, reason: str, told: str) -> None:
    task = task_of(tmp_path / "Zqx_1.nii.gz", labels={"label": tmp_path / "Zqx_2.nii"})
    assert public(tmp_path, task, reason.format(root=tmp_path)) == told


def test_files_of_a_folder_and_of_a_header_are_names_too(tmp_path: Path) -> None:
    (tmp_path / "scan").mkdir()
    (tmp_path / "scan" / "Zqx_01.dcm").touch()
    told = public(tmp_path, task_of(tmp_path / "scan"), "scan: the gap between Zqx_01.dcm and it")
    assert told == "the gap between # and it"
    (tmp_path / "h.nhdr").write_text("NRRD0004\nencoding: raw\ndata file: Zqx.raw\n\n")
    (tmp_path / "Zqx.raw").touch()
    assert public(tmp_path, task_of(tmp_path / "h.nhdr"), "h.nhdr: Zqx.raw is short") == "# is short"


def test_short_names_leave_numbers_and_words_alone(tmp_path: Path) -> None:
    told = public(tmp_path, task_of(tmp_path / "3", subject="a"), "3 series s0: 13 of 3.5 are a fault; 3 left")
    assert told == "# series s0: 13 of 3.5 are a fault; 3 left"


def test_the_private_list_and_a_store_that_keeps_names_have_them(tmp_path: Path) -> None:
    assert public(tmp_path, task_of(tmp_path / "Zqx.nii"), "Zqx.nii: bad") == "bad"
    assert json.loads((tmp_path / PRIVATE).read_text()) == {"source": f"{tmp_path}/Zqx.nii", "reason": "Zqx.nii: bad"}
    task = task_of(tmp_path / "Zqx.nii", KEPT)
    write_quarantine(storage_of(tmp_path), [(task, Fault("Zqx.nii", "Zqx.nii: bad"))], KEPT)
    assert (tmp_path / NAME).read_bytes() == (tmp_path / PRIVATE).read_bytes()


def test_lists_are_sorted_by_source_and_go_when_there_is_no_fault(tmp_path: Path) -> None:
    task = task_of(tmp_path / "Zqx.nii")
    faults = [(task, Fault(name, reason)) for name, reason in (("b", "x"), ("a", "y"), ("a", "x"))]
    write_quarantine(storage_of(tmp_path), faults, HASHED)
    told = [json.loads(line) for line in (tmp_path / PRIVATE).read_text().splitlines()]
    assert [(line["source"], line["reason"]) for line in told] == [("a", "x"), ("a", "y"), ("b", "x")]
    write_quarantine(storage_of(tmp_path), [], HASHED)
    assert not (tmp_path / NAME).exists()
    assert not (tmp_path / PRIVATE).exists()

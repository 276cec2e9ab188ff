"""What one conversion owes to those before it, and to those after."""

import json
import os
import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from mixio.convert import convert
from mixio.errors import StoreError
from mixio.quarantine import NAME, PRIVATE
from mixio.settings import Settings
from mixio.store import open_store
from mixio.verify import Damage, compare, verify
from tests.conftest import write_nifti
from tests.dicoms import random_stored, write_series

KEPT = Settings(keep_names=True, val_fraction=0.5)
VOXELS = np.arange(60, dtype=np.int16).reshape(3, 4, 5)


def scan(folder: Path, name: str, value: int = 0) -> Path:
    return write_nifti(folder / "ct" / name, VOXELS + np.int16(value))


def reasons(store: Path, name: str = NAME) -> list[str]:
    path = store / name
    return [json.loads(line)["reason"] for line in path.read_text().splitlines()] if path.exists() else []


def is_whole(store: Path) -> bool:
    return not [step for step in verify(open_store(store)) if isinstance(step, Damage)]


def test_faults_of_another_table_stay_until_they_are_mended(tmp_path: Path) -> None:
    scan(tmp_path / "a", "1.nii")
    (tmp_path / "a" / "ct" / "bad.nii").write_bytes(b"no volume")
    scan(tmp_path / "b", "2.nii")
    convert(tmp_path / "a", tmp_path / "s", jobs=0)
    second = convert(tmp_path / "b", tmp_path / "s", jobs=0)
    assert (second.faults, second.older_faults) == ([], 1)
    assert len(reasons(tmp_path / "s")) == len(reasons(tmp_path / "s", PRIVATE)) == 1
    scan(tmp_path / "a", "bad.nii")
    convert(tmp_path / "a", tmp_path / "s", jobs=0)
    assert reasons(tmp_path / "s") == reasons(tmp_path / "s", PRIVATE) == []


def test_a_touched_file_is_not_converted_again_but_one_of_the_same_time_and_other_content_is(tmp_path: Path) -> None:
    path = scan(tmp_path / "in", "1.nii")
    convert(tmp_path / "in", tmp_path / "s", jobs=0, settings=KEPT)
    os.utime(path, (1, 1))
    summary = convert(tmp_path / "in", tmp_path / "s", jobs=0, settings=KEPT)
    assert (summary.converted, summary.found) == (0, 1)
    scan(tmp_path / "in", "1.nii", 9)
    os.utime(path, (1, 1))
    assert convert(tmp_path / "in", tmp_path / "s", jobs=0, settings=KEPT).converted == 1
    assert (open_store(tmp_path / "s").read("ct/1").voxels == VOXELS + 9).all()


def test_a_source_whose_path_the_system_refuses_costs_itself_alone(tmp_path: Path) -> None:
    scan(tmp_path, "1.nii")
    (tmp_path / "t.csv").write_text(f"path,domain\nct/1.nii,ct\nct/{'x' * 300}.nii,ct\n")
    summary = convert(tmp_path / "t.csv", tmp_path / "s", jobs=0)
    assert summary.converted == 1
    assert "File name too long" in summary.faults[0].reason


def test_a_disk_that_is_mounted_elsewhere_costs_what_it_lacks(tmp_path: Path) -> None:
    for name in ("1.nii", "2.nii"):
        scan(tmp_path / "old", name)
    (tmp_path / "old" / "t.csv").write_text("path,domain\nct/1.nii,ct\nct/2.nii,ct\n")
    convert(tmp_path / "old" / "t.csv", tmp_path / "s", jobs=0, settings=KEPT)
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    (tmp_path / "new" / "ct" / "2.nii").unlink()
    summary = convert(tmp_path / "new" / "t.csv", tmp_path / "s", jobs=0, settings=KEPT)
    assert (summary.converted, summary.found, len(summary.faults)) == (0, 1, 1)
    assert open_store(tmp_path / "s").names() == ["ct/1", "ct/2"]


def test_a_subject_is_never_in_two_splits_even_if_one_of_its_scans_cannot_follow(tmp_path: Path) -> None:
    scan(tmp_path, "1.nii")
    scan(tmp_path, "2.nii", 2)
    scan(tmp_path, "other.nii", 3)
    rows = ["path,domain,subject,split", "ct/1.nii,ct,P,val", "ct/other.nii,ct,Q,train"]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    convert(tmp_path / "t.csv", tmp_path / "s", jobs=0, settings=KEPT)
    (tmp_path / "ct" / "1.nii").unlink()
    (tmp_path / "t.csv").write_text("\n".join([rows[0], "ct/1.nii,ct,P,train", "ct/2.nii,ct,P,train", rows[2]]))
    convert(tmp_path / "t.csv", tmp_path / "s", jobs=0, settings=KEPT)
    store = open_store(tmp_path / "s")
    assert {store.row(name).split for name in store.names() if store.row(name).subject == "P"} == {"train"}
    assert is_whole(tmp_path / "s")


@pytest.mark.parametrize("container", ["zarr", "webdataset"])
def test_what_memory_cannot_hold_after_resampling_or_as_a_label_is_set_aside(tmp_path: Path, container: str) -> None:
    scan(tmp_path, "small.nii")
    write_nifti(tmp_path / "ct" / "grows.nii", np.zeros((40, 40, 40), np.int16), np.diag([9.0, 9, 9, 1]))
    write_nifti(tmp_path / "ct" / "labelled.nii", VOXELS)
    write_nifti(tmp_path / "label.nii", np.ones((100, 100, 100), np.int32))
    (tmp_path / "t.csv").write_text(
        "path,domain,label\nct/small.nii,ct,\nct/grows.nii,ct,\nct/labelled.nii,ct,label.nii\n"
    )
    settings = Settings(container=container, spacing=(2.0, 2.0, 3.0), keep_names=True)
    summary = convert(tmp_path / "t.csv", tmp_path / "s", jobs=0, settings=settings, memory=3 * 10**6)
    assert open_store(tmp_path / "s").names() == ["ct/small"]
    told = sorted(fault.reason for fault in summary.faults)
    assert "resampled to 180x180x120 voxels it takes 15552000 bytes" in told[0]
    assert all("run again with fewer --jobs or more --memory" in reason for reason in told)


def test_a_key_may_not_be_longer_than_file_systems_bear(tmp_path: Path) -> None:
    deep = "/".join(["a-very-long-name-of-a-folder"] * 9)
    write_nifti(tmp_path / deep / "scan.nii", VOXELS)
    (tmp_path / "t.csv").write_text(f"path,domain\n{deep}/scan.nii,ct\n")
    convert(tmp_path / "t.csv", tmp_path / "s", jobs=0, settings=KEPT)
    (name,) = open_store(tmp_path / "s").names()
    assert len(name) < 160
    assert (open_store(tmp_path / "s").read(name).voxels == VOXELS).all()


def folder_of_series(folder: Path) -> Path:
    """Two series that can be trusted, and one that lacks a slice."""
    for number, missing in enumerate((None, None, 2)):
        uid = f"1.2.3.{number}"

        def edit(ds: Dataset, z: int, uid: str = uid, missing: int | None = missing) -> str | None:
            ds.SeriesInstanceUID = uid
            return "skip" if z == missing else None

        write_series(folder / str(number), random_stored(), edit=edit)
    return folder


def test_a_series_that_is_refused_stays_refused_when_its_folder_is_only_touched(tmp_path: Path) -> None:
    case = folder_of_series(tmp_path / "case")
    (tmp_path / "t.csv").write_text("path,domain\ncase,mr\n")
    store = tmp_path / "s"
    assert convert(tmp_path / "t.csv", store, jobs=0).converted == 2
    first = reasons(store)
    for path in case.rglob("*.dcm"):
        os.utime(path, (1, 1))
    for found in (1, 1):
        summary = convert(tmp_path / "t.csv", store, jobs=0)
        assert (summary.found, len(summary.faults)) == (found, 1)
        assert reasons(store) == first
    assert is_whole(store)


def test_a_secret_salt_is_in_the_names_of_series_too(tmp_path: Path) -> None:
    folder_of_series(tmp_path / "case")
    (tmp_path / "t.csv").write_text("path,domain\ncase,mr\n")
    endings = []
    for salt in ("", "pepper"):
        convert(tmp_path / "t.csv", tmp_path / f"s{salt}", jobs=0, settings=Settings(salt=salt))
        endings.append({name.rpartition("_")[2] for name in open_store(tmp_path / f"s{salt}").names()})
    assert endings[0] == {f"s{sha256(f'1.2.3.{n}'.encode()).hexdigest()[:8]}" for n in (0, 1)}
    assert not endings[0] & endings[1]
    assert not [s for s in compare(open_store(tmp_path / "spepper"), tmp_path / "t.csv", salt="pepper") if is_new(s)]


def is_new(step: Damage | str) -> bool:
    """Damage other than the series that was refused."""
    return isinstance(step, Damage) and "refused" not in step.damage


def test_a_series_too_large_for_its_share_of_memory_is_converted_alone(tmp_path: Path) -> None:
    folder_of_series(tmp_path / "case")
    (tmp_path / "t.csv").write_text("path,domain\ncase,mr\n")
    needed = random_stored().nbytes * 3
    assert convert(tmp_path / "t.csv", tmp_path / "s", jobs=2, memory=needed + needed // 2).converted == 2
    with pytest.raises(StoreError, match="not one source could be converted; .*more --memory"):
        convert(tmp_path / "t.csv", tmp_path / "none", jobs=0, memory=needed // 2)


def test_a_damaged_line_of_packing_does_not_stand_in_the_way_of_another_table(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for folder in ("a", "b"):
        scan(tmp_path / folder, f"{folder}.nii")
    settings = Settings(container="webdataset", keep_names=True)
    convert(tmp_path / "a", tmp_path / "s", jobs=0, settings=settings)
    journal = tmp_path / "s" / ".mixio" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    (packed,) = (number for number, line in enumerate(lines) if b'"packed"' in line)
    lines[packed] = b"00000000" + lines[packed][8:]
    journal.write_bytes(b"".join(lines))
    with caplog.at_level("WARNING", "mixio"):
        convert(tmp_path / "b", tmp_path / "s", jobs=0, settings=settings)
    assert "1 lines of the journal were damaged" in caplog.text
    assert "1 sources of other tables have lost their volumes" in caplog.text
    assert open_store(tmp_path / "s").names() == ["ct/b"]
    assert convert(tmp_path / "a", tmp_path / "s", jobs=0, settings=settings).older_faults == 0
    assert open_store(tmp_path / "s").names() == ["ct/a", "ct/b"]
    assert is_whole(tmp_path / "s")

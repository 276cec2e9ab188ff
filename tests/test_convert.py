"""Conversion: nothing lost, faults set aside, interrupted work taken up again."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import zarr

from mixio.convert import convert
from mixio.errors import InvalidArgument, StoreError
from mixio.quarantine import NAME as QUARANTINE
from mixio.settings import Settings
from mixio.store import Store, open_store
from mixio.writer import Task, Written, write_volumes
from tests.conftest import write_nifti, write_sources


def files_of(root: Path) -> dict[str, bytes]:
    """Every file of a store but the journal, which holds times."""
    return {
        str(p.relative_to(root)): p.read_bytes()
        for p in sorted(root.rglob("*"))
        if p.is_file() and ".mixio" not in p.parts
    }


def test_voxels_labels_and_affine_are_those_of_nibabel(sources: Path, small_store: Store) -> None:
    for name in small_store.names():
        row = small_store.row(name)
        original = nib.as_closest_canonical(nib.load(sources.parent / row.source))
        assert np.array_equal(small_store.read(name).voxels, np.asarray(original.dataobj))
        assert np.array_equal(small_store.read(name).affine, original.affine)
        for label in row.labels:
            mask = nib.load(sources.parent / row.source.replace("abdomen-ct", "labels"))
            assert np.array_equal(small_store.read(name, label=label).voxels, np.asarray(mask.dataobj))


def test_an_ome_zarr_reader_finds_axes_scale_and_labels(small_store: Store) -> None:
    group = zarr.open_group(Path(small_store.path) / small_store.names("abdomen-ct")[0], mode="r")
    (scale,) = group.attrs["ome"]["multiscales"]
    assert [axis["name"] for axis in scale["axes"]] == ["x", "y", "z"]
    assert scale["datasets"][0]["coordinateTransformations"][0] == {"type": "scale", "scale": [2.0, 2.0, 3.0]}
    assert group["labels"].attrs["ome"]["labels"] == ["label"]
    assert group["labels/label/0"].shape == group["0"].shape


def test_jobs_and_order_do_not_change_a_byte(sources: Path, tmp_path: Path) -> None:
    lines = sources.read_text().splitlines()
    shuffled = sources.with_name("reversed.csv")
    shuffled.write_text("\n".join([lines[0], *reversed(lines[1:])]))
    convert(sources, tmp_path / "one", jobs=0)
    convert(shuffled, tmp_path / "two", jobs=2)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_a_bad_file_is_set_aside_and_the_rest_goes_on(tmp_path: Path) -> None:
    table = write_sources(tmp_path)
    (tmp_path / "brain-t1" / "2.nii.gz").write_bytes(b"\x1f\x8bnot gzip")
    summary = convert(table, tmp_path / "store", jobs=0)
    (line,) = (tmp_path / "store" / QUARANTINE).read_text().splitlines()
    assert summary.converted == 12
    assert "gzip stream is damaged" in json.loads(line)["reason"]
    assert len(open_store(tmp_path / "store")) == 12


def test_a_mended_source_leaves_quarantine(tmp_path: Path) -> None:
    table = write_sources(tmp_path)
    good = (tmp_path / "pet" / "0.nii.gz").read_bytes()
    (tmp_path / "pet" / "0.nii.gz").write_bytes(b"")
    convert(table, tmp_path / "store", jobs=0)
    (tmp_path / "pet" / "0.nii.gz").write_bytes(good)
    summary = convert(table, tmp_path / "store", jobs=0)
    assert (summary.converted, summary.found, summary.faults) == (1, 12, [])
    assert not (tmp_path / "store" / QUARANTINE).exists()


def test_a_killed_conversion_goes_on_and_ends_in_the_same_bytes(sources: Path, tmp_path: Path) -> None:
    convert(sources, tmp_path / "whole", jobs=0)
    command = [sys.executable, "-m", "mixio", "convert", str(sources), str(tmp_path / "cut"), "--jobs", "1"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    journal = tmp_path / "cut" / ".mixio" / "journal.jsonl"
    while not (journal.exists() and journal.read_text().count("\n") >= 3) and process.poll() is None:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    summary = convert(sources, tmp_path / "cut", jobs=0)
    assert summary.found >= 3
    assert files_of(tmp_path / "whole") == files_of(tmp_path / "cut")


def test_names_of_people_do_not_reach_the_store(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.ones((4, 4, 4), np.int16), np.eye(4))
    image.header["descrip"], image.header["db_name"], image.header["aux_file"] = b"Doe^John", b"Doe^John", b"Doe^John"
    (tmp_path / "in" / "ct").mkdir(parents=True)
    image.to_filename(tmp_path / "in" / "ct" / "Doe_John.nii.gz")
    convert(tmp_path / "in", tmp_path / "store", jobs=0)
    everything = b"".join([*files_of(tmp_path / "store").values(), *map(str.encode, files_of(tmp_path / "store"))])
    assert b"Doe" not in everything
    assert b"John" not in everything


def test_a_label_map_on_another_grid_is_brought_to_its_image_by_world_coordinates(tmp_path: Path) -> None:
    table = write_sources(tmp_path)
    label = nib.load(tmp_path / "labels" / "0.nii.gz")
    voxels, affine = np.asarray(label.dataobj), label.affine
    flipped = affine @ np.array([[-1, 0, 0, voxels.shape[0] - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    write_nifti(tmp_path / "labels" / "0.nii.gz", np.ascontiguousarray(voxels[::-1]), flipped)
    wide = np.kron(voxels[:, :, 1:-1], np.ones((2, 2, 2), np.uint8))  # finer, and cut in z
    finer = affine @ np.diag([0.5, 0.5, 0.5, 1])
    finer[:3, 3] = (affine @ [-0.25, -0.25, 0.75, 1])[:3]
    write_nifti(tmp_path / "labels" / "1.nii.gz", wide, finer)
    convert(table, tmp_path / "store", settings=Settings(keep_names=True), jobs=0)
    store = open_store(tmp_path / "store")
    assert np.array_equal(store.read("abdomen-ct/0", label="label").voxels, voxels)
    expected = voxels.copy()
    expected[:, :, [0, -1]] = 0
    assert np.array_equal(store.read("abdomen-ct/1", label="label").voxels, expected)


def test_a_label_map_elsewhere_in_the_world_is_set_aside(tmp_path: Path) -> None:
    table = write_sources(tmp_path)
    away = np.diag([2.0, 2.0, 3.0, 1.0])
    away[:3, 3] = 5000
    write_nifti(tmp_path / "labels" / "0.nii.gz", np.ones((4, 4, 4), np.uint8), away)
    (fault,) = convert(table, tmp_path / "store", jobs=0).faults
    assert "lies wholly outside its image" in fault.reason


def test_soft_labels_stay_soft(tmp_path: Path) -> None:
    table = write_sources(tmp_path)
    shape = nib.load(tmp_path / "labels" / "0.nii.gz").shape
    soft = np.random.default_rng(0).random(shape).astype(np.float32)
    write_nifti(tmp_path / "labels" / "0.nii.gz", soft)
    convert(table, tmp_path / "store", settings=Settings(keep_names=True), jobs=0)
    assert np.array_equal(open_store(tmp_path / "store").read("abdomen-ct/0", label="label").voxels, soft)


def test_other_settings_on_an_existing_store_are_refused(sources: Path, small_store: Store) -> None:
    with pytest.raises(StoreError, match="was made with another chunk"):
        convert(sources, small_store.path, settings=Settings(chunk=32, val_fraction=0.3, keep_names=True), jobs=0)


def test_wrong_arguments_are_refused_before_anything_is_written(sources: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="jobs must be at least 1, or 0 to work in this process, got -1"):
        convert(sources, tmp_path / "store", jobs=-1)
    shutil.copy(sources, tmp_path / "twice.csv")
    (tmp_path / "twice.csv").write_text("path,domain,key\na.nii,ct,k\nb.nii,ct,k\n")
    with pytest.raises(InvalidArgument, match=r"b\.nii and a\.nii would both be ct/k"):
        convert(tmp_path / "twice.csv", tmp_path / "new", jobs=0)


def test_nothing_convertible_is_an_error_that_names_the_first_fault(tmp_path: Path) -> None:
    (tmp_path / "ct").mkdir()
    (tmp_path / "ct" / "a.nii").write_bytes(b"junk")
    with pytest.raises(StoreError, match=r"not one source could be converted; .*a\.nii: not a NIfTI file"):
        convert(tmp_path, tmp_path.parent / f"{tmp_path.name}-store", jobs=0)


def rewrite(table: Path, line: int, **values: str) -> None:
    """Change one row of a table of sources."""
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[line].update(values)
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[line]))
        writer.writeheader()
        writer.writerows({name: row.get(name, "") for name in rows[line]} for row in rows)


def test_what_the_table_says_anew_is_done_and_the_old_volume_goes(tmp_path: Path) -> None:
    table = write_sources(tmp_path)
    convert(table, tmp_path / "store", settings=Settings(keep_names=True), jobs=0)
    rewrite(table, 0, domain="torso-ct", unit="HU", label="")
    summary = convert(table, tmp_path / "store", jobs=0, settings=Settings(keep_names=True))
    store = open_store(tmp_path / "store")
    assert (summary.converted, summary.found) == (1, 12)
    assert store.names("torso-ct") == ["torso-ct/abdomen-ct_0"]
    assert store.row("torso-ct/abdomen-ct_0").labels == {}
    assert not (tmp_path / "store" / "abdomen-ct" / "0").exists()


def test_a_changed_label_map_is_converted_again(tmp_path: Path) -> None:
    table = write_sources(tmp_path)
    convert(table, tmp_path / "store", settings=Settings(keep_names=True), jobs=0)
    shape = nib.load(tmp_path / "labels" / "0.nii.gz").shape
    write_nifti(tmp_path / "labels" / "0.nii.gz", np.full(shape, 7, np.uint8))
    assert convert(table, tmp_path / "store", settings=Settings(keep_names=True), jobs=0).converted == 1
    assert (open_store(tmp_path / "store").read("abdomen-ct/0", label="label").voxels == 7).all()


def test_deleting_a_volume_and_converting_again_brings_it_back(sources: Path, tmp_path: Path) -> None:
    convert(sources, tmp_path / "store", settings=Settings(keep_names=True), jobs=0)
    before = files_of(tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "pet" / "1")
    assert convert(sources, tmp_path / "store", settings=Settings(keep_names=True), jobs=0).converted == 1
    assert files_of(tmp_path / "store") == before


def test_while_a_changed_source_is_replaced_the_old_manifest_does_not_speak_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write_sources(tmp_path)
    convert(table, tmp_path / "store", settings=Settings(keep_names=True), jobs=0)
    write_nifti(tmp_path / "pet" / "0.nii.gz", np.ones((5, 5, 5), np.int16))
    monkeypatch.setattr("mixio.conversion.Conversion.finish", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        convert(table, tmp_path / "store", settings=Settings(keep_names=True), jobs=0)
    with pytest.raises(StoreError, match="half-written"):
        open_store(tmp_path / "store")


def test_two_tables_with_one_relative_path_do_not_overwrite_each_other(tmp_path: Path) -> None:
    for folder, value in (("a", 1), ("b", 2)):
        write_nifti(tmp_path / folder / "scan.nii", np.full((4, 4, 4 + value), value, np.int16))
        (tmp_path / folder / "t.csv").write_text("path,domain\nscan.nii,ct\n")
    convert(tmp_path / "a" / "t.csv", tmp_path / "store", jobs=0)
    before = files_of(tmp_path / "store")
    (fault,) = convert(tmp_path / "b" / "t.csv", tmp_path / "store", jobs=0).faults
    assert "is that of another file, converted before from another folder" in fault.reason
    assert {n: b for n, b in files_of(tmp_path / "store").items() if n != QUARANTINE} == before


def test_large_integers_keep_every_digit_in_background_too(tmp_path: Path) -> None:
    for name, value, dtype in (("a", 2**53 + 1, np.int64), ("b", 2**64 - 1, np.uint64)):
        voxels = np.full((60, 60, 60), value, dtype)
        voxels[30, 30, 30] = 5
        write_nifti(tmp_path / "in" / "ct" / f"{name}.nii.gz", voxels)
    convert(tmp_path / "in", tmp_path / "store", settings=Settings(keep_names=True, chunk=16), jobs=0)
    store = open_store(tmp_path / "store")
    assert store.read("ct/a").voxels[0, 0, 0] == 2**53 + 1
    assert store.read("ct/b").voxels[59, 0, 0] == 2**64 - 1


def test_a_worker_that_dies_costs_its_one_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = write_sources(tmp_path)
    monkeypatch.setattr("mixio.conversion.write_volumes", die_at_the_fourth)
    summary = convert(table, tmp_path / "store", jobs=2)
    assert summary.converted == 11
    assert [Path(fault.source).name for fault in summary.faults] == ["3.nii.gz", "3.nii.gz"]
    assert "the process that converted it died" in summary.faults[0].reason
    monkeypatch.undo()
    assert convert(table, tmp_path / "store", jobs=0).faults == []


def die_at_the_fourth(store: str, task: Task) -> Written:
    if task.source.name.endswith("3.nii.gz"):
        os.kill(os.getpid(), signal.SIGKILL)
    return write_volumes(store, task)

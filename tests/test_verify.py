"""Verifying: every kind of damage is named, what it advises mends it, and originals are compared in all settings."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner, Result

from mixio.blob import encode_shard, extend_crc32c
from mixio.cli import main
from mixio.convert import convert
from mixio.errors import DamagedStoreError, StoreError
from mixio.manifest import INDEX, NAME, SIDECAR, write_manifest
from mixio.row import Row
from mixio.settings import Settings
from mixio.store import open_store
from mixio.stores.sidecar import sidecar_bytes
from mixio.stores.storage import storage_of
from mixio.verify import Damage, compare, verify
from tests.conftest import write_nifti, write_sources

ZARR = Settings(chunk=16, keep_names=True)
TARS = Settings(chunk=16, keep_names=True, container="webdataset", shard_size=40_000)
SHARD = "abdomen-ct/0/0/c/0/0/0"
MANIFEST = (INDEX, NAME, SIDECAR)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Sources and a store of each container; tests work on copies."""
    folder = tmp_path_factory.mktemp("made")
    table = write_sources(folder / "in")
    convert(table, folder / "zarr", settings=ZARR, jobs=0)
    convert(table, folder / "tars", settings=TARS, jobs=0)
    return {"table": table, "zarr": folder / "zarr", "tars": folder / "tars"}


@pytest.fixture
def root(made: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the Zarr store."""
    return shutil.copytree(made["zarr"], tmp_path / "store")


@pytest.fixture
def tars(made: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the store of tars."""
    return shutil.copytree(made["tars"], tmp_path / "tars")


def damage_of(root: Path) -> list[Damage]:
    return [step for step in verify(open_store(root)) if isinstance(step, Damage)]


def differences(root: Path, table: Path, salt: str = "") -> list[Damage]:
    return [step for step in compare(open_store(root), table, salt=salt) if isinstance(step, Damage)]


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def files_of(root: Path) -> dict[str, bytes]:
    """Every file but the journal."""
    paths = [path for path in sorted(root.rglob("*")) if path.is_file() and ".mixio" not in path.parts]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def test_a_whole_store_has_no_damage_and_every_volume_is_named(root: Path, tars: Path) -> None:
    for place in (root, tars):
        assert list(verify(open_store(place))) == open_store(place).names()
    assert len(list(tars.rglob("*.tar"))) > 3


@pytest.mark.parametrize(
    ("file", "named"),
    [(SHARD, "holds"), ("abdomen-ct/0/zarr.json", "is not what the manifest says"), ("pet/zarr.json", "is not what")],
)
@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b + b"\0", lambda b: b"", lambda b: b[:5] + b"?" + b])
def test_truncated_and_added_to_files_are_named(root: Path, file: str, named: str, change: object) -> None:
    (root / file).write_bytes(change((root / file).read_bytes()))
    (damage,) = damage_of(root)
    assert damage.file == file
    assert damage.damage.startswith(named)


@pytest.mark.parametrize("file", [SHARD, "abdomen-ct/0/labels/label/0/zarr.json", "abdomen-ct/0/occupancy/0/c/0/0/0"])
def test_a_missing_file_is_named(root: Path, file: str) -> None:
    (root / file).unlink()
    (damage,) = damage_of(root)
    assert (damage.volume, damage.file, damage.delete) == ("abdomen-ct/0", file, "abdomen-ct/0")
    assert damage.damage.lower().startswith("cannot be read (no such file")


def test_swapped_shards_are_both_named(root: Path) -> None:
    one, two = root / "pet/0/0/c/0/0/0", root / "pet/1/0/c/0/0/0"
    contents = one.read_bytes(), two.read_bytes()
    one.write_bytes(contents[1])
    two.write_bytes(contents[0])
    assert [damage.volume for damage in damage_of(root)] == ["pet/0", "pet/1"]


def test_a_shard_replaced_by_another_valid_one_is_named(root: Path) -> None:
    row = open_store(root).row("pet/0")
    data = encode_shard(np.ones(row.shape, row.dtype), row.grid)
    (root / "pet/0/0/c/0/0/0").write_bytes(data + bytes(row.blobs[0].nbytes - len(data)))
    (damage,) = damage_of(root)
    assert (damage.file, damage.damage) == ("pet/0/0/c/0/0/0", "does not match its checksum")


@pytest.mark.parametrize("place", [0, 100, 520, 2000, -20_000, -10_000, -1])
def test_a_changed_byte_anywhere_in_a_tar_is_named(tars: Path, place: int) -> None:
    content = bytearray((tars / "pet/000000.tar").read_bytes())
    content[place] ^= 255
    (tars / "pet/000000.tar").write_bytes(content)
    assert {(d.file, d.delete) for d in damage_of(tars)} == {("pet/000000.tar", "pet/000000.tar")}


def test_a_missing_cut_or_lengthened_tar_is_named_once(tars: Path) -> None:
    tar = tars / "pet/000000.tar"
    content = tar.read_bytes()
    tar.write_bytes(content + bytes(512))
    (damage,) = damage_of(tars)
    assert "its volumes take" in damage.damage
    tar.unlink()
    assert [d.damage for d in damage_of(tars)] == ["cannot be read (no such file)"]


def test_a_manifest_without_its_checksum_file_or_with_that_of_another_is_refused(root: Path, tars: Path) -> None:
    shutil.copy(tars / NAME, root / NAME)
    with pytest.raises(DamagedStoreError, match=r"manifest\.parquet: does not match its checksum"):
        open_store(root)
    (root / SIDECAR).unlink()
    with pytest.raises(StoreError, match="half-written"):
        open_store(root)


def test_a_checksum_file_of_another_number_of_rows_is_refused(root: Path) -> None:
    text = (root / SIDECAR).read_text()
    (root / SIDECAR).write_text(text.replace('"rows": 13', '"rows": 12'))
    with pytest.raises(DamagedStoreError, match=r"manifest\.json: says 12 rows, manifest\.index has 13"):
        open_store(root)


def test_an_older_manifest_is_a_whole_store_of_fewer_volumes_and_converting_brings_back_the_newer(
    made: dict[str, Path], root: Path
) -> None:
    before = files_of(root)
    write_manifest(storage_of(root), [open_store(root).row(name) for name in open_store(root).names()[:-1]])
    assert damage_of(root) == []
    assert len(open_store(root)) == 12
    assert convert(made["table"], root, settings=ZARR, jobs=0).converted == 0
    assert files_of(root) == before


def test_an_older_manifest_over_replaced_volumes_is_told_as_damage(tmp_path: Path) -> None:
    table = write_sources(tmp_path / "in")
    convert(table, tmp_path / "store", settings=ZARR, jobs=0)
    old = {name: (tmp_path / "store" / name).read_bytes() for name in MANIFEST}
    write_nifti(tmp_path / "in/pet/0.nii.gz", np.ones((5, 5, 5), np.int16))
    convert(table, tmp_path / "store", settings=ZARR, jobs=0)
    for name, content in old.items():
        (tmp_path / "store" / name).write_bytes(content)
    assert {damage.volume for damage in damage_of(tmp_path / "store")} == {"pet/0"}


@pytest.mark.parametrize("file", [SHARD, "abdomen-ct/0/zarr.json", "pet/zarr.json", "zarr.json", *MANIFEST])
def test_the_advice_mends_a_zarr_store(made: dict[str, Path], root: Path, file: str) -> None:
    before = files_of(root)
    mend(made["table"], root, file)
    assert files_of(root) == before


@pytest.mark.parametrize("file", ["pet/000000.tar", "abdomen-ct/000001.tar", "zarr.json", *MANIFEST])
def test_the_advice_mends_a_store_of_tars(made: dict[str, Path], tars: Path, file: str) -> None:
    mend(made["table"], tars, file)
    paths = {open_store(tars).row(name).path for name in open_store(tars).names()}
    assert {name for name in files_of(tars) if name.endswith(".tar")} == paths


def mend(table: Path, root: Path, file: str) -> None:
    """Damage a file, do what the command advises, and expect no damage and no difference."""
    content = bytearray((root / file).read_bytes())
    content[len(content) // 2] ^= 2
    (root / file).write_bytes(content)
    result = run("verify", root)
    assert result.exit_code == 1
    advice = result.stdout[result.stdout.index("next: ") :].splitlines()
    assert "run mixio convert again" in advice[0]
    for place in advice[1:]:
        shutil.rmtree(place.strip()) if Path(place.strip()).is_dir() else Path(place.strip()).unlink()
    assert run("convert", table, root, "--jobs", 1).exit_code == 0
    assert run("verify", root, "--source", table).exit_code == 0


SETTINGS = {
    "native": Settings(),
    "spacing": Settings(spacing=(3.0, 2.5, 3.0)),
    "int16": Settings(dtype="int16"),
    "float16": Settings(dtype="float16"),
    "crop": Settings(crop_foreground=True),
    "all": Settings(spacing=(3.0, 3.0, 3.0), dtype="int16", crop_foreground=True, container="webdataset"),
    "zstd": Settings(codec="zstd:3", chunk=20),
    "salted": Settings(salt="pepper"),
    "salted tars": Settings(salt="pepper", container="webdataset"),
}


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_what_was_converted_equals_its_sources_under_any_settings(tmp_path: Path, name: str) -> None:
    table, settings = write_sources(tmp_path / "in"), SETTINGS[name]
    wide = np.kron(np.asarray(nib.load(tmp_path / "in/labels/1.nii.gz").dataobj), np.ones((2, 2, 2), np.uint8))
    write_nifti(tmp_path / "in/labels/1.nii.gz", wide, np.diag([1.0, 1.0, 1.5, 1.0]))
    assert convert(table, tmp_path / "store", settings=settings, jobs=0).faults == []
    assert differences(tmp_path / "store", table, settings.salt) == []
    assert damage_of(tmp_path / "store") == []


def test_each_frame_of_a_4d_source_is_compared(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(0, 900, (9, 8, 7, 3)).astype(np.int16)
    write_nifti(tmp_path / "in/mr/a.nii", voxels)
    convert(tmp_path / "in", tmp_path / "store", settings=Settings(frames="each", keep_names=True), jobs=0)
    assert len(open_store(tmp_path / "store")) == 3
    assert differences(tmp_path / "store", tmp_path / "in") == []
    voxels[4, 4, 4, 1] += 1
    write_nifti(tmp_path / "in/mr/a.nii", voxels)
    assert [d.volume for d in differences(tmp_path / "store", tmp_path / "in")] == ["mr/a_t0001"]
    write_nifti(tmp_path / "in/mr/a.nii", voxels[..., :2])
    assert [d.volume for d in differences(tmp_path / "store", tmp_path / "in")] == ["mr/a_t0001", "mr/a_t0002"]


def test_a_changed_and_a_missing_source_and_a_new_one_are_each_told_once(made: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(made["table"].parent, tmp_path / "in")
    voxels = np.asarray(nib.load(folder / "pet/0.nii.gz").dataobj).copy()
    voxels[10, 9, 6] *= 1.5
    write_nifti(folder / "pet/0.nii.gz", voxels)
    (folder / "pet/1.nii.gz").unlink()
    write_nifti(folder / "pet/new.nii.gz", voxels)
    with (folder / "sources.csv").open("a") as file:
        file.write("pet/new.nii.gz,pet,new,,SUV\n")
    gone = "cannot be read (No such file or directory); is the disk mounted?"
    told = [(d.volume, Path(d.file).name, d.damage) for d in differences(made["zarr"], folder / "sources.csv")]
    assert told == [
        ("pet/0", "0.nii.gz", "is not what the store holds; if it changed, convert again"),
        ("pet/1", "1.nii.gz", f"cannot be compared (1.nii.gz: {gone})"),
        ("", "new.nii.gz", "is not in the store: it is in quarantine, or was never converted"),
    ]  # fmt: skip


def test_a_changed_label_map_slope_affine_and_unit_are_differences(made: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(made["table"].parent, tmp_path / "in")
    write_nifti(folder / "labels/0.nii.gz", np.full((40, 36, 30), 7, np.uint8))
    image = nib.load(folder / "abdomen-ct/1.nii.gz")
    write_nifti(folder / "abdomen-ct/1.nii.gz", np.asarray(image.dataobj), np.diag([2.0, 2.0, 3.0001, 1.0]))
    image = nib.load(folder / "abdomen-ct/2.nii.gz")
    scaled = nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header)
    scaled.header.set_slope_inter(2, 0)
    scaled.to_filename(folder / "abdomen-ct/2.nii.gz")
    table = folder / "sources.csv"
    table.write_text(table.read_text().replace(",pet-0,,SUV", ",pet-0,,Bq/ml"))
    told = {d.volume: d.damage for d in differences(made["zarr"], table)}
    assert told.keys() == {"abdomen-ct/0", "abdomen-ct/1", "abdomen-ct/2", "pet/0"}
    assert told["abdomen-ct/0"] == "its label map label is not what the store holds; if it changed, convert again"
    assert told["abdomen-ct/1"] == "is not what the store holds; if it changed, convert again"
    assert "Bq/ml" in told["pet/0"]


def test_a_quarantined_source_is_told(made: dict[str, Path], tmp_path: Path) -> None:
    table = write_sources(tmp_path / "in")
    (tmp_path / "in/pet/0.nii.gz").write_bytes(b"junk")
    convert(table, tmp_path / "store", settings=ZARR, jobs=0)
    (damage,) = differences(tmp_path / "store", table)
    assert damage.damage == "is not in the store: it is in quarantine, or was never converted"


def test_a_wrong_salt_is_told_and_no_list_of_differences(made: dict[str, Path], tmp_path: Path) -> None:
    convert(made["table"], tmp_path / "store", settings=Settings(salt="pepper"), jobs=0)
    for words in ((), ("--salt", "paprika")):
        result = run("verify", tmp_path / "store", "--source", made["table"], *words)
        assert (result.exit_code, result.stderr.count("error: ")) == (2, 1)
        assert "its names were hashed with another salt; give the one it was made with (--salt)" in result.stderr
        assert "is not in the store" not in result.stderr
    assert run("verify", tmp_path / "store", "--source", made["table"], "--salt", "pepper").exit_code == 0
    assert run("verify", tmp_path / "store").exit_code == 0


def test_json_is_one_object_and_progress_goes_to_stderr(made: dict[str, Path], root: Path) -> None:
    (root / SHARD).write_bytes(b"")
    told = run("verify", root, "--json", "--source", made["table"])
    found = json.loads(told.stdout)
    assert (told.exit_code, told.stderr, found["store"], found["volumes"]) == (1, "", str(root), 13)
    assert [(d["volume"], d["delete"]) for d in found["damage"]] == [
        ("abdomen-ct/0", "abdomen-ct/0"),
        ("abdomen-ct/0", ""),
    ]
    plain = run("verify", root, "--source", made["table"])
    assert "verifying: 13 of 13, 1 faults" in plain.stderr
    assert "comparing: 13 of 13, 2 faults" in plain.stderr
    assert (
        f"13 volumes checked, 2 faults found\nnext: delete these and run mixio convert again\n  {root}/abd"
        in plain.stdout
    )


@pytest.mark.parametrize("name", ["pet/0/0/c/0/0/0", "pet/0/zarr.json", "pet/zarr.json"])
def test_nothing_outside_a_store_is_read_by_a_link(root: Path, tmp_path: Path, name: str) -> None:
    shutil.copy(root / name, tmp_path / "outside")
    (root / name).unlink()
    (root / name).symlink_to(tmp_path / "outside")
    (damage,) = damage_of(root)
    assert "leads out of the store" in damage.damage


def test_a_pipe_in_the_place_of_a_file_does_not_hang(root: Path) -> None:
    for name in ("pet/0/zarr.json", "pet/1/0/c/0/0/0"):
        (root / name).unlink()
        os.mkfifo(root / name)
    assert [damage.volume for damage in damage_of(root)] == ["pet/0", "pet/1"]
    with pytest.raises(StoreError, match="is not a file"):
        open_store(root).read("pet/1")


def test_a_forged_row_ends_in_a_damage_of_each_file_of_the_manifest(root: Path) -> None:
    rows = [open_store(root).row(name) for name in open_store(root).names()]
    write_manifest(storage_of(root), [*rows[:-1], replace(rows[-1], shape=(10**6,) * 3)])
    damages = damage_of(root)
    assert [(damage.file, damage.delete) for damage in damages] == [(INDEX, ""), (NAME, "")]
    assert all("what it says of pet/2 cannot be" in damage.damage for damage in damages)


def test_with_a_damaged_line_of_the_index_every_volume_is_checked_still(root: Path) -> None:
    names = open_store(root).names()
    blob = open_store(root).row("pet/1").blobs[0]
    for name, at in ((INDEX, 40), (blob.path, blob.offset + blob.nbytes // 2)):
        content = bytearray((root / name).read_bytes())
        content[at] ^= 1
        (root / name).write_bytes(content)
    steps = list(verify(open_store(root)))
    assert [step.file for step in steps if isinstance(step, Damage)] == [INDEX, blob.path]
    assert sorted(step for step in steps if isinstance(step, str)) == names


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rows: [*rows[:-1], replace(rows[-1], slope=2.0)], r"does not say of pet/2 what manifest.index says"),
        (lambda rows: rows[:-1], r"does not say of pet/2 what manifest.index says"),
        (
            lambda rows: [*rows, replace(rows[-1], key="9", path="pet/000009.tar")],
            r"has more volumes than manifest.index",
        ),
    ],
)
def test_a_parquet_file_that_says_other_than_the_index_is_told(
    root: Path, tmp_path: Path, change: Callable[[list[Row]], list[Row]], told: str
) -> None:
    write_manifest(storage_of(tmp_path / "other"), change(list(open_store(root).manifest.rows())))
    content = (tmp_path / "other" / NAME).read_bytes()
    (root / NAME).write_bytes(content)
    index = json.loads((root / SIDECAR).read_text())["index"]
    (root / SIDECAR).write_bytes(sidecar_bytes(13, len(content), extend_crc32c(0, content), index))
    (damage,) = damage_of(root)
    assert (damage.file, damage.damage) == (NAME, told)

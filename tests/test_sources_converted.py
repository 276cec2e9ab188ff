"""Every way to say what is to be converted, from a recipe's table or one's own, to voxels in a store."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner

from mixio.cli import main
from mixio.convert import convert
from mixio.recipes import flags_of
from mixio.settings import Settings
from mixio.store import Store, open_store
from tests.conftest import write_nifti
from tests.dicoms import assert_same_in_world, itk_image, random_stored, write_series
from tests.test_readers_analyze import VOXELS as ANALYZE
from tests.test_readers_analyze import write_pair

RNG = np.random.default_rng(11)


def converted(table: Path, **chosen: object) -> Store:
    """What a table becomes, without a fault."""
    summary = convert(table, table.parent / "store", settings=Settings(keep_names=True, **chosen), jobs=0)
    assert summary.faults == []
    return open_store(table.parent / "store")


def run(*words: object) -> str:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.stderr


def test_oasis1_by_the_recipe_and_the_flags_that_it_names(tmp_path: Path) -> None:
    stem = "disc1/OAS1_0001_MR1/{}/OAS1_0001_MR1_mpr_n4_anon_111_t88_{}.hdr"
    image = write_pair(tmp_path / stem.format("PROCESSED/MPRAGE/T88_111", "gfc"))
    label = write_pair(tmp_path / stem.format("FSL_SEG", "masked_gfc_fseg"))
    told = run("recipe", "oasis1", tmp_path, "-o", tmp_path / "oasis1.csv")
    assert f"next: mixio convert {tmp_path / 'oasis1.csv'} STORE --assume-affine" in told
    run("convert", tmp_path / "oasis1.csv", tmp_path / "store", "--jobs", 0, *flags_of("oasis1").split())
    store = open_store(tmp_path / "store")
    (name,) = store.names("brain-t1")
    assert store.row(name).notes == {"affine": "assumed"}
    assert np.array_equal(store.read(name).voxels, ANALYZE[::-1])  # LAS to RAS
    assert np.array_equal(store.read(name).affine, nib.as_closest_canonical(nib.load(image)).affine)
    assert np.array_equal(store.read(name, label="label").voxels, np.asarray(nib.load(label).dataobj)[::-1])


def test_oasis1_without_its_flag_is_set_aside_with_the_way_out(tmp_path: Path) -> None:
    write_pair(tmp_path / "mr" / "a.hdr")
    write_nifti(tmp_path / "mr" / "b.nii", ANALYZE)
    (fault,) = convert(tmp_path, tmp_path.parent / f"{tmp_path.name}-store", jobs=0).faults
    assert fault.reason.startswith("a.hdr: an Analyze 7.5 header does not say")
    assert "--assume-affine" in fault.reason


def test_medmnist3d_by_the_recipe(tmp_path: Path) -> None:
    stacks = {split: RNG.integers(0, 255, (2, 28, 28, 28), np.uint8) for split in ("train", "val", "test")}
    labels = {f"{split}_labels": np.array([[7], [3]], np.uint8) for split in stacks}
    np.savez_compressed(tmp_path / "organmnist3d.npz", **{f"{k}_images": v for k, v in stacks.items()}, **labels)
    run("recipe", "medmnist3d", tmp_path, "-o", tmp_path / "table.csv")
    store = converted(tmp_path / "table.csv")
    rows = {row.target + row.split: row for row in map(store.row, store.names())}
    assert sorted(rows) == ["3test", "3train", "3val", "7test", "7train", "7val"]
    assert np.array_equal(store.read(rows["3val"].name).voxels, stacks["val"][1])
    assert rows["3val"].spacing == (1, 1, 1)


def test_items_of_an_archive_and_of_a_4d_file(tmp_path: Path) -> None:
    stack = RNG.normal(size=(3, 4, 5, 6)).astype(np.float32)
    np.savez(tmp_path / "stack.npz", scans=stack)
    moving = RNG.integers(0, 99, (4, 5, 6, 3)).astype(np.int16)
    write_nifti(tmp_path / "moving.nii.gz", moving)
    (tmp_path / "t.csv").write_text(
        "path,domain,item,spacing,key\nstack.npz,mr,scans/1,2x3x4,one\nmoving.nii.gz,mr,2,,last\nmoving.nii.gz,mr,0,,first\n"
    )
    store = converted(tmp_path / "t.csv")
    assert np.array_equal(store.read("mr/one").voxels, stack[1])
    assert store.row("mr/one").spacing == (2, 3, 4)
    assert np.array_equal(store.read("mr/last").voxels, moving[..., 2])
    assert np.array_equal(store.read("mr/first").voxels, moving[..., 0])


def test_a_spacing_of_the_table_is_that_of_a_file_that_says_no_place(tmp_path: Path) -> None:
    nib.Nifti1Image(ANALYZE, None).to_filename(tmp_path / "a.nii")
    (tmp_path / "t.jsonl").write_text(json.dumps({"path": "a.nii", "domain": "mr", "spacing": [0.5, 0.5, 2]}))
    store = converted(tmp_path / "t.jsonl")
    assert (store.row("mr/a").spacing, store.row("mr/a").notes) == ((0.5, 0.5, 2), {"affine": "assumed"})


def test_folders_of_dicom_in_a_table_and_in_a_folder_of_domains(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "in" / "mr" / "1.2.840", random_stored())
    (tmp_path / "t.csv").write_text("path,domain,key\nin/mr/1.2.840,mr,case\n")
    in_table = converted(tmp_path / "t.csv")
    convert(tmp_path / "in", tmp_path / "other", settings=Settings(keep_names=True), jobs=0)
    for store, name in ((in_table, "mr/case"), (open_store(tmp_path / "other"), "mr/1.2.840")):
        assert_same_in_world(store.read(name), itk_image(folder))


def test_two_series_in_a_folder_are_two_volumes_or_the_one_that_is_named(tmp_path: Path) -> None:
    def second(ds: object, z: int) -> None:
        ds.SeriesInstanceUID, ds.SOPInstanceUID = "1.2.3.5", f"1.2.9.{z}"

    write_series(tmp_path / "study", random_stored())
    for path in write_series(tmp_path / "b", random_stored((4, 3, 2)), edit=second).iterdir():
        path.rename(tmp_path / "study" / f"b{path.name}")
    (tmp_path / "t.csv").write_text("path,domain\nstudy,mr\n")
    rows = [store.row(name) for store in [converted(tmp_path / "t.csv")] for name in store.names()]
    assert sorted(row.shape for row in rows) == [(2, 3, 4), (6, 4, 5)]
    part = next(row.part for row in rows if row.shape == (2, 3, 4))
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "t.csv").write_text(f"path,domain,item\n../study,mr,{part}\n")
    store = converted(tmp_path / "one" / "t.csv")
    assert [store.row(name).shape for name in store.names()] == [(2, 3, 4)]


def test_links_are_followed_once_and_hidden_files_are_passed_over(tmp_path: Path) -> None:
    write_nifti(tmp_path / "disk" / "a.nii", ANALYZE)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "mr").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "disk" / "._a.nii").write_bytes(b"\0\5\26\7")
    write_nifti(tmp_path / "in" / ".trash" / "b.nii", ANALYZE)
    assert convert(tmp_path / "in", tmp_path / "store", settings=Settings(keep_names=True), jobs=0).faults == []
    assert open_store(tmp_path / "store").names() == ["mr/a"]


def test_a_domain_that_is_a_link_to_another_one_is_a_domain(tmp_path: Path) -> None:
    write_nifti(tmp_path / "in" / "brain-t1" / "a.nii", ANALYZE)
    (tmp_path / "in" / "all-mri").symlink_to("brain-t1")
    convert(tmp_path / "in", tmp_path / "store", settings=Settings(keep_names=True), jobs=0)
    assert open_store(tmp_path / "store").names() == ["all-mri/a", "brain-t1/a"]


@pytest.mark.parametrize("keep", [False, True])
def test_a_file_name_that_is_no_text_is_no_hindrance(tmp_path: Path, keep: bool) -> None:
    path = write_nifti(tmp_path / "in" / "mr" / "a.nii", ANALYZE)
    path.rename(path.with_name("a\udcff.nii"))
    path.with_name("b\udcfe.nii").write_bytes(b"junk")
    summary = convert(tmp_path / "in", tmp_path / "store", settings=Settings(keep_names=keep), jobs=0)
    assert (summary.converted, len(summary.faults)) == (1, 1)
    store = open_store(tmp_path / "store")
    assert [store.row(name).subject for name in store.names()] == ["a\\udcff"] or not keep

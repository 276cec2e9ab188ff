"""Names, dates and comments planted wherever a source may hold them: none of it reaches the store.

Every planted word begins with `Zqx`, in text of every format, in names of files, folders, subjects and label files, of
sources that are converted and of ones that are set aside. Every byte and file name of the store is searched, the
manifest as pyarrow decodes it, and voxels as they are read; `.mixio` is not part of the store.
"""

import gzip
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pyarrow.parquet as pq
import pytest
import SimpleITK as sitk
from click.testing import CliRunner

from mixio.cli import main
from mixio.convert import convert
from mixio.settings import Settings
from mixio.store import open_store
from tests.conftest import write_nifti
from tests.dicoms import random_stored, write_series

PLANTED = (b"zqx", b"19620412", b"1.2.826.0.1.99", b"doe^jane")
VOXELS = np.random.default_rng(3).integers(0, 900, (8, 7, 6)).astype(np.int16)


def plant_nifti(path: Path) -> Path:
    image = nib.Nifti1Image(VOXELS, np.eye(4))
    for field in ("descrip", "aux_file", "db_name", "intent_name", "data_type"):
        image.header[field] = f"Zqx{field}"[:10].encode()
    for code in ("comment", "afni", "xcede"):
        image.header.extensions.append(nib.nifti1.Nifti1Extension(code, b"Zqx 19620412"))
    image.to_filename(path)
    return path


def plant_mgz(path: Path) -> Path:
    nib.MGHImage(VOXELS, np.eye(4)).to_filename(path)
    with gzip.open(path, "ab") as file:
        file.write(b"\0\0\0\3 mri_convert Zqx 19620412")
    return path


def plant_nrrd(path: Path) -> Path:
    header = {"space": "left-posterior-superior", "space directions": np.eye(3), "space origin": [0, 0, 0]}
    nrrd.write(str(path), VOXELS, {**header, "content": "Zqx", "patient": "Zqx", "date:=": "19620412"})
    return path


def plant_mha(path: Path) -> Path:
    image = sitk.GetImageFromArray(VOXELS)
    for name in ("Comment", "PatientName", "AcquisitionDate"):
        image.SetMetaData(name, "Zqx 19620412")
    sitk.WriteImage(image, str(path))
    return path


def plant_dicom(folder: Path, *, lacks: int | None = None) -> Path:
    def edit(ds: object, z: int) -> str:
        for name in "PatientName PatientID StudyDescription SeriesDescription InstitutionName ImageComments".split():
            setattr(ds, name, "Zqx^19620412")
        for name in ("PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate"):
            setattr(ds, name, "19620412")
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.AccessionNumber = "1.2.826.0.1.99.1", "1.2.826.0.1.99.2", "Zqx"
        return "skip" if z == lacks else ""

    series = write_series(folder, random_stored((8, 5, 6)), edit=edit)
    for number, path in enumerate(sorted(series.iterdir())):
        path.rename(folder / f"Zqx_{number}.dcm")
    return series


def plant(folder: Path) -> Path:
    """A table of sources of every format, good and bad, with a planted word wherever there is room for one."""
    place = folder / "Zqx_hospital"
    place.mkdir()
    label = write_nifti(place / "Zqx_label.nii.gz", (VOXELS > 500).astype(np.uint8), np.eye(4))
    two = write_nifti(place / "Zqx_two.nii", np.ones((8, 7, 6, 2), np.uint8), np.eye(4))
    good = [plant_nifti(place / "Zqx_a.nii.gz"), plant_mgz(place / "Zqx_b.mgz"), plant_nrrd(place / "Zqx_c.nrrd"),
            plant_mha(place / "Zqx_d.mha"), plant_dicom(place / "Zqx_e")]  # fmt: skip
    bad = [
        plant_dicom(place / "Zqx_f", lacks=4),
        two,
        place / "Zqx_gone.nii",
        place / "Zqx_h.nrrd",
        place / "Zqx_i.img",
    ]
    (place / "Zqx_h.nrrd").write_text("NRRD0004\nencoding: Zqx 19620412\n\n")
    (place / "Zqx_i.hdr").write_bytes(b"\0" * 400)
    (place / "Zqx_i.img").write_bytes(b"")
    rows = [f"{path.relative_to(folder)},ct,Zqx {path.stem} 19620412," for path in (*good, *bad)]
    rows[0] += str(label.relative_to(folder))
    labelled = [plant_nifti(place / f"Zqx_{name}.nii") for name in ("k", "l", "m")]
    for path, wrong in zip(labelled, (two, place / "Zqx_gone_label.nii", place / "Zqx_h.nrrd"), strict=True):
        rows.append(f"{path.relative_to(folder)},ct,Zqx,{wrong.relative_to(folder)}")
    table = folder / "Zqx.csv"
    table.write_text("path,domain,subject,label\n" + "\n".join(rows))
    return table


def contents(root: Path) -> Iterator[tuple[str, bytes]]:
    """Everything that a store holds: names, bytes, and what readers decode from them."""
    for path in sorted(p for p in root.rglob("*") if ".mixio" not in p.parts):
        yield "a file's name", str(path.relative_to(root)).encode()
        if path.is_file():
            yield str(path), path.read_bytes()
        if path.suffix == ".tar":
            with tarfile.open(path) as archive:
                yield f"members of {path}", repr([member.get_info() for member in archive]).encode()
    yield "the manifest", repr(pq.read_table(root / "manifest.parquet").to_pylist()).encode()
    yield "its metadata", repr(pq.read_table(root / "manifest.parquet").schema.metadata).encode()
    store = open_store(root)
    for name in store.names():
        for label in (None, *store.row(name).labels):
            yield name, store.read_patch(name, corner=(0, 0, 0), size=store.row(name).shape, label=label).tobytes()


def found_in(root: Path) -> list[tuple[str, bytes]]:
    """Which planted words are where."""
    return [(where, word) for where, held in contents(root) for word in PLANTED if word in held.lower()]


@pytest.mark.parametrize("container", ["zarr", "webdataset"])
@pytest.mark.parametrize("salt", ["", "a secret"])
def test_nothing_that_was_planted_is_in_the_store(tmp_path: Path, container: str, salt: str) -> None:
    settings = Settings(container=container, salt=salt)
    summary = convert(plant(tmp_path), tmp_path / "store", settings=settings, jobs=0)
    assert (summary.converted, len(summary.faults)) == (5, 8)
    assert found_in(tmp_path / "store") == []
    lines = (tmp_path / "store" / "quarantine.jsonl").read_text().splitlines()
    assert all(len(json.loads(line)["source"]) == 32 for line in lines)


def test_who_converted_finds_the_names_beside_the_store(tmp_path: Path) -> None:
    convert(plant(tmp_path), tmp_path / "store", jobs=0)
    told = (tmp_path / "store" / ".mixio" / "quarantine.jsonl").read_text()
    assert all(name in told for name in ("Zqx_f", "Zqx_two.nii", "Zqx_gone.nii", "Zqx_gone_label.nii", "Zqx_i.img"))


@pytest.mark.parametrize("container", ["zarr", "webdataset"])
def test_with_names_kept_they_are_there_and_header_text_is_not(tmp_path: Path, container: str) -> None:
    table = plant(tmp_path)
    table.write_text(table.read_text().replace(" 19620412", ""))
    convert(table, tmp_path / "store", settings=Settings(container=container, keep_names=True), jobs=0)
    store = open_store(tmp_path / "store")
    assert "ct/Zqx_hospital_Zqx_a" in store.names()
    assert store.row("ct/Zqx_hospital_Zqx_a").subject == "Zqx Zqx_a.nii"
    assert "Zqx_hospital/Zqx_f" in (tmp_path / "store" / "quarantine.jsonl").read_text()
    assert {word for _, word in found_in(tmp_path / "store")} == {b"zqx"}


def test_names_that_tell_are_warned_of_on_stderr(tmp_path: Path) -> None:
    write_nifti(tmp_path / "in" / "ct" / "Doe_John.nii", VOXELS)
    write_nifti(tmp_path / "in" / "ct" / "case_1.nii", VOXELS)
    command = ["convert", str(tmp_path / "in"), "--jobs", "0"]
    told = CliRunner().invoke(main, [*command, str(tmp_path / "a")]).stderr
    assert "1 names look like those of persons or like dates, the first: ct/Doe_John.nii" in told
    assert "give a secret --salt" in told
    assert "persons" not in CliRunner().invoke(main, [*command, str(tmp_path / "b"), "--salt", "pepper"]).stderr
    kept = CliRunner().invoke(main, [*command, str(tmp_path / "c"), "--salt", "pepper", "--keep-names"]).stderr
    assert "--keep-names stores them; the first: ct/Doe_John.nii" in kept


def test_keys_and_label_names_that_tell_are_warned_of_for_they_are_stored(tmp_path: Path) -> None:
    write_nifti(tmp_path / "1.nii", VOXELS)
    (tmp_path / "t.csv").write_text("path,domain,key,label:Roe_Mary\n1.nii,ct,Doe_John,1.nii\n")
    result = CliRunner().invoke(main, ["convert", str(tmp_path / "t.csv"), str(tmp_path / "s"), "--salt", "pepper"])
    assert "2 keys, targets, domains or names of labels look like" in result.stderr
    assert "Doe_John; these columns are stored as they are" in result.stderr

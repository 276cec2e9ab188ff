"""THE TABLE of `mixio convert`: what becomes of every odd file and every DICOM folder at hand.

One run with default settings, one with `frames="each"` and `assume_affine`. What is kept has the voxels of an
independent reader (nibabel, SimpleITK for NRRD and DICOM) at the same millimeters: the indices of ours go through
our affine and back through theirs. The words of the refusals are those of the tables of the readers.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from mixio.convert import Summary, convert
from mixio.row import Row
from mixio.settings import Settings
from mixio.store import Store, open_store
from tests.dicoms import itk_image
from tests.test_readers_dicom_real import OUTCOMES as FOLDERS
from tests.test_readers_odd import OUTCOMES as FILES

KEPT = {
    "dicom/ibsi_STS_002_PET": (30, 27, 48),
    "dicom/prostatex_0000_adc": (84, 128, 19),
    "odd/d2n_fail_slicecount_001": (2, 256, 256),
    "odd/made_constant.nii.gz": (32, 32, 32),
    "odd/made_float64.nii.gz": (57, 67, 56),
    "odd/made_nan_inf.nii.gz": (57, 67, 56),
    "odd/nibabel_anatomical.nii": (33, 41, 25),
    **{f"odd/nifti-rs_27_{kind}{bits}.nii": (3, 3, 3) for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
    "odd/nifti-rs_27_float32.nii": (3, 3, 3),
    "odd/nifti-rs_27_float64.nii": (3, 3, 3),
    "odd/nifti-rs_f32.nii.gz": (11, 11, 11),
    "odd/niivue_FLAIR.nrrd": (124, 160, 140),
    "odd/nrjs_big.nii.gz": (64, 64, 21),
    "odd/nrjs_little.nii.gz": (64, 64, 21),
    "odd/nrjs_with_extension.nii.gz": (161, 191, 151),
}
"""With default settings: the stored shape of the one volume."""

KEPT_IF_ASKED = {
    "odd/nibabel_example4d.nii.gz": (2, (128, 96, 24)),
    "odd/nibabel_example_nifti2.nii.gz": (2, (32, 20, 12)),
    "odd/nibabel_functional.nii": (20, (17, 21, 3)),
    "odd/nibabel_test.mgz": (2, (5, 4, 3)),
    "odd/sct_fmri_4d.nii.gz": (30, (34, 34, 6)),
    "odd/nifti-rs_minimal.hdr": (1, (64, 64, 10)),
    "odd/nifti-rs_minimal.img": (1, (64, 64, 10)),
    "odd/niivue_minimal.nii.gz": (1, (64, 64, 10)),
}
"""With `frames="each"` and `assume_affine` besides: how many volumes, and their shape."""

ALL = {f"odd/{name}" for name in FILES} | set(FOLDERS)
EACH = {name: (1, shape) for name, shape in KEPT.items()} | KEPT_IF_ASKED


@dataclass(frozen=True)
class Run:
    """A conversion of everything, and its volumes by source."""

    summary: Summary
    store: Store
    rows: dict[str, list[Row]]


@pytest.fixture(scope="module")
def default(real_volumes: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(real_volumes, tmp_path_factory.mktemp("default"), Settings())


@pytest.fixture(scope="module")
def asked(real_volumes: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(real_volumes, tmp_path_factory.mktemp("asked"), Settings(frames="each", assume_affine=True))


def run(volumes: Path, folder: Path, settings: Settings) -> Run:
    table = folder / "table.csv"
    lines = [f"{volumes / name},odd,{name},{name.replace('/', '_')}\n" for name in sorted(ALL)]
    table.write_text("path,domain,subject,key\n" + "".join(lines))
    summary = convert(table, folder / "store", settings=settings, jobs=0)
    store = open_store(folder / "store")
    rows: dict[str, list[Row]] = {}
    for row in map(store.row, store.names()):
        key = row.key.removesuffix(f"_{row.part}") if row.part else row.key
        rows.setdefault(key.replace("_", "/", 1), []).append(row)
    return Run(summary, store, rows)


def refusals(done: Run, volumes: Path) -> dict[str, str]:
    return {str(Path(fault.source).relative_to(volumes)): fault.reason for fault in done.summary.faults}


def read_independently(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Real voxels (X, Y, Z) or (X, Y, Z, T), and the affine (4, 4) to RAS+ mm."""
    if not (path.is_dir() or path.suffix == ".nrrd"):
        image = nib.squeeze_image(nib.load(path))
        return np.asarray(image.dataobj), image.affine
    image = itk_image(path) if path.is_dir() else sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).T, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def assert_same_in_world(done: Run, row: Row, voxels: np.ndarray, affine: np.ndarray) -> None:
    """Every stored voxel lies within 1e-4 mm of one of theirs with the same value, and there are no others."""
    index = np.vstack([np.indices(row.shape).reshape(3, -1), np.ones(np.prod(row.shape))])
    found = np.linalg.solve(affine, row.matrix @ index)[:3]
    nearest = np.rint(found).astype(int)
    assert np.abs(affine[:3, :3] @ (found - nearest)).max() < 1e-4
    assert sorted(row.shape) == sorted(voxels.shape)
    values, stored = voxels[tuple(nearest)], done.store.read(row.name).voxels.ravel()
    odd = ~np.isfinite(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
    assert row.nonfinite == odd.sum()
    assert (stored[odd] == row.background).all()
    if voxels.dtype.kind == "f":
        np.testing.assert_allclose(stored[~odd], values[~odd], rtol=1e-6, atol=0)
    else:
        assert np.dtype(row.dtype) == voxels.dtype.newbyteorder("=")
        assert np.array_equal(stored, values)


def test_the_tables_name_every_file_and_folder(real_volumes: Path) -> None:
    there = {f"{place}/{path.name}" for place in ("odd", "dicom") for path in (real_volumes / place).iterdir()}
    assert there == ALL
    assert EACH.keys() <= ALL


def test_by_default_what_is_kept_has_its_shape_and_the_rest_is_in_quarantine(real_volumes: Path, default: Run) -> None:
    assert {name: [row.shape for row in rows] for name, rows in default.rows.items()} == {
        name: [shape] for name, shape in KEPT.items()
    }
    assert refusals(default, real_volumes).keys() == ALL - KEPT.keys()


def test_frames_and_guesses_are_kept_where_they_were_asked_for(real_volumes: Path, asked: Run) -> None:
    assert {name: (len(rows), *{row.shape for row in rows}) for name, rows in asked.rows.items()} == EACH
    assert refusals(asked, real_volumes).keys() == ALL - EACH.keys()
    assumed = {name for name, rows in asked.rows.items() if rows[0].notes.get("affine") == "assumed"}
    assert {Path(name).name.partition(".")[0] for name in assumed} == {"nifti-rs_minimal", "niivue_minimal"}


@pytest.mark.parametrize("name", sorted(ALL - KEPT.keys()))
def test_what_is_set_aside_says_why(real_volumes: Path, default: Run, asked: Run, name: str) -> None:
    words = re.escape(FILES[Path(name).name]) if Path(name).name in FILES else str(FOLDERS[name])
    assert re.search(words, refusals(default, real_volumes)[name])
    assert name in EACH or refusals(asked, real_volumes)[name] == refusals(default, real_volumes)[name]


@pytest.mark.parametrize("name", sorted(EACH))
def test_what_is_kept_is_what_an_independent_reader_has_there(
    real_volumes: Path, default: Run, asked: Run, name: str
) -> None:
    voxels, affine = read_independently(real_volumes / name)
    for done in (default, asked):
        for number, row in enumerate(done.rows.get(name, [])):
            assert row.part == (f"t{number:04}" if EACH[name][0] > 1 else "")
            assert_same_in_world(done, row, voxels[..., number] if voxels.ndim == 4 else voxels, affine)


def test_nothing_that_was_set_aside_left_a_file_in_the_store(default: Run, asked: Run) -> None:
    for done in (default, asked):
        root = Path(done.store.path)
        folders = {path.parent for path in root.glob("odd/*/zarr.json")}
        assert {str(folder.relative_to(root)) for folder in folders} == set(done.store.names())
        assert {path for path in (root / "odd").iterdir() if path.is_dir()} == folders

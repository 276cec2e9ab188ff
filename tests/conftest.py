"""Small real NIfTI files, and a store converted from them."""

import csv
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import settings

from mixio.convert import convert
from mixio.settings import Settings
from mixio.store import Store, open_store

# A busy machine must not fail a test by its speed.
settings.register_profile("mixio", deadline=None)
settings.load_profile("mixio")

SHARED = Path(__file__).resolve().parents[2] / "shared"
VOLUMES = Path(os.environ.get("MIXIO_VOLUMES", SHARED / "volumes"))
RUNS = Path(os.environ.get("MIXIO_RUNS", SHARED / "runs"))
"""Real volumes and training runs, where they are at hand; tests that need them skip elsewhere."""

SUBJECTS = {"abdomen-ct": 6, "brain-t1": 4, "pet": 3}
SHAPES = {"abdomen-ct": (40, 36, 30), "brain-t1": (33, 40, 37), "pet": (20, 18, 12)}


def ball(shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """A noisy ball in [0, 1] on a zero background."""
    grid = np.indices(shape).transpose(1, 2, 3, 0) / np.array(shape) - 0.5
    inside = (grid**2).sum(-1) < 0.16
    return inside * (0.6 + 0.4 * rng.random(shape))


def write_nifti(path: Path, voxels: np.ndarray, affine: np.ndarray | None = None) -> Path:
    """Write voxels as NIfTI with both qform and sform set."""
    image = nib.Nifti1Image(voxels, np.diag([2.0, 2.0, 3.0, 1.0]) if affine is None else affine, dtype=voxels.dtype)
    image.set_qform(image.affine, code=1)
    image.set_sform(image.affine, code=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.to_filename(path)
    return path


def write_sources(folder: Path) -> Path:
    """Three domains, 6 + 4 + 3 volumes; the CT int16 in HU with a label map, the MR uint16, the PET float32."""
    rows = []
    for domain, count in SUBJECTS.items():
        for number in range(count):
            rng = np.random.default_rng([number, len(domain)])
            shape = ball(SHAPES[domain], rng)
            row = {"path": f"{domain}/{number}.nii.gz", "domain": domain, "subject": f"{domain}-{number}", "label": ""}
            if domain == "abdomen-ct":
                voxels = (shape * 1100 - 1000).astype(np.int16)
                row["label"] = f"labels/{number}.nii.gz"
                write_nifti(folder / row["label"], (shape > 0.8).astype(np.uint8))
            elif domain == "brain-t1":
                voxels = (shape * 900).astype(np.uint16)
            else:
                voxels = (shape * 7).astype(np.float32)
            write_nifti(folder / row["path"], voxels)
            rows.append({**row, "unit": "SUV" if domain == "pet" else ""})
    table = folder / "sources.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "domain", "subject", "label", "unit"])
        writer.writeheader()
        writer.writerows(rows)
    return table


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of `write_sources`."""
    return write_sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="session")
def small_store(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """`sources` converted, chunk 16; every domain has train and val volumes. Tests only read it."""
    path = tmp_path_factory.mktemp("store") / "store"
    convert(sources, path, settings=Settings(chunk=16, val_fraction=0.3, keep_names=True), jobs=0)
    return open_store(path)


@pytest.fixture(scope="session")
def real_volumes() -> Path:
    """The folder of real volumes."""
    if not VOLUMES.is_dir():
        pytest.skip(f"no real volumes at {VOLUMES}")
    return VOLUMES

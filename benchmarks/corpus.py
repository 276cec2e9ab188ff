"""The volumes that all contestants read: CT-like, seeded, the same everywhere; and the forms that are made of them.

A corpus lies in one folder, a subfolder for each form: `nifti` (.nii.gz, from which every other form is made by its
contestant's own preparation), `npy` (uncompressed, what patches are checked against), and those of the peers. A form
is written under another name and renamed, so that one that is there is whole, and a folder that is kept is used again.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from random import Random

import nibabel as nib
import numpy as np
from nibabel.openers import Opener
from numpy.typing import NDArray
from scipy.ndimage import zoom

Shape = tuple[int, int, int]
Request = tuple[int, Shape]
"""A volume's number, and the voxel at which the patch begins."""

DOMAIN = "abdomen-ct"
GZIP_LEVEL = 6
"""That of gzip, dcm2niix and ITK; nibabel's own is 1, which makes larger files."""


@dataclass(frozen=True)
class Corpus:
    """So many volumes of one shape, and the size of the patches that are cut out of them."""

    root: Path
    volumes: int = 12
    shape: Shape = (320, 320, 256)
    size: Shape = (96, 96, 96)

    @property
    def folder(self) -> Path:
        """Where its forms lie; corpora of other numbers lie beside it."""
        edges = ["x".join(map(str, edges)) for edges in (self.shape, self.size)]
        return self.root / f"{self.volumes}x{edges[0]}-{edges[1]}"

    def form(self, name: str, write: Callable[["Corpus", Path], None]) -> Path:
        """The folder of a form, which `write(corpus, folder)` fills if it is not there."""
        path, unfinished = self.folder / name, self.folder / f"{name}.unfinished"
        if not path.exists():
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            write(self, unfinished)
            unfinished.rename(path)
        return path

    def nifti(self) -> list[Path]:
        """The .nii.gz of every volume."""
        folder = self.form("nifti", write_nifti) / DOMAIN
        return [folder / f"{key(number)}.nii.gz" for number in range(self.volumes)]

    def arrays(self) -> list[NDArray[np.int16]]:
        """Every volume as an uncompressed map of its file."""
        folder = self.form("npy", write_npy)
        return [np.load(folder / f"{key(number)}.npy", mmap_mode="r") for number in range(self.volumes)]

    def request(self, number: int, *, seed: int = 0, step: Shape = (1, 1, 1)) -> Request:
        """The number-th patch of the list that `seed` names; corners are multiples of `step`."""
        rng = Random(f"{seed}/{number}")
        volume = rng.randrange(self.volumes)
        x, y, z = (rng.randrange((n - s) // m + 1) * m for n, s, m in zip(self.shape, self.size, step, strict=True))
        return volume, (x, y, z)


def key(number: int) -> str:
    """The name of a volume."""
    return f"case-{number:02d}"


def box(corner: Shape, size: Shape) -> tuple[slice, ...]:
    """The index of a patch."""
    return tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))


def make_volume(number: int, shape: Shape) -> NDArray[np.int16]:
    """CT-like: smooth tissue in an ellipsoid, air around it, scanner noise. The number is the seed."""
    rng = np.random.default_rng([number, *shape])
    coarse = rng.normal(40, 90, size=[max(2, n // 12) for n in shape]).astype(np.float32)
    tissue = zoom(coarse, [n / c for n, c in zip(shape, coarse.shape, strict=True)], order=1)
    grid = np.ogrid[tuple(slice(0, n) for n in shape)]
    inside = sum(((g - n / 2) / (0.45 * n)) ** 2 for g, n in zip(grid, shape, strict=True)) < 1
    noise = rng.standard_normal(shape, dtype=np.float32)
    voxels = np.where(inside, tissue + 12 * noise, -1000 + 6 * noise)
    return voxels.clip(-1024, 3071).astype(np.int16)


def write_nifti(corpus: Corpus, folder: Path) -> None:
    """All volumes as .nii.gz, made by two processes."""
    (folder / DOMAIN).mkdir()
    jobs = [(folder / DOMAIN / f"{key(n)}.nii.gz", n, corpus.shape) for n in range(corpus.volumes)]
    with get_context("spawn").Pool(2) as pool:
        pool.starmap(write_volume, jobs, chunksize=1)


def write_volume(path: Path, number: int, shape: Shape) -> None:
    """The volume of this number as .nii.gz."""
    image = nib.Nifti1Image(make_volume(number, shape), np.diag([0.8, 0.8, 1.0, 1.0]))
    image.header.set_xyzt_units("mm")
    with Opener(path, "wb", compresslevel=GZIP_LEVEL) as file:
        image.to_file_map({"image": nib.FileHolder(fileobj=file)})


def write_npy(corpus: Corpus, folder: Path) -> None:
    """All volumes as .npy, the axis Z fastest."""
    for number, path in enumerate(corpus.nifti()):
        np.save(folder / f"{key(number)}.npy", np.ascontiguousarray(np.asarray(nib.load(path).dataobj)))


def nbytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

"""Random patches out of one volume: mixio beside zarr-python, tensorstore and the NIfTI it came from.

    python -m benchmarks.bench_read

A phantom-like int16 volume of 320 x 320 x 256 is converted once; every reader then reads the same random patches
from the same Zarr store, warm cache, one thread, taking turns; nibabel reads the whole .nii.gz for each patch, as
a loader without conversion does. Every patch is compared with every other reader's. Prints the median rate of the
turns, their spread (quartiles), and our ratio to each peer.
"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles

import nibabel as nib
import numpy as np
import zarr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from mixio.convert import convert
from mixio.settings import Settings
from mixio.store import open_store

try:
    import tensorstore
except ImportError:
    tensorstore = None

SHAPE = (320, 320, 256)
SIZE = (96, 96, 96)
TURNS = 9
PATCHES = 12
Corner = tuple[int, int, int]
Reader = Callable[[Corner], NDArray[np.int16]]


def make_volume(folder: Path) -> Path:
    """CT-like: smooth tissue, air around it, scanner noise."""
    rng = np.random.default_rng(0)
    coarse = gaussian_filter(rng.normal(size=SHAPE).astype(np.float32), 6) * 4000
    grid = np.indices(SHAPE, dtype=np.float32)
    inside = sum(((g - n / 2) / (0.45 * n)) ** 2 for g, n in zip(grid, SHAPE, strict=True)) < 1
    voxels = np.where(inside, coarse + 40, -1000) + rng.normal(size=SHAPE) * np.where(inside, 12, 6)
    path = folder / "in" / "abdomen-ct" / "case.nii.gz"
    path.parent.mkdir(parents=True)
    image = nib.Nifti1Image(voxels.clip(-1024, 3071).astype(np.int16), np.diag([0.8, 0.8, 1.0, 1.0]))
    image.to_filename(path)
    return path


def readers_of(nifti: Path, root: Path) -> dict[str, Reader]:
    """Every contestant: corner to patch."""
    store = open_store(root)
    (name,) = store.names()
    array = zarr.open_array(root / name / "0", mode="r")
    readers: dict[str, Reader] = {
        "mixio": lambda corner: store.read_patch(name, corner=corner, size=SIZE),
        "zarr-python": lambda corner: np.asarray(array[_slices(corner)]),
        "nibabel .nii.gz": lambda corner: np.asarray(nib.load(nifti).dataobj)[_slices(corner)],
    }
    if tensorstore is None:
        print("tensorstore is not installed, its row is left out")
        return readers
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(root / name / "0")}}
    limits = {"data_copy_concurrency": {"limit": 1}, "file_io_concurrency": {"limit": 1}}
    opened = tensorstore.open(spec, context=tensorstore.Context(limits)).result()
    return {**readers, "tensorstore": lambda corner: opened[_slices(corner)].read().result()}


def _slices(corner: Corner) -> tuple[slice, ...]:
    return tuple(slice(c, c + s) for c, s in zip(corner, SIZE, strict=True))


def rates_of(readers: dict[str, Reader]) -> dict[str, list[float]]:
    """Patches a second of every turn; the slow one reads fewer patches a turn."""
    rng = np.random.default_rng(1)
    rates: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(TURNS):
        corners = [
            tuple(int(rng.integers(n - s + 1)) for n, s in zip(SHAPE, SIZE, strict=True)) for _ in range(PATCHES)
        ]
        patches = {name: read(corners[0]) for name, read in readers.items()}
        for name, patch in patches.items():
            assert np.array_equal(patch, patches["mixio"]), f"{name} reads other voxels"
        for name in rng.permutation(list(readers)):
            chosen = corners[:1] if "nii" in name else corners
            started = time.perf_counter()
            for corner in chosen:
                readers[name](corner)
            rates[name].append(len(chosen) / (time.perf_counter() - started))
    return rates


def main() -> None:
    """Make the volume, read, print the table."""
    with tempfile.TemporaryDirectory() as folder:
        nifti = make_volume(Path(folder))
        convert(nifti.parents[1], Path(folder) / "store", settings=Settings(val_fraction=0), jobs=1)
        rates = rates_of(readers_of(nifti, Path(folder) / "store"))
    ours = median(rates["mixio"])
    print(f"random {SIZE[0]} cubed int16 patches, chunk 48, one thread, warm, {os.cpu_count()} cores, {TURNS} turns")
    print(f"{'reader':<16} {'patches/s':>9} {'quartiles':>15} {'mixio is':>9}")
    for name, values in sorted(rates.items(), key=lambda item: -median(item[1])):
        low, _, high = quantiles(values, n=4)
        print(f"{name:<16} {median(values):>9.1f} {low:>7.1f}-{high:<7.1f} {ours / median(values):>8.1f}x")


if __name__ == "__main__":
    main()

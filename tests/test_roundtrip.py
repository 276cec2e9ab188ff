"""Laws of a conversion: whatever a NIfTI file is like, its voxels come back, each at its place in the world.

hypothesis makes the files, some dozens of them in an example: random affines near each of the 48 orders of axes and
far from all, dtypes, byte orders, slopes, shapes, NIfTI-1 and 2, plain and gzipped; one conversion takes them all.
"""

from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from nibabel.affines import apply_affine
from nibabel.eulerangles import euler2mat
from scipy import ndimage

from mixio.convert import convert
from mixio.settings import Settings
from mixio.store import Store, open_store

KINDS = "int8 uint8 int16 uint16 int32 uint32 int64 uint64 float32 float64".split()
ORDERS = [(order, signs) for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
          for signs in product((1, -1), repeat=3)]  # fmt: skip
BRIGHT = 100
QUICKLY = settings(phases=[Phase.explicit, Phase.generate])
"""A batch that fails is told as it is: to shrink it would take many conversions."""


@st.composite
def affines(draw: st.DrawFn) -> np.ndarray:
    """Spacings of 0.2 to 9 mm, any of the 48 orders, turned by up to half a turn about each axis, shifted."""
    order, signs = draw(st.sampled_from(ORDERS))
    turned = np.eye(3)[:, order] * signs
    if draw(st.booleans()):
        turned = euler2mat(*(draw(st.floats(-np.pi, np.pi)) for _ in range(3))) @ turned
    spacing = [draw(st.floats(0.2, 9.0)) for _ in range(3)]
    shift = [[draw(st.floats(-300, 300))] for _ in range(3)]
    return np.vstack([np.hstack([turned * spacing, shift]), [0, 0, 0, 1]])


@st.composite
def shapes(draw: st.DrawFn) -> tuple[int, ...]:
    """1 to 70 voxels an axis, at most some 30,000 in all."""
    shape = [draw(st.integers(1, 70)) for _ in range(3)]
    last = draw(st.integers(0, 2))
    shape[last] = min(shape[last], max(1, 30_000 * shape[last] // int(np.prod(shape))))
    return tuple(shape)


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    """How one file is written."""
    return {
        "shape": draw(shapes()),
        "affine": draw(affines()),
        "kind": np.dtype(draw(st.sampled_from(KINDS))).newbyteorder(draw(st.sampled_from("<>"))),
        "scale": draw(st.sampled_from([None, None, (0.25, -3.0), (-2.5, 1000.0), (1e-4, 0.0)])),
        "version": draw(st.sampled_from([nib.Nifti1Image, nib.Nifti2Image])),
        "suffix": draw(st.sampled_from([".nii", ".nii.gz", ".img"])),
        "seed": draw(st.integers(0, 2**32 - 1)),
    }


def write(path: Path, made: dict[str, Any], voxels: np.ndarray) -> Path:
    """A NIfTI file of these stored numbers, its qform unset so that nothing but the sform says where it lies."""
    kind = made["version"] if made["suffix"] != ".img" else nib.Nifti1Pair
    header = kind.header_class(endianness=made["kind"].byteorder if made["kind"].byteorder in "<>" else "<")
    header.set_data_dtype(made["kind"])
    image = kind(voxels, made["affine"], header)
    image.set_sform(made["affine"], code=2)
    image.set_qform(None, code=0)
    if made["scale"]:
        image.header.set_slope_inter(*made["scale"])
    path = path.with_name(path.name + made["suffix"])
    image.to_filename(path)
    return path


def random_voxels(made: dict[str, Any]) -> np.ndarray:
    """Stored numbers over all of the type's range; floats as float32 holds them."""
    rng, kind = np.random.default_rng(made["seed"]), made["kind"]
    if kind.kind == "f":
        return (rng.normal(size=made["shape"]) * 1000).astype(np.float32).astype(kind)
    info = np.iinfo(kind)
    return rng.integers(info.min, info.max, made["shape"], dtype=kind.newbyteorder("="), endpoint=True).astype(kind)


def converted(folder: Path, **chosen: Any) -> Store:
    """What becomes of the sources in the folder; nothing may be set aside."""
    summary = convert(folder / "in", folder / "store", settings=Settings(keep_names=True, **chosen), jobs=0)
    assert summary.faults == []
    return open_store(folder / "store")


def batches(size: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(files(), min_size=size, max_size=size)


def place_in(folder: str) -> Path:
    root = Path(folder)
    (root / "in" / "mr").mkdir(parents=True)
    return root


@pytest.mark.slow
@settings(QUICKLY, max_examples=8)
@given(batches(24), st.sampled_from([16, 48]), st.sampled_from(["zarr", "webdataset"]))
def test_voxels_come_back_exactly_and_at_their_place(batch: list[dict[str, Any]], chunk: int, container: str) -> None:
    with TemporaryDirectory() as folder:
        root = place_in(folder)
        paths = {
            f"mr/{n}": write(root / "in" / "mr" / str(n), made, random_voxels(made)) for n, made in enumerate(batch)
        }
        store = converted(root, chunk=chunk, container=container)
        assert set(store.names()) == set(paths)
        for name, path in paths.items():
            original, volume = nib.load(path), store.read(name)
            places = np.argwhere(np.ones(volume.shape, bool))[:: max(1, volume.voxels.size // 500)]
            back = apply_affine(np.linalg.inv(original.affine), apply_affine(volume.affine, places))
            nearest = np.rint(back).astype(int)
            assert np.abs((back - nearest) @ original.affine[:3, :3].T).max() < 1e-4
            real = np.asarray(original.dataobj)
            expected = real[tuple(nearest.T)].astype(volume.voxels.dtype)
            assert np.array_equal(volume.voxels[tuple(places.T)], expected)
            assert sorted(volume.shape) == sorted(original.shape)
            assert nib.aff2axcodes(volume.affine) == ("R", "A", "S")


@pytest.mark.slow
@settings(QUICKLY, max_examples=6)
@given(batches(16), st.booleans(), st.sampled_from(["native", "int16", "float16", "float32"]))
def test_a_bright_voxel_stays_at_its_place_in_the_world(batch: list[dict[str, Any]], crop: bool, dtype: str) -> None:
    with TemporaryDirectory() as folder:
        root, worlds = place_in(folder), {}
        for number, made in enumerate(batch):
            voxels = np.zeros(made["shape"], made["kind"])
            landmark = tuple(np.random.default_rng(made["seed"]).integers(made["shape"]))
            voxels[landmark] = BRIGHT
            write(root / "in" / "mr" / str(number), {**made, "scale": None}, voxels)
            worlds[f"mr/{number}"] = apply_affine(made["affine"].astype(np.float32).astype(float), landmark)
        store = converted(root, crop_foreground=crop, dtype=dtype)
        for name, world in worlds.items():
            volume = store.read(name)
            (place,) = np.argwhere(volume.voxels == BRIGHT)
            assert np.abs(apply_affine(volume.affine, place) - world).max() < 1e-4


SPACINGS = st.tuples(*[st.floats(0.8, 4.0)] * 3)


@pytest.mark.slow
@settings(QUICKLY, max_examples=6)
@given(st.lists(affines(), min_size=6, max_size=6), SPACINGS, st.integers(0, 2**32 - 1))
def test_a_blob_stays_at_its_place_whatever_the_spacing(
    directions: list[np.ndarray], spacing: tuple[float, float, float], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    with TemporaryDirectory() as folder:
        root, worlds = place_in(folder), {}
        for number, affine in enumerate(directions):
            affine[:3, :3] *= rng.uniform(0.9, 2.5, 3) / np.linalg.norm(affine[:3, :3], axis=0)
            shape, center = (44, 40, 42), rng.uniform(19, 22, 3)
            index = np.indices(shape).reshape(3, -1).T
            apart = ((index - center) * np.linalg.norm(affine[:3, :3], axis=0)) ** 2
            voxels = (1000 * np.exp(-apart.sum(1) / (2 * 5.0**2))).astype(np.float32).reshape(shape)
            image = nib.Nifti1Image(voxels, affine)
            image.to_filename(root / "in" / "mr" / f"{number}.nii")
            worlds[f"mr/{number}"] = apply_affine(image.affine, center)
        store = converted(root, spacing=spacing)
        for name, world in worlds.items():
            volume = store.read(name)
            assert np.allclose(volume.spacing, spacing, atol=1e-6)
            mass = apply_affine(volume.affine, ndimage.center_of_mass(volume.voxels))
            assert np.abs(mass - world).max() < 0.05


@pytest.mark.slow
@settings(QUICKLY, max_examples=6)
@given(st.lists(affines(), min_size=6, max_size=6), SPACINGS, st.integers(0, 2**32 - 1))
def test_a_ramp_is_reproduced_whatever_the_spacing(
    directions: list[np.ndarray], spacing: tuple[float, float, float], seed: int
) -> None:
    slope = np.random.default_rng(seed).uniform(-3, 3, 3)
    with TemporaryDirectory() as folder:
        root = place_in(folder)
        for number, affine in enumerate(directions):
            affine[:3, :3] /= np.linalg.norm(affine[:3, :3], axis=0)
            affine[:3, 3] /= 10
            world = apply_affine(affine, np.indices((34, 32, 36)).reshape(3, -1).T)
            ramp = nib.Nifti1Image((world @ slope).astype(np.float32).reshape(34, 32, 36), affine)
            ramp.to_filename(root / "in" / "mr" / f"{number}.nii")
        store = converted(root, spacing=spacing)
        for name in store.names():
            volume = store.read(name)
            index = np.indices(volume.shape).reshape(3, -1).T
            # Smoothing mirrors what lies beyond the faces, so that only what is away from them is a ramp still.
            edge = np.ceil(8.0 / np.array(spacing)).astype(int)
            inner = ((index >= edge) & (index < np.array(volume.shape) - edge)).all(1)
            expected = apply_affine(volume.affine, index) @ slope
            assert inner.any()
            assert np.abs(volume.voxels.ravel() - expected)[inner].max() < 1e-3


@pytest.mark.slow
@settings(QUICKLY, max_examples=6)
@given(batches(16), st.sampled_from(["int16", "float16", "float32"]))
def test_the_recorded_error_is_the_true_one(batch: list[dict[str, Any]], dtype: str) -> None:
    with TemporaryDirectory() as folder:
        root = place_in(folder)
        for number, made in enumerate(batch):
            fits = {**made, "scale": made["scale"] if dtype != "float16" else None}
            least = 0 if made["kind"].kind == "u" else -100
            small = np.clip(random_voxels(fits), least, 100 if made["kind"].itemsize == 1 else 9000)
            write(root / "in" / "mr" / str(number), fits, small.astype(made["kind"]))
        store = converted(root, dtype=dtype)
        for name in store.names():
            path = next((root / "in" / "mr").glob(f"{name.partition('/')[2]}.[ni]*"))
            original = nib.load(path)
            true = np.asarray(nib.as_closest_canonical(original).dataobj).astype(np.float64)
            error = np.abs(store.read(name).voxels.astype(np.float64) - true).max()
            # Where there is a scale, readers get float32, and the error is of what they would have got.
            is_scaled = original.dataobj.slope != 1 or original.dataobj.inter != 0
            slack = 2.0**-23 * np.abs(true).max() * is_scaled
            assert abs(error - store.row(name).quantization_error) <= slack


@pytest.mark.slow
@settings(QUICKLY, max_examples=2)
@given(batches(12), st.sampled_from(["zarr", "webdataset"]))
def test_the_same_sources_give_the_same_bytes(batch: list[dict[str, Any]], container: str) -> None:
    with TemporaryDirectory() as folder:
        root = place_in(folder)
        for number, made in enumerate(batch):
            write(root / "in" / "mr" / str(number), made, random_voxels(made))
        chosen = Settings(spacing=(2.0, 2.0, 2.0), dtype="int16", crop_foreground=True, container=container)
        for jobs in (0, 2):
            convert(root / "in", root / str(jobs), settings=chosen, jobs=jobs)
        assert bytes_of(root / "0") == bytes_of(root / "2")


def bytes_of(root: Path) -> dict[str, bytes]:
    kept = (path for path in root.rglob("*") if path.is_file() and ".mixio" not in path.parts)
    return {str(path.relative_to(root)): path.read_bytes() for path in kept}

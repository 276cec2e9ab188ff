"""Opening a store and reading from it; what is no store, half a store or a newer one is refused."""

import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tensorstore
import zarr

from mixio.convert import convert
from mixio.errors import InvalidArgument, StoreError
from mixio.manifest import write_manifest
from mixio.settings import Settings
from mixio.store import Store, open_store
from mixio.stores.storage import storage_of
from mixio.stores.zarr import root_bytes
from tests.conftest import write_nifti


def test_names_are_sorted_and_chosen_by_domain_and_split(small_store: Store) -> None:
    assert small_store.domains == ("abdomen-ct", "brain-t1", "pet")
    assert small_store.names("pet") == ["pet/0", "pet/1", "pet/2"]
    train, val = small_store.names("pet", "train"), small_store.names("pet", "val")
    assert sorted(train + val) == small_store.names("pet")
    assert train
    assert val


def test_a_patch_is_a_slice_of_the_whole(small_store: Store) -> None:
    whole = small_store.read("abdomen-ct/0").voxels
    patch = small_store.read_patch("abdomen-ct/0", corner=(5, 7, 9), size=(20, 20, 20))
    assert patch.dtype == np.int16
    assert np.array_equal(patch, whole[5:25, 7:27, 9:29])


def test_outside_the_volume_a_patch_holds_background(small_store: Store) -> None:
    patch = small_store.read_patch("abdomen-ct/0", corner=(-4, 0, 0), size=(8, 8, 8))
    assert (patch[:4] == small_store.row("abdomen-ct/0").background).all()


def test_occupancy_says_where_the_body_is(small_store: Store) -> None:
    cells = small_store.occupancy("abdomen-ct/0")
    assert cells.shape == (5, 5, 4)
    assert cells[2, 2, 2] > 250
    assert cells[0, 0, 0] == 0


def test_a_store_pickles_as_its_path(small_store: Store) -> None:
    again = pickle.loads(pickle.dumps(small_store))
    assert again.names() == small_store.names()
    assert repr(again).endswith("13 volumes, 3 domains)")


def test_a_pickled_store_and_its_names_are_some_bytes_however_many_volumes(small_store: Store, tmp_path: Path) -> None:
    row = replace(small_store.row("pet/0"), split="train", path="pet/000000.tar")
    rows = [replace(row, key=f"{number:06d}") for number in range(3000)]
    (tmp_path / "zarr.json").write_bytes((Path(small_store.path) / "zarr.json").read_bytes())
    write_manifest(storage_of(tmp_path), rows)
    store = open_store(tmp_path)
    sent = pickle.dumps((store, store.volumes("pet", "train"), store.volumes()))
    assert len(sent) < 1000 + 5 * len(str(tmp_path))
    again, train, every = pickle.loads(sent)
    assert (len(again), len(train), [*every]) == (3000, 3000, store.names())
    assert again.fingerprint == store.fingerprint


def test_a_worker_that_reads_rows_loads_no_pyarrow(small_store: Store) -> None:
    code = (
        "import pickle, sys; store = pickle.loads(bytes.fromhex(sys.argv[1])); "
        "print(store.row('pet/0').shape, store.read('pet/1').voxels.shape, 'pyarrow' in sys.modules)"
    )
    sent = pickle.dumps(small_store).hex()
    done = subprocess.run([sys.executable, "-c", code, sent], capture_output=True, text=True, check=True)
    assert done.stdout == "(20, 18, 12) (20, 18, 12) False\n"


def test_unknown_volumes_and_labels_are_named_with_what_there_is(small_store: Store) -> None:
    with pytest.raises(InvalidArgument, match="no volume 'pet/9'; it has pet/0, pet/1, pet/2"):
        small_store.read("pet/9")
    with pytest.raises(InvalidArgument, match="no volume 'pet/9'; it has pet/0, pet/1, pet/2"):
        small_store.shapes(["pet/0", "pet/9"])
    with pytest.raises(InvalidArgument, match="no volume 'mri/1'; its domains are abdomen-ct, brain-t1, pet"):
        small_store.read("mri/1")
    with pytest.raises(InvalidArgument, match="pet/0 has no label map 'liver'; it has none"):
        small_store.read("pet/0", label="liver")


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such store; make one with `mixio convert SOURCES"):
        open_store(tmp_path / "gone")
    with pytest.raises(StoreError, match=r"not a mixio store, its zarr\.json does not say"):
        open_store(tmp_path)


def test_a_half_written_store_is_refused(small_store: Store, tmp_path: Path) -> None:
    shutil.copytree(small_store.path, tmp_path / "half", ignore=shutil.ignore_patterns("manifest.parquet"))
    with pytest.raises(StoreError, match="half-written, manifest.parquet is missing; run `mixio convert` again"):
        open_store(tmp_path / "half")


def test_a_store_of_a_newer_schema_is_refused(small_store: Store, tmp_path: Path) -> None:
    shutil.copytree(small_store.path, tmp_path / "new")
    (tmp_path / "new" / "zarr.json").write_bytes(root_bytes({**small_store.attributes, "schema_version": 99}))
    with pytest.raises(StoreError, match="schema version 99 is newer than 2, the newest known here; upgrade mixio"):
        open_store(tmp_path / "new")


@pytest.fixture(scope="module")
def real_store(real_volumes: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    path = tmp_path_factory.mktemp("real") / "store"
    summary = convert(real_volumes / "sources.csv", path, settings=Settings(keep_names=True, val_fraction=0.2), jobs=2)
    assert summary.faults == []
    return open_store(path)


def test_every_real_volume_is_what_nibabel_zarr_and_tensorstore_read(real_volumes: Path, real_store: Store) -> None:
    assert len(real_store) == 66
    for name in real_store.names():
        row, volume = real_store.row(name), real_store.read(name)
        original = nib.as_closest_canonical(nib.load(real_volumes / row.source))
        exact = np.issubdtype(row.dtype, np.integer) and (row.slope, row.inter) == (1, 0)
        truth = np.asarray(original.dataobj) if exact else original.get_fdata().astype(np.float32)
        assert np.array_equal(volume.voxels, truth), name
        assert np.allclose(volume.affine, original.affine, atol=1e-6), name
        stored = real_store.read_patch(name, corner=(0, 0, 0), size=row.shape)
        path = Path(real_store.path) / row.path / "0"
        assert np.array_equal(zarr.open(path, mode="r")[:], stored), name
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
        assert np.array_equal(tensorstore.open(spec).result().read().result(), stored), name


def test_all_48_axis_orders_of_one_brain_become_one_volume(real_volumes: Path, tmp_path: Path) -> None:
    brain = nib.load(real_volumes / "brain_t1" / "nibabel_someones_anatomy.nii.gz")
    for order in permutations(range(3)):
        for signs in product((1, -1), repeat=3):
            turned = brain.as_reoriented(np.column_stack([order, signs]))
            name = "".join(nib.aff2axcodes(turned.affine))
            write_nifti(tmp_path / "in" / "brain-t1" / f"{name}.nii", np.asarray(turned.dataobj), turned.affine)
    convert(tmp_path / "in", tmp_path / "store", settings=Settings(keep_names=True), jobs=0)
    store = open_store(tmp_path / "store")
    volumes = [store.read(name) for name in store.names()]
    assert len(volumes) == 48
    assert all(store.row(name).orientation == store.row(name).key for name in store.names())
    for volume in volumes[1:]:
        assert np.array_equal(volume.voxels, volumes[0].voxels)
        assert np.allclose(volume.affine, volumes[0].affine, atol=1e-4)


def test_patches_read_together_are_those_read_one_by_one(small_store: Store) -> None:
    requests = [("abdomen-ct/0", (5, 7, 9)), ("pet/1", (-4, 0, 0)), ("abdomen-ct/0", (6, 7, 9))]
    alone = [small_store.read_patch(name, corner=corner, size=(8, 9, 10)) for name, corner in requests]
    together = small_store.read_patches(requests, size=(8, 9, 10))
    assert [patch.dtype for patch in together] == [np.int16, np.float32, np.int16]
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one, other)
    out = [np.empty_like(patch) for patch in alone]
    filled = small_store.read_patches(requests, size=(8, 9, 10), out=out)
    assert [id(patch) for patch in filled] == [id(patch) for patch in out]
    assert all(np.array_equal(one, other) for one, other in zip(alone, out, strict=True))


def test_patches_are_normalized_on_the_way_into_float32_arrays(small_store: Store) -> None:
    requests = [("abdomen-ct/0", (-2, 7, 9)), ("pet/1", (1, 0, 0))]
    linear = [(float(np.float32(1 / 700)), 1.25), (0.5, -0.25)]
    out = list(np.empty((2, 8, 9, 10), np.float32))
    small_store.read_patches(requests, size=(8, 9, 10), out=out, linear=linear)
    stored = small_store.read_patches(requests, size=(8, 9, 10))
    for (scale, offset), voxels, patch in zip(linear, stored, out, strict=True):
        line = voxels.astype(np.float32) * np.float32(scale) + np.float32(offset)
        assert patch.tobytes() == np.clip(line, 0, 1).tobytes()
    with pytest.raises(InvalidArgument, match="linear needs out"):
        small_store.read_patches(requests, size=(8, 9, 10), linear=linear)


def test_names_that_are_none_are_refused(small_store):
    with pytest.raises(InvalidArgument, match="no domain 'train'; it has .*'abdomen-ct'"):
        small_store.names("train")
    with pytest.raises(InvalidArgument, match="split must be one of train, val, test, or None for all, got 'trian'"):
        small_store.volumes("pet", "trian")
    with pytest.raises(InvalidArgument, match=r"a volume has a name, as in store.names\(\), got 0"):
        small_store.read(0)


@pytest.mark.parametrize("numbers", [8, (8, 8), (0.5, 8, 8), "888", None])
def test_corners_and_sizes_are_three_whole_numbers(small_store, numbers):
    with pytest.raises(InvalidArgument, match="corner has three whole numbers of voxels"):
        small_store.read_patch("pet/0", corner=numbers, size=(8, 8, 8))
    with pytest.raises(InvalidArgument, match="size has three whole numbers of voxels"):
        small_store.read_patch("pet/0", corner=(0, 0, 0), size=numbers)
    with pytest.raises(InvalidArgument, match="out has one for each of 1 patches, got 0"):
        small_store.read_patches([("pet/0", (0, 0, 0))], size=(8, 8, 8), out=[])
    with pytest.raises(InvalidArgument, match="asked for by a name and a corner"):
        small_store.read_patches(["pet/0"], size=(8, 8, 8))

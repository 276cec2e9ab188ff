"""Any one bit of a store flipped: `verify` finds it, and nobody is given wrong voxels, affine, slope, unit or key.

A flip is made in the file itself and undone afterwards. Every check opens the store anew and verifies all of it.
"""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner

from mixio.cli import main
from mixio.convert import convert
from mixio.errors import DamagedStoreError, StoreError
from mixio.quarantine import NAME as QUARANTINE
from mixio.settings import Settings
from mixio.store import Store, open_store
from mixio.verify import Damage, verify
from tests.conftest import write_nifti

Answers = dict[tuple[str, str], Any]
MUCH_MEMORY_KB = 200_000


@pytest.fixture(params=["zarr", "webdataset"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Three small volumes in two domains, one with a label map, one scaled, one in two tars or shards of its own."""
    rng = np.random.default_rng(0)
    voxels = rng.integers(-1000, 900, (11, 9, 10)).astype(np.int16)
    voxels[:4] = -1000
    write_nifti(tmp_path / "ct.nii", voxels)
    write_nifti(tmp_path / "label.nii", (voxels > 0).astype(np.uint8))
    scaled = nib.Nifti1Image(voxels, np.diag([1.0, 2.0, 3.0, 1.0]))
    scaled.header.set_slope_inter(0.25, 3)
    scaled.to_filename(tmp_path / "pet.nii")
    write_nifti(tmp_path / "mr.nii", rng.random((8, 8, 8)).astype(np.float32))
    table = tmp_path / "table.csv"
    table.write_text("path,domain,label,unit\nct.nii,ct,label.nii,\npet.nii,pet,,SUV\nmr.nii,ct,,\n")
    settings = Settings(container=request.param, chunk=8, keep_names=True, val_fraction=0, shard_size=4096)
    assert convert(table, tmp_path / "store", settings=settings, jobs=0).faults == []
    return open_store(tmp_path / "store")


def files_of(store: Store) -> list[Path]:
    """Every file but what the conversion keeps for itself and the quarantine."""
    found = sorted(path for path in Path(store.path).rglob("*") if path.is_file())
    return [path for path in found if ".mixio" not in path.parts and path.name != QUARANTINE]


@contextmanager
def flipped(path: Path, place: int) -> Iterator[None]:
    """The file with bit `place` flipped, while the context lasts."""
    flip(path, place)
    try:
        yield
    finally:
        flip(path, place)


def flip(path: Path, place: int) -> None:
    """Flip one bit in place."""
    with path.open("r+b") as file:
        (byte,) = os.pread(file.fileno(), 1, place // 8)
        os.pwrite(file.fileno(), bytes([byte ^ 1 << place % 8]), place // 8)


def answers_of(store: Store) -> Answers:
    """All that the store says of its volumes; a `StoreError` where it refuses."""
    answers: Answers = {("", "names"): store.names()}
    for name in store.names():
        for what, ask in QUESTIONS.items():
            try:
                answers[name, what] = ask(store, name)
            except StoreError as error:
                answers[name, what] = error
    return answers


QUESTIONS = {
    "volume": lambda s, n: (lambda v: [v.voxels, v.affine, v.slope, v.inter, v.unit])(s.read(n)),
    "stored": lambda s, n: s.read_patch(n, corner=(-1, 2, 3), size=(9, 7, 6)),
    "occupancy": lambda s, n: s.occupancy(n),
    "label": lambda s, n: [s.read(n, label=label).voxels for label in s.row(n).labels],
    "row": lambda s, n: s.row(n),
}


def check(store: Store, truth: Answers) -> str:
    """Assert that a store with one flipped bit is found out; says the file that is named."""
    try:
        opened = open_store(store.path)
    except DamagedStoreError as error:
        return str(error)
    found = [step for step in verify(opened) if isinstance(step, Damage)]
    assert found
    answers = answers_of(opened)
    assert answers.keys() == truth.keys()
    for key, answer in answers.items():
        if not isinstance(answer, StoreError):
            np.testing.assert_equal(answer, truth[key])
    return found[0].file


@pytest.mark.slow
def test_no_flipped_bit_is_missed_and_none_is_read_as_data(store: Store) -> None:
    truth, files, rng = answers_of(store), files_of(store), np.random.default_rng(2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(1100):
        path = files[rng.integers(len(files))]
        with flipped(path, int(rng.integers(8 * path.stat().st_size))):
            assert str(path.relative_to(store.path)) in check(store, truth)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MUCH_MEMORY_KB
    assert not any(isinstance(step, Damage) for step in verify(open_store(store.path)))
    np.testing.assert_equal(answers_of(open_store(store.path)), truth)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["manifest.json", "zarr.json"])
def test_every_bit_of_the_files_that_open_a_store_counts(store: Store, name: str) -> None:
    truth, path = answers_of(store), Path(store.path) / name
    for place in range(8 * path.stat().st_size):
        with flipped(path, place):
            assert name in check(store, truth)


def test_the_command_names_the_file_and_exits_with_1(store: Store) -> None:
    kinds = {path.name: path for path in files_of(store)}
    assert {"manifest.json", "manifest.parquet", "zarr.json"} <= kinds.keys()
    for path in [*kinds.values(), Path(store.path) / "zarr.json"]:
        with flipped(path, 4 * path.stat().st_size):
            result = CliRunner().invoke(main, ["verify", store.path])
        assert result.exit_code == 1
        assert str(path.relative_to(store.path)) in result.stderr
    assert CliRunner().invoke(main, ["verify", store.path]).exit_code == 0


def test_a_bit_that_flips_while_a_store_is_open_is_not_read_as_data(store: Store) -> None:
    truth, files, rng = answers_of(store), files_of(store), np.random.default_rng(3)
    for path in files:
        opened = open_store(store.path)
        with flipped(path, int(rng.integers(8 * path.stat().st_size))):
            answers = answers_of(opened)
        for key, answer in answers.items():
            if not isinstance(answer, StoreError):
                np.testing.assert_equal(answer, truth[key])

"""Each option of `mixio convert` does what its help says; what came out is read by zarr-python and nibabel."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import zarr
from click.testing import CliRunner, Result

from mixio.cli import main
from mixio.row import Row
from mixio.settings import Settings, settings_of
from mixio.store import open_store
from tests.conftest import write_nifti

SHAPE = (20, 18, 16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One MR volume of 20 x 18 x 16 voxels of 2 x 2 x 3 mm: a bright box on nothing."""
    voxels = np.zeros(SHAPE, np.int16)
    voxels[4:12, 6:10, 8:16] = np.random.default_rng(1).integers(500, 900, (8, 4, 8))
    write_nifti(tmp_path / "in" / "mr" / "a.nii.gz", voxels)
    return tmp_path


def run(folder: Path, *words: object, store: str = "store") -> Result:
    command = ["convert", folder / "in", folder / store, "--jobs", 0, "--keep-names", *words]
    return CliRunner().invoke(main, [str(word) for word in command])


def row(folder: Path, *words: object) -> Row:
    """The row of the one volume, converted with these options."""
    result = run(folder, *words)
    assert result.exit_code == 0, result.output
    store = open_store(folder / "store")
    return store.row(store.names()[0])


def stored(folder: Path) -> zarr.Array:
    return zarr.open_array(folder / "store" / "mr" / "a" / "0", mode="r")


def test_without_options_voxels_and_grid_are_the_sources(folder: Path) -> None:
    found, original = row(folder), nib.load(folder / "in" / "mr" / "a.nii.gz")
    assert np.array_equal(stored(folder)[...], np.asarray(original.dataobj))
    assert np.array_equal(found.matrix, original.affine)
    assert (found.dtype, found.codec, stored(folder).chunks) == ("int16", Settings().codec, SHAPE)


@pytest.mark.parametrize(
    ("spacing", "shape"), [("native", SHAPE), ("1.5,1.5,2.0", (27, 24, 24)), ("4x4x6", (10, 9, 8))]
)
def test_spacing_is_that_of_the_stored_grid(folder: Path, spacing: str, shape: tuple[int, ...]) -> None:
    found = row(folder, "--spacing", spacing)
    assert (found.shape, stored(folder).shape) == (shape, shape)
    expected = {"native": (2, 2, 3), "1.5,1.5,2.0": (1.5, 1.5, 2), "4x4x6": (4, 4, 6)}[spacing]
    assert found.spacing == pytest.approx(expected)


@pytest.mark.parametrize("dtype", ["int16", "float16", "float32"])
def test_dtype_is_that_of_the_stored_voxels_and_its_cost_is_recorded(folder: Path, dtype: str) -> None:
    found, original = row(folder, "--dtype", dtype), nib.load(folder / "in" / "mr" / "a.nii.gz").get_fdata()
    assert stored(folder).dtype == dtype
    assert found.quantization_error == np.abs(stored(folder)[...] - original).max()


def test_crop_foreground_keeps_the_box_and_whole_does_not(folder: Path) -> None:
    assert row(folder, "--crop-foreground").shape == (8, 4, 8)
    assert run(folder, "--whole", store="other").exit_code == 0
    assert open_store(folder / "other").row("mr/a").shape == SHAPE


@pytest.mark.parametrize("codec", ["zstd:3", "lz4hc:9", "none"])
def test_zarr_python_reads_every_codec(folder: Path, codec: str) -> None:
    assert row(folder, "--codec", codec).codec.startswith(codec.partition(":")[0])
    assert np.array_equal(stored(folder)[...], nib.load(folder / "in" / "mr" / "a.nii.gz").get_fdata())
    assert ("zstd" in (folder / "store" / "mr" / "a" / "0" / "zarr.json").read_text()) == (codec == "zstd:3")


def test_chunk_is_the_edge_of_a_chunk(folder: Path) -> None:
    row(folder, "--chunk", 8)
    assert stored(folder).chunks == (8, 8, 8)


@pytest.mark.parametrize(("size", "tars"), [("1", 3), ("1GiB", 1)])
def test_a_tar_is_closed_at_the_shard_size(folder: Path, size: str, tars: int) -> None:
    for name in "bc":
        write_nifti(folder / "in" / "mr" / f"{name}.nii", np.ones((4, 4, 4), np.int16))
    assert run(folder, "--container", "webdataset", "--shard-size", size).exit_code == 0
    assert len(list((folder / "store" / "mr").glob("*.tar"))) == tars


@pytest.mark.parametrize(("frames", "values"), [("first", [1]), ("mean", [2]), ("each", [1, 2, 3])])
def test_frames_are_what_was_asked_for(folder: Path, frames: str, values: list[int]) -> None:
    moving = np.stack([np.full((4, 4, 4), value, np.int16) for value in (1, 2, 3)], -1)
    write_nifti(folder / "in" / "mr" / "a.nii.gz", moving)
    assert run(folder, "--frames", frames).exit_code == 0
    store = open_store(folder / "store")
    assert [store.read(name).voxels.max() for name in store.names()] == values


def test_what_is_left_out_is_told_and_the_exit_code_is_1(folder: Path) -> None:
    write_nifti(folder / "in" / "mr" / "b.nii", np.ones((4, 4, 4, 2), np.int16))
    nib.Nifti1Image(np.ones((4, 4, 4), np.int16), None).to_filename(folder / "in" / "mr" / "c.nii")
    result = run(folder)
    assert result.exit_code == 1
    assert "choose with --frames first, mean or each" in result.stderr
    assert "accept a guess with --assume-affine" in result.stderr
    assert run(folder, "--frames", "first", "--assume-affine", store="other").exit_code == 0


@pytest.mark.parametrize(("most", "code"), [((), 1), (("--max-nonfinite", 0.5), 0), (("--max-nonfinite", 0), 1)])
def test_max_nonfinite_is_the_share_that_is_borne(folder: Path, most: tuple, code: int) -> None:
    voxels = np.ones((10, 10, 10), np.float32)
    voxels[:2] = np.nan
    write_nifti(folder / "in" / "mr" / "b.nii", voxels)
    result = run(folder, *most)
    assert result.exit_code == code
    assert ("20.00% of its voxels are NaN or infinite" in result.stderr) == (code == 1)


def test_names_are_hashed_unless_they_are_kept(folder: Path) -> None:
    command = ["convert", str(folder / "in"), str(folder / "hashed"), "--jobs", "0", "--salt", "pepper"]
    assert CliRunner().invoke(main, command).exit_code == 0
    assert [path.name[:5] for path in (folder / "hashed" / "mr").glob("*-*")] == ["case-"]
    assert settings_of(folder / "hashed", salt="pepper") is not None


def test_val_fraction_and_split_seed_choose_the_subjects(folder: Path) -> None:
    for number in range(16):
        write_nifti(folder / "in" / "mr" / f"{number}.nii", np.ones((2, 2, 2), np.int16))
    held = []
    for seed in (1, 2):
        assert run(folder, "--val-fraction", 0.4, "--split-seed", seed, store=f"s{seed}").exit_code == 0
        held.append(set(open_store(folder / f"s{seed}").names(split="val")))
    assert held[0] != held[1]
    assert all(2 <= len(names) <= 12 for names in held)


def test_json_is_the_summary_and_nothing_else(folder: Path) -> None:
    (folder / "in" / "mr" / "b.nii").write_bytes(b"junk")
    result = run(folder, "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["converted"], told["found"], told["store"]) == (1, 1, 0, str(folder / "store"))
    assert [Path(fault["source"]).name for fault in told["faults"]] == ["b.nii"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--spacing", "1,2"), "spacing must be native or three numbers in mm as in 1.5,1.5,2.0, got '1,2'"),
        (("--spacing", "1,0,1"), "spacing must be three positive numbers in mm"),
        (("--chunk", 0), "chunk must be at least 1 voxel, got 0"),
        (("--codec", "zip"), "codec"),
        (("--shard-size", "big"), "expected a number of bytes such as 512M or 16GB, got 'big'"),
        (("--memory", "0"), "expected a number of bytes such as 512M or 16GB, got '0'"),
        (("--max-nonfinite", 1), "max_nonfinite must be at least 0 and below 1, got 1.0"),
        (("--val-fraction", -1), "val_fraction must be at least 0 and below 1"),
        (("--split-seed", -1), "split_seed must be from 0 to"),
        (("--jobs", -1), "jobs must be at least 1, or 0 to work in this process, got -1"),
        (("--dtype", "int8"), "'int8' is not one of 'native', 'int16', 'float16', 'float32'"),
    ],
)
def test_wrong_use_is_told_and_the_exit_code_is_2(folder: Path, words: tuple, told: str) -> None:
    result = run(folder, *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert not (folder / "store").exists()

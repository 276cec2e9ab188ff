"""What a user can get wrong ends in one line that names it and the way out, and exit code 2, at the commands too."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from mixio.cli import main as mixio_main
from mixio.manifest import write_manifest
from mixio.store import Store
from mixio.stores.storage import storage_of
from mixio.stores.zarr import root_bytes
from tools import allocate, benchmark, fit_laws, report, sweep, train

TRAIN = "--draws 8 --patch-size 8 --token-size 4 --mixture".split()


def refused(command: object, *words: object) -> str:
    """The one line on stderr."""
    result = CliRunner().invoke(command, [str(word) for word in words])
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.mark.parametrize("tool", [train.main, sweep.main, benchmark.main])
def test_a_missing_store(tool: object, tmp_path: Path) -> None:
    words = [*TRAIN, "uniform"] if tool is train.main else []
    assert "no such store; make one with `mixio convert SOURCES" in refused(tool, tmp_path / "gone", *words)


def test_missing_runs(tmp_path: Path) -> None:
    line = refused(report.main, tmp_path / "gone", "--laws", "x", "--allocation", "y")
    assert "no runs at" in line


def test_an_unknown_domain_in_an_allocation(small_store: Store, tmp_path: Path) -> None:
    path = tmp_path / "allocation.json"
    path.write_text(json.dumps({"schema_version": 1, "shares": {"pet": 0.5, "liver": 0.5}, "budget": 8}))
    line = refused(train.main, small_store.path, "--runs", tmp_path, *TRAIN, path)
    assert "'liver' has share 0.5 but the data has only ['abdomen-ct', 'brain-t1', 'pet']; add volumes of it" in line


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        ("pet=0.93", "shares must sum to 1, got 0.93 for ['pet']; a missing domain?"),
        ("pet=1.5,brain-t1=-0.5", "-0.5"),
        ("pet", "--mixture must be uniform, proportional, temperature, unimax, an allocation.json, or shares like"),
    ],
)
def test_shares_that_cannot_be(small_store: Store, tmp_path: Path, mixture: str, message: str) -> None:
    assert message in refused(train.main, small_store.path, "--runs", tmp_path, *TRAIN, mixture)


def test_a_patch_of_nothing(small_store: Store) -> None:
    assert "patch_size must be one or three numbers of voxels, at least 1, got 0" in refused(
        benchmark.main, small_store.path, "--patch-size", 0
    )


def test_an_empty_domain(small_store: Store, tmp_path: Path) -> None:
    shutil.copytree(small_store.path, tmp_path / "s")
    rows = [small_store.row(name) for name in small_store.names() if small_store.row(name).split != "val"]
    write_manifest(storage_of(tmp_path / "s"), rows)
    line = refused(train.main, tmp_path / "s", "--runs", tmp_path, *TRAIN, "uniform")
    assert "no held-out volumes (split val) in abdomen-ct, brain-t1, pet: convert again with another" in line


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_a_newer_store_and_a_half_written_one(small_store: Store, tmp_path: Path, command: str) -> None:
    shutil.copytree(small_store.path, tmp_path / "new")
    (tmp_path / "new" / "zarr.json").write_bytes(root_bytes({**small_store.attributes, "schema_version": 9}))
    assert "schema version 9 is newer than 2" in refused(mixio_main, command, tmp_path / "new")
    shutil.copytree(small_store.path, tmp_path / "half")
    (tmp_path / "half" / "manifest.parquet").unlink()
    assert "half-written, manifest.parquet is missing; run `mixio convert` again" in refused(
        mixio_main, command, tmp_path / "half"
    )


def test_too_few_runs_for_a_law(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("run,draws:ct,draws:pet,loss:ct,loss:pet\na,10,0,0.5,0.9\nb,0,10,0.8,0.4\n")
    assert "observations" in refused(fit_laws.main, tmp_path / "runs.csv", "-o", tmp_path / "laws.json")


def test_laws_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "laws.json").write_text("{}")
    assert "laws.json" in refused(allocate.main, tmp_path / "laws.json", "--budget", 10, "-o", tmp_path / "a.json")

"""The storage benchmark as its user meets it: one object, tables, a picture, a verdict, refusals."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from mixio.convert import convert
from mixio.settings import Settings
from mixio.store import Store
from tests.servers import s3, s3_log, s3_server  # noqa: F401
from tools.benchmark import main

QUICK = ("--patch-size", 8, "--workers", "0", "--threads", "1", "--seconds", 0.1)


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_json_is_one_object_with_everything(small_store: Store, tmp_path: Path) -> None:
    result = run(small_store.path, *QUICK, "--workers", "0,1", "--peer", "--json", "--figure", tmp_path / "b.png")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert set(found) == set(
        "schema_version store patch_size batch_size need machine weight stored fits is_remote disk memory pipe reader "
        "loaders peers left_out verdict seconds".split()
    )
    loaders = [row["count"] for row in found["loaders"] if row["kind"] == "DataLoader" and not row["is_cold"]]
    assert loaders == [0, 1]
    assert found["pipe"]["workers"] == 1
    assert found["peers"][0]["name"] == "mixio"
    assert found["verdict"]["bottleneck"] in ("CPU", "disk", "IPC", "loader")
    with Image.open(tmp_path / "b.png") as picture:
        assert picture.size == (1200, 720)


def test_the_verdict_compares_with_what_the_model_needs(small_store: Store) -> None:
    assert "this feeds the GPU" in " ".join(run(small_store.path, *QUICK, "--need", 10).stdout.split())
    assert "this starves the GPU" in " ".join(run(small_store.path, *QUICK, "--need", 1e9).stdout.split())


def test_what_is_small_is_not_told_as_zero(small_store: Store) -> None:
    said = " ".join(run(small_store.path, *QUICK, "--step-ms", 0.4).stdout.split())
    assert "0.00 GB" not in said
    assert re.search(r" 0\.[1-9] MB stored, of which", said), said
    assert "DataLoader 0, step 0.4 ms" in said
    assert "8 MiB" not in said


def test_a_step_in_milliseconds_is_a_need(small_store: Store) -> None:
    found = json.loads(run(small_store.path, *QUICK, "--batch-size", 2, "--step-ms", 20, "--json").stdout)
    assert found["need"] == 100
    assert {row["step"] for row in found["loaders"]} == {0.0, 0.02}


def test_tables_end_with_what_to_run_next(small_store: Store) -> None:
    lines = run(small_store.path, *QUICK).stdout.splitlines()
    assert [title for title in lines if title.startswith(("Limits", "Reader", "Loaders"))] == [
        "Limits",
        "Reader alone, stored integers",
        "Loaders, float32 batches",
    ]
    assert lines[-1].startswith(f"next: python -m tools.train {small_store.path} --threads 1")


def test_tars_are_measured_without_peers(sources: Path, tmp_path: Path) -> None:
    settings = Settings(container="webdataset", chunk=16, val_fraction=0)
    convert(sources, tmp_path / "store", settings=settings, jobs=0)
    result = run(tmp_path / "store", *QUICK, "--peer")
    assert result.exit_code == 0, result.output
    assert "peers are left out: they read Zarr stores on a local disk only" in result.stdout


def test_a_store_in_a_bucket_has_no_disk_and_no_page_cache(sources: Path, s3: str) -> None:  # noqa: F811
    convert(sources, f"{s3}/benchmark", settings=Settings(chunk=16, val_fraction=0), jobs=0)
    result = run(f"{s3}/benchmark", *QUICK, "--peer")
    assert result.exit_code == 0, result.output
    said = " ".join(result.stdout.split())
    assert "disk: left out: the store is not on this machine" in said
    assert "no cold rows: a store elsewhere has no page cache here." in said
    assert "The network is the bottleneck" in said
    assert "peers are left out" in said


def test_wrong_use_is_one_line_and_exit_2(small_store: Store) -> None:
    for words, message in [
        ((small_store.path, "--workers", "two"), "--workers must be whole numbers from 0 on, like 0,2,4, got 'two'"),
        ((small_store.path, "--threads", "0"), "--threads must be whole numbers from 1 on, like 1,2,4, got '0'"),
        ((small_store.path, "--need", 3, "--step-ms", 3), "give one of them"),
        ((small_store.path, "--figure", "gone/b.png"), "there is no folder gone; make it first"),
        ((small_store.path, "--patch-size", 0), "patch_size must be one or three numbers of voxels, at least 1, got 0"),
        ((small_store.path, "--mixture", "liver=1"), "'liver' has share 1"),
        ((small_store.path + "-gone",), "no such store"),
    ]:
        result = run(*words)
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert message in result.stderr


def test_ctrl_c_ends_it_with_all_its_processes(small_store: Store) -> None:
    command = [sys.executable, "-m", "tools.benchmark", small_store.path, "--patch-size", "8", "--seconds", "2"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "without work" in line:
            break
    time.sleep(1)  # by now worker processes are starting, which would each print a traceback
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1, said
    assert "Aborted!" in said
    assert "Traceback" not in said
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("a process of the group is left")

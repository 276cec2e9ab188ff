"""Ranks that have really met, by gloo."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mixio.errors import InvalidArgument
from models.checkpoint import load_checkpoint
from tests.trainings import ended, finish, lines, start, told, wait_for
from tools.distributed import device_of, on_first_rank, rank, ranks, total, world_size
from tools.runlog import read_events

ROOT = Path(__file__).resolve().parents[1]
WORDS = "--draws 256 --eval-every 8"


@pytest.fixture(scope="module")
def alone(small_store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    finish(small_store, folder, f"{WORDS} --batch-size 8")
    return folder


def is_close(folder, alone):
    ours, theirs = (load_checkpoint(one / "mine.pt") for one in (folder, alone))
    assert ours["data"]["taken"] == theirs["data"]["taken"]
    assert ours["training"]["ledger"] == theirs["training"]["ledger"]
    for ours, theirs in zip(told(folder), told(alone), strict=True):
        assert ours.keys() == theirs.keys()
        if ours["event"] == "step":
            assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-4)
            assert ours.get("held_out") == pytest.approx(theirs.get("held_out"), abs=1e-4)
        elif ours["event"] == "result":
            assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-4)
            assert {**ours, "loss": 0} == {**theirs, "loss": 0}
        else:
            assert ours == theirs


def test_two_processes_learn_what_one_of_twice_the_batch_does(small_store, tmp_path, alone):
    finish(small_store, tmp_path, f"{WORDS} --batch-size 4", ranks=2)
    is_close(tmp_path, alone)
    assert read_events(tmp_path / "mine.jsonl")[0]["host"]["processes"] == 2


def test_so_do_two_that_accumulate(small_store, tmp_path, alone):
    finish(small_store, tmp_path, f"{WORDS} --batch-size 2 --accumulate 2", ranks=2)
    is_close(tmp_path, alone)


def test_two_that_are_stopped_go_on_as_one(small_store, tmp_path, alone):
    processes = start(small_store, tmp_path, f"{WORDS} --batch-size 4", ranks=2)
    wait_for(lambda: lines(tmp_path) > 4, processes)
    os.kill(processes[1].pid, signal.SIGTERM)  # one of them: all stop at the same step
    assert ended(processes) == [128 + signal.SIGTERM] * 2
    assert 0 < load_checkpoint(tmp_path / "mine.pt")["data"]["consumed"] < 256
    finish(small_store, tmp_path, f"{WORDS} --batch-size 8 --resume")
    is_close(tmp_path, alone)


def test_a_loss_that_is_not_finite_ends_every_rank_with_the_patches_of_all(small_store, tmp_path):
    words = f"{WORDS} --batch-size 2 --accumulate 2 --learning-rate 1e30 --clip 1e30"
    assert ended(start(small_store, tmp_path, words, ranks=2)) == [2, 2]
    first, second = ((tmp_path / f"errors-{rank}.txt").read_text() for rank in range(2))
    assert "the loss is not finite for 8 of 8 patches: " in first
    assert first.count("(draw ") == 8
    assert first == second


def test_what_the_first_rank_refuses_ends_all(small_store, alone):
    assert ended(start(small_store, alone, f"{WORDS} --batch-size 4", ranks=2)) == [2, 2]
    assert all("is a complete run" in (alone / f"errors-{rank}.txt").read_text() for rank in range(2))


def test_draws_must_fill_the_batches_of_all(small_store, tmp_path):
    assert ended(start(small_store, tmp_path, "--draws 24 --batch-size 4 --accumulate 2", ranks=2)) == [2, 2]
    message = "draws must be a positive multiple of batch_size 4 x accumulate 2 x 2 processes, got 24"
    assert message in (tmp_path / "errors-0.txt").read_text()


@pytest.mark.slow
def test_torchrun_starts_it(small_store, tmp_path):
    words = [*"-m torch.distributed.run --standalone --nproc-per-node 2 -m -- tools.train".split(), small_store.path]
    words += f"--mixture uniform --draws 16 --run mine --patch-size 8 --eval-crops 1 --runs {tmp_path}".split()
    around = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *words], cwd=tmp_path, env=around, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote ") == 1
    assert read_events(tmp_path / "mine.jsonl")[-1]["event"] == "result"


def test_alone_there_is_nobody_to_ask():
    assert (rank(), world_size()) == (0, 1)
    assert total(2.5, 1, device=torch.device("cpu")) == [2.5, 1]
    assert on_first_rank(lambda: "made", share=False) == "made"


def test_processes_that_were_not_told_where_to_meet_are_refused_with_the_way_out(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(InvalidArgument, match="cannot meet .*start them with torchrun"), ranks(torch.device("cpu")):
        pass


def test_each_rank_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "7777")
    with pytest.raises(InvalidArgument, match="--device cuda:7777 cannot be used here"):
        device_of("cuda")
    assert device_of("cpu") == torch.device("cpu")

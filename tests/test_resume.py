"""A run that is stopped, or killed, and goes on in another process is one that nobody stopped, to the last bit."""

import os
import signal
from argparse import Namespace
from itertools import pairwise

import pytest
import torch
from click.testing import CliRunner

from mixio.ledger import read_ledger
from models.checkpoint import load_checkpoint, save_checkpoint
from tests.trainings import FLAGS, ended, finish, lines, same, saved, start, told, wait_for
from tools.loop import build
from tools.options import ModelOptions, TrainOptions
from tools.runlog import read_events
from tools.train import main

WORDS = "--draws 480 --batch-size 8 --eval-every 20 --ema 0.9"


@pytest.fixture(scope="module")
def whole(small_store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    finish(small_store, folder, WORDS)
    return folder


def stopped_after(steps, store, folder, words, *, by=signal.SIGTERM):
    [process] = start(store, folder, words)
    wait_for(lambda: lines(folder) > steps, [process])
    os.kill(process.pid, by)
    return ended([process])[0]


def invoke(store, folder, *words):
    return CliRunner().invoke(main, [store.path, "--runs", str(folder), *FLAGS.split(), *WORDS.split(), *words])


def is_like(folder, whole):
    assert told(folder) == told(whole)
    assert same(saved(folder), saved(whole))
    delivered = [read_ledger(one / "mine.ledger.jsonl") for one in (folder, whole)]
    assert delivered[0] == delivered[1]


@pytest.mark.parametrize("reading", ["--threads 2", "--workers 1"])
def test_a_run_that_sigterm_stops_goes_on_to_the_same_losses_and_weights(small_store, tmp_path, whole, reading):
    assert stopped_after(5, small_store, tmp_path, f"{WORDS} {reading}") == 128 + signal.SIGTERM
    errors = (tmp_path / "errors-0.txt").read_text()
    assert "of 480 draws; wrote" in errors
    assert "next: the same command with --resume" in errors
    consumed = load_checkpoint(tmp_path / "mine.pt")["data"]["consumed"]
    assert told(tmp_path) == told(whole)[: 1 + consumed // 8]
    finish(small_store, tmp_path, f"{WORDS} --resume")
    is_like(tmp_path, whole)


def test_a_run_that_is_killed_goes_on_from_its_last_checkpoint(small_store, tmp_path, whole):
    words = f"{WORDS} --checkpoint-every 7 --resume"
    assert stopped_after(9, small_store, tmp_path, words, by=signal.SIGKILL) == -signal.SIGKILL
    consumed = load_checkpoint(tmp_path / "mine.pt")["data"]["consumed"]
    assert consumed % 56 == 0
    assert 56 <= consumed < 480
    finish(small_store, tmp_path, words)
    assert f"after {consumed} draws" in (tmp_path / "errors-0.txt").read_text()
    is_like(tmp_path, whole)


def test_a_run_that_is_killed_before_its_first_checkpoint_begins_anew(small_store, tmp_path, whole):
    assert stopped_after(2, small_store, tmp_path, WORDS, by=signal.SIGKILL) == -signal.SIGKILL
    finish(small_store, tmp_path, f"{WORDS} --resume")
    assert "there is no checkpoint" in (tmp_path / "errors-0.txt").read_text()
    is_like(tmp_path, whole)


@pytest.fixture(scope="module")
def part(small_store, tmp_path_factory):
    """A run that was stopped; tests may finish copies of it."""
    folder = tmp_path_factory.mktemp("part")
    stopped_after(3, small_store, folder, WORDS)
    return folder


@pytest.fixture
def stopped(part, tmp_path):
    for file in part.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    "change", ["--batch-size 4 --accumulate 2", "--workers 1 --threads 1", "--log-every 3", "--precision bfloat16"]
)
def test_how_the_steps_are_executed_may_change(small_store, stopped, whole, change):
    done = invoke(small_store, stopped, "--resume", *change.split())
    assert done.exit_code == 0, done.stderr
    tolerance = 1e-2 if "bfloat16" in change else 1e-5
    assert told(stopped)[-1]["loss"] == pytest.approx(told(whole)[-1]["loss"], rel=tolerance)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("--learning-rate 0.5 --seed 2", r"seed (0 there, 2 here), learning_rate (0.002 there, 0.5 here)"),
        ("--batch-size 16", "batch_size x accumulate x processes (8 there, 16 here)"),
        ("--ema 0", "ema (0.9 there, 0.0 here)"),
        ("--width 24", "width (12 there, 24 here)"),
        ("--mixture pet=1", "share of pet (0.333"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused_with_what_differs(small_store, stopped, change, message):
    before = (stopped / "mine.jsonl").read_bytes()
    done = invoke(small_store, stopped, "--resume", *change.split())
    assert done.exit_code == 2
    assert f"{stopped}/mine.pt is of a run with other settings: " in done.stderr
    assert message in done.stderr
    assert (stopped / "mine.jsonl").read_bytes() == before


def test_a_run_that_could_go_on_is_not_begun_anew_by_accident(small_store, stopped):
    before = (stopped / "mine.pt").read_bytes()
    done = invoke(small_store, stopped)
    assert done.exit_code == 2
    assert "was stopped on its way" in done.stderr
    assert "go on with --resume" in done.stderr
    assert (stopped / "mine.pt").read_bytes() == before


def test_a_complete_run_does_not_go_on(small_store, whole):
    done = invoke(small_store, whole, "--resume")
    assert done.exit_code == 2
    assert "mine.jsonl is a complete run" in done.stderr


def test_a_run_without_its_log_does_not_go_on(small_store, stopped):
    (stopped / "mine.jsonl").unlink()
    done = invoke(small_store, stopped, "--resume")
    assert done.exit_code == 2
    assert "mine.jsonl is gone: put it back" in done.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK torn", "is torn, or not a checkpoint"),
        (Namespace(), "mine.pt holds a pickled argparse.Namespace, which can run code"),
        (None, "nothing to go on from"),
    ],
)
def test_what_is_no_checkpoint_of_a_run_is_refused(small_store, stopped, content, message):
    if content is None:
        save_checkpoint(stopped / "mine.pt", build(TrainOptions(model=ModelOptions(width=12, heads=2))))
    elif isinstance(content, bytes):
        (stopped / "mine.pt").write_bytes(content)
    else:
        torch.save({"schema_version": 1, "options": content}, stopped / "mine.pt")
    done = invoke(small_store, stopped, "--resume")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr


def test_the_checkpoint_of_another_run_does_not_stand_in_the_way(small_store, stopped):
    (stopped / "mine.jsonl").rename(stopped / "other.jsonl")
    done = invoke(small_store, stopped, "--run", "other", "--checkpoint", str(stopped / "mine.pt"))
    assert done.exit_code == 0, done.stderr


def test_the_averaged_weights_are_what_is_saved_and_the_others_are_kept_to_go_on_with(stopped):
    checkpoint = load_checkpoint(stopped / "mine.pt")
    averaged, trained = checkpoint["mae_state_dict"], checkpoint["training"]["model"]
    assert averaged.keys() == trained.keys()
    assert not torch.equal(averaged["decoder_head.weight"], trained["decoder_head.weight"])


def test_the_clock_goes_on_too(small_store, stopped):
    assert invoke(small_store, stopped, "--resume").exit_code == 0
    seconds = [event["seconds"] for event in read_events(stopped / "mine.jsonl")[1:-1]]
    assert all(before < after for before, after in pairwise(seconds))

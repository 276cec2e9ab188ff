import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from mixio.errors import InvalidArgument
from mixio.manifest import write_manifest
from mixio.store import open_store
from mixio.stores.storage import storage_of
from tools import runner
from tools.designs import Design, read_table, write_table
from tools.options import ModelOptions, TrainOptions
from tools.runlog import incomplete_runs, read_events, read_runs
from tools.runner import plans_of, run_designs, run_plans
from tools.sweep import main
from tools.train import train

TINY = ModelOptions(patch_size=8, width=12, layers=1, heads=2, decoder_width=12, decoder_layers=1, decoder_heads=2)
SHORT = TrainOptions(model=TINY, eval_crops=4)
FLAGS = (
    "--patch-size 8 --width 12 --layers 1 --heads 2 --decoder-width 12 --decoder-layers 1 --decoder-heads 2 "
    "--eval-crops 4"
).split()
DESIGNS = [Design("pet", {"pet": 1.0}, 32, 1), Design("both", {"pet": 0.5, "brain-t1": 0.5}, 64, 2)]


def arguments(store, runs: Path, *more: str) -> list[str]:
    plan = ["--budgets", "32,64", "--mixtures", "0"]
    return [store.path, "--runs", str(runs), *FLAGS, *plan, *more]


@pytest.fixture(scope="module")
def swept(small_store, tmp_path_factory):
    """The runs of DESIGNS, made by two processes; not to be changed."""
    runs = tmp_path_factory.mktemp("swept")
    outcome = run_designs(small_store, DESIGNS, runs=runs, options=SHORT, jobs=2)
    assert (sorted(outcome.made), outcome.found, outcome.failed) == (["both", "pet"], [], {})
    return runs


def test_every_design_becomes_a_run_with_its_shares_draws_and_seed(swept):
    both, pet = read_runs(swept)
    assert (pet.run, pet.seed, pet.draws) == ("pet", 1, {"abdomen-ct": 0, "brain-t1": 0, "pet": 32})
    assert (both.run, both.seed, both.draws) == ("both", 2, {"abdomen-ct": 0, "brain-t1": 32, "pet": 32})
    assert set(both.loss) == {"abdomen-ct", "brain-t1", "pet"}


def test_a_run_of_a_sweep_is_the_run_that_train_makes(swept, small_store):
    alone = train(small_store, DESIGNS[0].shares, plans_of(DESIGNS, SHORT)[0].options)
    assert read_runs(swept)[1].loss == pytest.approx(alone.loss, rel=1e-4)


def test_complete_runs_are_kept_and_incomplete_ones_made_anew(swept, small_store, tmp_path):
    whole, part = (swept / "pet.jsonl").read_text(), (swept / "both.jsonl").read_text()
    (tmp_path / "pet.jsonl").write_text(whole)
    (tmp_path / "both.jsonl").write_text(part[: len(part) // 2])
    outcome = run_designs(small_store, DESIGNS, runs=tmp_path, options=SHORT)
    assert (outcome.found, outcome.made) == (["pet"], ["both"])
    assert (tmp_path / "pet.jsonl").read_text() == whole
    assert [event["event"] for event in read_events(tmp_path / "both.jsonl")] == ["config", "step", "result"]


@pytest.mark.parametrize(
    ("change", "named"),
    [({"model": replace(TINY, layers=2)}, "model"), ({"clip": 2.0, "strategy": "x"}, "strategy, training")],
)
def test_a_run_with_other_settings_stops_the_sweep_before_it_trains(swept, small_store, change, named):
    designs = [*DESIGNS, Design("new", {"pet": 1.0}, 32, 3)]
    with pytest.raises(InvalidArgument, match=rf"pet.jsonl is a run with another {named}: put this sweep"):
        run_designs(small_store, designs, runs=swept, options=replace(SHORT, **change))
    assert not (swept / "new.jsonl").exists()


def test_runs_are_known_by_the_data_they_saw_not_by_where_the_store_lies(swept, small_store, tmp_path):
    shutil.copytree(small_store.path, tmp_path / "moved")
    moved = open_store(tmp_path / "moved")
    assert sorted(run_designs(moved, DESIGNS, runs=swept, options=SHORT).found) == ["both", "pet"]
    rows = [moved.row(name) for name in moved.names()]
    write_manifest(storage_of(tmp_path / "moved"), rows[1:])
    with pytest.raises(InvalidArgument, match="is a run with another data"):
        run_designs(open_store(tmp_path / "moved"), DESIGNS, runs=swept, options=SHORT)


def test_two_runs_of_one_name_are_refused(small_store, tmp_path):
    with pytest.raises(InvalidArgument, match="two runs of one name would share a log: pet$"):
        run_designs(small_store, [*DESIGNS, DESIGNS[0]], runs=tmp_path, options=SHORT)


def test_a_run_that_fails_is_named_and_the_others_are_made(small_store, tmp_path):
    designs = [Design("bad", {"liver": 1.0}, 32, 0), DESIGNS[0]]
    lines = []
    outcome = run_plans(small_store, plans_of(designs, SHORT), runs=tmp_path, report=lines.append)
    assert outcome.made == ["pet"]
    assert "liver" in outcome.failed["bad"]
    assert [line.startswith("bad: FAILED") for line in sorted(lines)] == [True, False]


def test_a_killed_sweep_takes_its_workers_along_and_goes_on_where_it_was(small_store, tmp_path):
    command = [sys.executable, "-m", "tools.sweep", *arguments(small_store, tmp_path, "--jobs", "2")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    while not process.stdout.readline().startswith("[2/6]"):
        assert process.poll() is None
    process.kill()
    process.wait()
    process.stdout.close()
    try:
        _wait_for_the_end_of(process.pid)
    finally:
        if _is_alive(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
    before = {run.run: run for run in read_runs(tmp_path)}
    outcome = CliRunner().invoke(main, arguments(small_store, tmp_path, "--json"))
    assert (outcome.exit_code, set(json.loads(outcome.stdout)["found"])) == (0, set(before))
    after = {run.run: run for run in read_runs(tmp_path)}
    assert (len(after), incomplete_runs(tmp_path)) == (6, [])
    assert before.items() <= after.items()


def _wait_for_the_end_of(group: int) -> None:
    deadline = time.monotonic() + 20
    while _is_alive(group):
        assert time.monotonic() < deadline, "a worker outlived the sweep"
        time.sleep(0.05)


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_command_prints_and_writes_its_design_and_says_what_is_next(small_store, tmp_path):
    outcome = CliRunner().invoke(main, arguments(small_store, tmp_path, "--budgets", "32", "--mixtures", "1"))
    assert (outcome.exit_code, outcome.stderr) == (0, "")
    planned = [design.run for design in read_table(tmp_path / "design.csv")]
    assert planned == ["single-abdomen-ct-32", "single-brain-t1-32", "single-pet-32", "mix-000-32"]
    assert re.search(r"single-pet-32 +32 +0 +0 +1\n", outcome.stdout)
    assert f"wrote 4 runs to {tmp_path}; 0 were there already, 0 failed" in outcome.stdout
    assert f"next: python -m tools.fit_laws {tmp_path}" in outcome.stdout


def test_a_table_of_designs_is_made_and_added_to_that_of_earlier_ones(small_store, tmp_path):
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    write_table(first, DESIGNS[:1])
    write_table(second, DESIGNS)
    for table, made in ((first, 1), (second, 1)):
        outcome = CliRunner().invoke(main, [small_store.path, "--runs", str(tmp_path), *FLAGS, "--designs", str(table)])
        assert (outcome.exit_code, outcome.stderr) == (0, "")
        assert f"wrote {made} runs to {tmp_path}" in outcome.stdout
    whole = {"abdomen-ct": 0.0, "brain-t1": 0.0, "pet": 0.0}
    assert read_table(tmp_path / "design.csv") == [replace(one, shares=whole | one.shares) for one in DESIGNS]
    assert {run.run: run.seed for run in read_runs(tmp_path)} == {"pet": 1, "both": 2}


def test_each_command_that_is_printed_makes_its_run(small_store, tmp_path):
    designs, runs = tmp_path / "designs.csv", tmp_path / "my runs"
    write_table(designs, DESIGNS)
    words = [small_store.path, "--runs", str(runs), *FLAGS, "--designs", str(designs)]
    printed = CliRunner().invoke(main, [*words, "--print-commands"])
    assert (printed.exit_code, printed.stderr) == (0, "")
    longer, shorter = printed.stdout.splitlines()
    assert "--run both --mixture brain-t1=0.5,pet=0.5 --draws 64 --seed 2" in longer
    for line in (longer, shorter):
        assert line.endswith(" --resume")  # a task that is preempted goes on when it is queued again
        subprocess.run(line.replace("python", sys.executable, 1), shell=True, check=True, capture_output=True)
    outcome = CliRunner().invoke(main, words)
    assert f"wrote 0 runs to {runs}; 2 were there already, 0 failed" in outcome.stdout
    assert CliRunner().invoke(main, [*words, "--print-commands"]).stdout == ""


def test_a_dask_cluster_makes_the_runs_that_processes_make(swept, small_store, tmp_path):
    pytest.importorskip("distributed")
    write_table(tmp_path / "designs.csv", DESIGNS)
    words = [small_store.path, "--runs", str(tmp_path), *FLAGS, "--designs", str(tmp_path / "designs.csv")]
    outcome = CliRunner().invoke(main, [*words, "--dask", "local", "--jobs", "2"])
    assert (outcome.exit_code, outcome.stderr) == (0, "")
    for here, there in zip(read_runs(swept), read_runs(tmp_path), strict=True):
        assert (here.run, here.draws) == (there.run, there.draws)
        assert there.loss == pytest.approx(here.loss, rel=1e-4)


def test_a_cluster_that_does_not_answer_is_one_line(small_store, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("mixio.dask._PATIENCE", "1s")
    outcome = CliRunner().invoke(main, arguments(small_store, tmp_path, "--dask", "tcp://127.0.0.1:9"))
    assert (outcome.exit_code, outcome.stderr.count("\n")) == (2, 1)
    assert "no Dask scheduler answers there" in outcome.stderr


def test_a_run_whose_first_attempt_fails_is_made_at_the_second(small_store, tmp_path, monkeypatch):
    monkeypatch.setenv("FAILS_ONCE", str(tmp_path / "failed"))
    lines: list[str] = []
    monkeypatch.setattr("tools.runner._begin", begin_failing_once)
    outcome = run_plans(small_store, plans_of(DESIGNS, SHORT), runs=tmp_path, report=lines.append)
    assert (sorted(outcome.made), outcome.failed) == (["both", "pet"], {})
    assert sum(line.endswith(", at the second attempt") for line in lines) == 1
    assert len(read_runs(tmp_path)) == 2


def begin_failing_once(threads: int) -> None:
    """Start of a worker whose first run dies of a full disk."""
    real = runner.train

    def failing(*arguments, **options):
        mark = Path(os.environ["FAILS_ONCE"])
        if not mark.exists():
            mark.touch()
            raise OSError(28, "No space left on device")
        return real(*arguments, **options)

    runner.train = failing


@pytest.mark.parametrize(
    ("rows", "more", "message"),
    [
        ("r,32,1,1", ("--budgets", "32"), "--designs says which runs to make, and so does --budgets; give one of them"),
        ("", (), "has no runs"),
        ("r,32,1,0.5", (), "shares must sum to 1, got 0.5"),
        ("r,32,,1", (), "is not a table of designs"),
        ("r,33,1,1", (), "draws must be a positive multiple of batch_size 8, got 33"),
    ],
)
def test_a_table_of_designs_that_cannot_be_made(small_store, tmp_path, rows, more, message):
    path = tmp_path / "designs.csv"
    path.write_text(f"run,draws,seed,share:pet\n{rows}\n")
    words = [small_store.path, "--runs", str(tmp_path), *FLAGS, "--designs", str(path)]
    outcome = CliRunner().invoke(main, [*words, *more])
    assert (outcome.exit_code, outcome.stderr.count("\n")) == (2, 1)
    assert message in outcome.stderr
    path.write_text("run,draws,seed,share:liver\nr,32,1,1\n")
    outcome = CliRunner().invoke(main, words)
    assert "draws from ['liver'], but the store has the domains ['abdomen-ct', 'brain-t1', 'pet']" in outcome.stderr
    assert list(tmp_path.iterdir()) == [path]


def test_failed_runs_are_listed_with_exit_1(small_store, tmp_path):
    explode = ["--budgets", "32", "--learning-rate", "1e30", "--clip", "1e30"]
    outcome = CliRunner().invoke(main, arguments(small_store, tmp_path, *explode))
    assert outcome.exit_code == 1
    assert len(re.findall(r"^failed: single-\S+-32: MixioError: the loss is not", outcome.stderr, re.M)) == 3
    assert f"wrote 0 runs to {tmp_path}; 0 were there already, 3 failed" in outcome.stdout
    assert "next: the same command again" in outcome.stdout


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--budgets", "many"], "--budgets must look like 256,512,1024, got 'many'"),
        (["--budgets", "100"], "draws must be a positive multiple of batch_size 8, got 100"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(small_store, tmp_path, more, message):
    outcome = CliRunner().invoke(main, arguments(small_store, tmp_path, *more))
    assert (outcome.exit_code, outcome.stderr) == (2, f"error: {message}\n")
    assert list(tmp_path.iterdir()) == []

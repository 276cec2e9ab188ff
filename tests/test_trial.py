import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from mixio.allocation import Allocation
from models.checkpoint import load_checkpoint, load_mae
from tests.test_sweep import FLAGS, SHORT
from tools.designs import singles_and_mixtures
from tools.evidence import Strategy, Trial, read_trial
from tools.fitting import fit_laws
from tools.heldout import HeldOut
from tools.laws import load_laws
from tools.paired import interval
from tools.report import main as report
from tools.runlog import read_runs
from tools.runner import run_designs
from tools.trial import main, outcome_table

SKEWED = {"abdomen-ct": 0.2, "brain-t1": 0.5, "pet": 0.3}


@pytest.fixture(scope="module")
def laws(small_store, tmp_path_factory):
    """laws.json of a few tiny runs of the small store."""
    folder = tmp_path_factory.mktemp("laws")
    designs = singles_and_mixtures(small_store.domains, (16, 32), 8)
    run_designs(small_store, designs, runs=folder / "runs", options=SHORT, jobs=2)
    fit_laws(read_runs(folder / "runs")).save(folder / "laws.json")
    return folder / "laws.json"


@pytest.fixture(scope="module")
def allocation(tmp_path_factory):
    path = tmp_path_factory.mktemp("allocation=a") / "allocation.json"
    Allocation(SKEWED, strategy="transfer-aware").save(path)
    return path


def run(*words: object, exit_code: int = 0):
    outcome = CliRunner().invoke(main, [*map(str, words), *FLAGS])
    assert outcome.exit_code == exit_code, outcome.output
    return outcome


def words_of(store, laws: Path, runs: Path, *strategies: object) -> list[object]:
    chosen = ["--strategies", ",".join(map(str, strategies))] if strategies else []
    return [store.path, laws, "--budget", 48, "--runs", runs, "--seeds", 2, *chosen]


def test_every_strategy_is_trained_with_every_seed_and_set_beside_the_laws(small_store, laws, allocation, tmp_path):
    given = ("proportional", "uniform", "temperature", "unimax:3", "tight=unimax:2", allocation)
    words = words_of(small_store, laws, tmp_path, *given)
    told = json.loads(run(*words, "--save", "--json", "--jobs", 2).stdout)
    trial = read_trial(tmp_path / "strategies.json")
    names = ["proportional", "uniform", "temperature", "unimax", "tight", "transfer-aware"]
    assert [each.name for each in trial.strategies] == names
    logged = {each.run: each for each in read_runs(tmp_path)}
    for each in trial.strategies:
        assert each.measured == [logged[f"{each.name}-seed{seed}"].loss for seed in (0, 1)]
        assert [logged[f"{each.name}-seed{seed}"].seed for seed in (0, 1)] == [1000, 1001]
        known = load_laws(laws)
        assert list(each.predicted.values()) == pytest.approx(known.predict(known.array(each.shares) * 48).tolist())
    assert trial.strategies[-1].shares == pytest.approx(SKEWED)
    assert told["gain"]["proportional"] == {"mean": None, "interval": None}
    assert told["gain"]["uniform"]["mean"] == pytest.approx(
        sum(1 - u / p for u, p in zip(told["measured"]["uniform"], told["measured"]["proportional"], strict=True)) / 2
    )
    checkpoint = load_checkpoint(tmp_path / "uniform-seed1.pt")
    losses = HeldOut.read(small_store, patch_size=8, crops=4).losses(load_mae(checkpoint))
    assert losses == pytest.approx(logged["uniform-seed1"].loss)


def test_a_run_without_its_checkpoint_is_made_again(small_store, laws, tmp_path):
    words = words_of(small_store, laws, tmp_path, "uniform")
    run(*words)
    first = (tmp_path / "strategies.json").read_text()
    logs = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.jsonl")}
    run(*words)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.jsonl")} == logs
    run(*words, "--save")
    (tmp_path / "uniform-seed0.pt").unlink()
    run(*words, "--save")
    assert (tmp_path / "uniform-seed0.pt").exists()
    assert (tmp_path / "strategies.json").read_text() == first


def test_tables_say_shares_predictions_and_gains(small_store, laws, tmp_path):
    out = run(*words_of(small_store, laws, tmp_path, "proportional", "uniform")).stdout
    assert "mean held-out loss (x 1000) after 48 draws, 2 seeds; gain is over proportional" in out
    assert "33.3" in out
    _, *told = shlex.split(out.splitlines()[-1].removeprefix("next: python -m"))
    with report.make_context("report", told) as context:  # every option that it needs is there
        assert str(context.params["strategies"]) == str(tmp_path / "strategies.json")


def test_gains_are_taken_seed_by_seed():
    """The seeds differ by far more than the strategies, which differ by a tenth in each."""
    seeds = [1.0, 2.0, 4.0]
    one, other = (
        Strategy(name, {"a": 1.0}, {"a": 1.0}, [{"a": scale * loss} for loss in seeds])
        for name, scale in (("proportional", 1.0), ("uniform", 0.9))
    )
    trial = Trial(10, [one, other])
    assert trial.gain(other) == pytest.approx(0.1)
    assert trial.interval(other) == pytest.approx((0.1, 0.1))
    assert trial.gain(one) is None
    assert Trial(10, [other]).gain(other) is None
    assert "10.00" in outcome_table(trial)
    single = Trial(10, [replace(each, measured=each.measured[:1]) for each in (one, other)])
    assert single.gain(single.strategies[1]) == pytest.approx(0.1)
    assert single.interval(single.strategies[1]) is None
    assert interval([]) is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--strategies", "uniform,uniform"],
            "two strategies are called uniform; give one another name",
        ),
        (["--strategies", "a/b=uniform"], "'a/b' cannot be the name of runs; say NAME=uniform"),
        (["--strategies", "sums"], "--mixture must be uniform, proportional, temperature, unimax"),
        (["--strategies", "unimax:0.001"], "--mixture unimax:0.001: 48 draws are more than 0.001 times the"),
        (["--strategies", "temperature:hot"], "after temperature: comes a number, as in temperature:2"),
        (["--budget", "50"], "draws must be a positive multiple of batch_size 8, got 50"),
        (["--strategies", "gone.json"], "gone.json"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(small_store, laws, tmp_path, words, message):
    error = run(*words_of(small_store, laws, tmp_path / "runs", "uniform"), *words, exit_code=2).stderr
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "runs").exists()


def test_a_budget_far_from_the_laws_is_warned_of(small_store, laws, tmp_path):
    words = [small_store.path, laws, "--budget", 256, "--runs", tmp_path, "--seeds", 1, "--strategies", "uniform"]
    assert "no run had a budget above 32 draws; 256 is 8 times that" in run(*words).stderr


def test_laws_of_other_domains_are_refused_before_anything_is_trained(small_store, laws, tmp_path):
    content = laws.read_text().replace('"pet"', '"spect"')
    (tmp_path / "other.json").write_text(content)
    error = run(*words_of(small_store, tmp_path / "other.json", tmp_path / "runs", "uniform"), exit_code=2).stderr
    assert "the laws know ['abdomen-ct', 'brain-t1', 'spect'], and the store has ['abdomen-ct', 'brain-t1'" in error
    assert not (tmp_path / "runs").exists()

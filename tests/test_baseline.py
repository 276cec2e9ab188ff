import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from mixio.allocation import Allocation
from tests.test_train import FLAGS
from tests.truths import DOMAINS, planted, runs_under
from tools.autoscale import extrapolate, optima
from tools.baseline import main
from tools.fitting import fit_laws
from tools.runlog import write_runs
from tools.solve import solve


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    path = tmp_path_factory.mktemp("swarm") / "runs.csv"
    write_runs(path, runs_under(planted(0), noise=0.01))
    return path


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Runs the command, which must succeed, and gives the allocation that it wrote and what it said."""
    monkeypatch.chdir(tmp_path)

    def invoke(*words):
        done = CliRunner().invoke(main, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        return Allocation.load("allocation.json"), done

    return invoke


@pytest.mark.parametrize(
    ("words", "shares"),
    [
        (["uniform"], [0.5, 0.5]),
        (["proportional"], [0.9, 0.1]),
        (["temperature", "--alpha", 0.5], [0.75, 0.25]),
        (["unimax", "--budget", 100, "--epochs", 3], [0.7, 0.3]),
        (["proportional", "--floor", 0.25], [0.7, 0.3]),
    ],
)
def test_counts_become_shares_that_can_be_told_by_hand(written, words, shares):
    allocation, _ = written(*words, "--counts", "ct=90,mr=10")
    assert [*allocation.shares.values()] == pytest.approx(shares)
    assert allocation.strategy == words[0]


def test_a_store_is_counted_in_volumes_and_for_unimax_in_crops(written, small_store):
    volumes = [len(small_store.names(domain, "train")) for domain in small_store.domains]
    allocation, _ = written("proportional", small_store.path)
    assert [*allocation.shares.values()] == pytest.approx([volume / sum(volumes) for volume in volumes])
    allocation, _ = written("unimax", small_store.path, "--patch-size", 8, "--budget", 300, "--epochs", 1)
    pet = volumes[2] * (20 * 18 * 12 // 8**3)  # far less than a third of the draws
    assert allocation.shares["pet"] * 300 == pytest.approx(pet)
    assert allocation.shares["brain-t1"] == pytest.approx((300 - pet) / 2 / 300)
    assert allocation.provenance["counts"]["pet"] == pet


@pytest.mark.parametrize(("strategy", "form"), [("bimix", "bimix"), ("data-mixing-laws", "exponential")])
def test_laws_of_others_are_fitted_and_solved_as_our_own(written, runs, strategy, form):
    allocation, done = written(strategy, runs, "--budget", 8192, "--floor", 0.02, "--weights", "brain-t1=1,brain-t2=2")
    laws = fit_laws(runs_under(planted(0), noise=0.01), form=form)
    best = solve(laws, 8192, floor=0.02, weights={"brain-t1": 1, "brain-t2": 2})
    assert allocation.shares == pytest.approx(best.shares, abs=1e-6)
    assert (allocation.strategy, allocation.budget) == (strategy, 8192)
    assert allocation.provenance["laws"] == laws.fingerprint
    assert allocation.provenance["gap"] < 1e-6
    assert done.stdout.endswith("next: python -m tools.train STORE --mixture allocation.json --draws 8192\n")


def test_autoscale_carries_the_optima_of_the_runs_on(written, runs):
    allocation, done = written("autoscale", runs, "--budget", 16000)
    pair = optima(runs_under(planted(0), noise=0.01))
    assert allocation.shares == pytest.approx(extrapolate(*pair, 16000))
    assert done.stdout.splitlines()[0].split() == ["domain", "share", "at", "512", "at", "4096"]
    assert done.stderr == ""


def test_regmix_keeps_a_floor_and_says_what_it_looked_at(written, runs):
    allocation, done = written("regmix", runs, "--mixtures", 500, "--floor", 0.1, "--json")
    assert min(allocation.shares.values()) >= 0.1
    told = json.loads(done.stdout)
    assert (told["runs"], told["mixtures"], told["shares"]) == (54, 500, pytest.approx(allocation.shares))


def test_doremi_trains_on_the_store_and_records_how(written, small_store):
    allocation, done = written("doremi", small_store.path, *FLAGS, "--eta", 2, "--budget", 999)
    assert sum(allocation.shares.values()) == pytest.approx(1)
    assert len(set(allocation.shares.values())) == 3
    assert allocation.provenance["draws"] == 64
    assert allocation.provenance["training"]["batch_size"] == 16
    assert set(allocation.provenance["excess"]) == {"abdomen-ct", "brain-t1", "pet"}
    assert "wrote allocation.json, by doremi" in done.stdout


def test_a_budget_far_beyond_the_runs_and_runs_that_diverged_are_warned_of(written, tmp_path):
    first, *others = runs_under(planted(0), noise=0.01)
    diverged = replace(first, loss={**first.loss, DOMAINS[0]: 1.0})
    write_runs(tmp_path / "runs.csv", [diverged, *others])
    table = (tmp_path / "runs.csv").read_text().splitlines()
    cells = table[1].split(",")
    cells[table[0].split(",").index(f"loss:{DOMAINS[0]}")] = "nan"
    (tmp_path / "runs.csv").write_text("\n".join([table[0], ",".join(cells), *table[2:]]) + "\n")
    _, done = written("bimix", tmp_path / "runs.csv", "--budget", 40960)
    assert "warning: no run had a budget above 4096 draws; 40960 is 10 times that" in done.stderr
    assert f"warning: runs with losses that are not finite, left out there: {first.run}" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["proportional"], "give a store, or --counts domain=number,... in place of one"),
        (["uniform", "somewhere", "--counts", "a=1"], "give a store, or --counts"),
        (["proportional", "--counts", "a=1,b"], "--counts must look like"),
        (["proportional", "--counts", "a=1,a=2"], "--counts names a domain twice"),
        (["proportional", "--counts", "a=nan"], "--counts must be finite numbers"),
        (["proportional", "--counts", "a=0"], "not all zero"),
        (["uniform", "--counts", "a=1,b=1", "--floor", "0.6"], "a floor of 0.6 for each of 2 domains"),
        (["unimax", "--counts", "a=1,b=1"], "give --budget"),
        (["unimax", "--counts", "a=1,b=1", "--budget", "9"], "9 draws are more than 4 times the 2"),
        (["unimax", "--counts", "a=1", "--budget", "2", "--floor", "0.1"], "leave --floor out"),
        (["autoscale", "RUNS"], "give --budget"),
        (["autoscale", "RUNS", "--budget", "500"], "goes on from 512 draws to more, got 500"),
        (["bimix", "RUNS", "--floor", "0.3"], "a floor of 0.3 for each of 6 domains"),
        (["regmix", "RUNS", "--weights", "liver=1", "--mixtures", "128"], "weights for ['liver']"),
        (["regmix", "EMPTY"], "no runs at"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(runs, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    places = {"RUNS": str(runs), "EMPTY": str(tmp_path)}
    done = CliRunner().invoke(main, [places.get(word, word) for word in words])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.output
    assert message in done.stderr
    assert not [*tmp_path.iterdir()]

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from mixio.allocation import Allocation
from tests.truths import DOMAINS, planted, runs_under
from tools.allocate import main
from tools.fitting import fit_laws
from tools.solve import solve


@pytest.fixture
def laws(tmp_path):
    planted(0).save(tmp_path / "laws.json")
    return tmp_path / "laws.json"


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_laws_become_the_allocation_that_the_solver_finds(laws, tmp_path):
    result = invoke(laws, "--budget", 8192, "-o", tmp_path / "allocation.json")
    assert result.exit_code == 0
    allocation = Allocation.load(tmp_path / "allocation.json")
    assert allocation.shares == pytest.approx(solve(planted(0), 8192).shares)
    assert (allocation.budget, allocation.strategy) == (8192, "transfer-aware")
    assert allocation.provenance["laws"] == planted(0).fingerprint
    assert allocation.provenance["gap"] < 1e-6
    assert set(allocation.provenance["predicted_losses"]) == set(DOMAINS)


def test_the_report_names_shares_roles_certificate_and_what_is_next(laws, tmp_path):
    lines = invoke(laws, "--budget", 8192, "-o", tmp_path / "allocation.json").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:7]] == list(DOMAINS)
    assert lines[1].endswith("hub")
    assert lines[6].endswith("island")
    assert not any("gain over" in line for line in lines)  # there is no bootstrap
    assert any(line.startswith("certificate: under these laws no allowed mixture is better") for line in lines)
    assert lines[-1].startswith("next: python -m tools.train STORE --mixture")


def test_floor_weights_and_caps_reach_the_solver(laws, tmp_path):
    options = ["--floor", 0.1, "--weights", "brain-t1=1", "--caps", "abdomen-ct=0.2", "--json"]
    result = invoke(laws, "--budget", 8192, "-o", tmp_path / "allocation.json", *options)
    expected = solve(planted(0), 8192, floor=0.1, weights={"brain-t1": 1}, caps={"abdomen-ct": 0.2})
    told = json.loads(result.stdout)
    assert told["shares"] == pytest.approx(expected.shares)
    assert (told["floor"], told["caps"], told["weights"]) == (0.1, {"abdomen-ct": 0.2}, {"brain-t1": 1})


def test_a_budget_far_beyond_the_fitted_ones_is_pointed_out(tmp_path):
    replace(planted(0), data={"budgets": [512.0, 4096.0]}).save(tmp_path / "laws.json")
    near, far, small = (
        invoke(tmp_path / "laws.json", "--budget", budget, "-o", tmp_path / "allocation.json").stderr
        for budget in (16384, 40960, 100)
    )
    assert near == ""
    assert "warning: no run had a budget above 4096 draws; 40960 is 10 times that, far beyond" in far
    assert "warning: no run had a budget below 512 draws; 100 is a 5.12th of that" in small


def test_wrong_use_is_one_line_and_exit_code_two(laws, tmp_path):
    (tmp_path / "other.json").write_text("{}")
    for arguments, message in [
        ((laws, "--budget", 8192, "--floor", 0.3), "error: a floor of 0.3 for each of 6 domains needs 1.8"),
        ((laws, "--budget", 8192, "--weights", "brain-t1"), "error: --weights must look like brain-t1=2"),
        ((laws, "--budget", 8192, "--caps", "brain-t1=inf"), "error: --caps must be finite numbers"),
        ((tmp_path / "other.json", "--budget", 8192), "is not a laws.json"),
        ((laws,), "Missing option '--budget'"),
    ]:
        result = invoke(*arguments, "-o", tmp_path / "allocation.json")
        assert (result.exit_code, result.stdout) == (2, "")
        assert message in result.stderr
    assert not (tmp_path / "allocation.json").exists()


def test_a_domain_weighed_twice_is_refused(laws, tmp_path):
    result = invoke(laws, "--budget", 8192, "--weights", "brain-t1=2,brain-t1=1", "-o", tmp_path / "a.json")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "--weights names a domain twice: 'brain-t1=2,brain-t1=1'" in result.stderr


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    path = tmp_path_factory.mktemp("laws") / "laws.json"
    unique = {name: 400.0 * (1 + place) for place, name in enumerate(DOMAINS)}
    runs = [replace(run, unique=unique) for run in runs_under(planted(0), noise=0.03)]
    fit_laws(runs, form="transfer+repeats", samples=40).save(path)
    return path


def test_with_a_bootstrap_shares_gains_and_roles_have_error_bars(sampled, tmp_path):
    result = invoke(sampled, "--budget", 4096, "-o", tmp_path / "a.json", "--json")
    told = json.loads(result.stdout)
    for name, share in told["shares"].items():
        low, high = told["intervals"][name]
        assert low - 1e-6 <= share <= high + 1e-6
    assert told["roles"]["abdomen-ct"]["hub"] > 0.9
    assert told["roles"]["headneck-pet"]["island"] > 0.9
    assert set(told["gains"]) == {"uniform", "proportional"}
    assert 0 < told["gains"]["uniform"]["low"] < told["gains"]["uniform"]["value"] < told["gains"]["uniform"]["high"]


def test_an_allocation_that_may_be_no_better_than_uniform_says_so_in_words(tmp_path):
    fit_laws(runs_under(planted(0), noise=0.5), samples=40).save(tmp_path / "laws.json")
    result = invoke(tmp_path / "laws.json", "--budget", 4096, "-o", tmp_path / "a.json")
    assert "the laws cannot tell this allocation from uniform sampling: that interval holds 0" in result.stdout


def test_of_several_budgets_the_path_is_told_and_the_last_one_written(sampled, tmp_path):
    result = invoke(sampled, "--budget", "4096,1e3", "-o", tmp_path / "a.json")
    assert "shares over budgets; the file has those of the last" in result.stdout
    allocation = Allocation.load(tmp_path / "a.json")
    assert allocation.budget == 4096
    assert [one["budget"] for one in allocation.provenance["path"]] == [1000, 4096]
    assert allocation.provenance["path"][1]["shares"] == allocation.shares


def test_no_domain_is_drawn_more_often_than_max_repeats_allows(sampled, tmp_path):
    told = json.loads(invoke(sampled, "--budget", 4096, "--max-repeats", 2, "-o", tmp_path / "a.json", "--json").stdout)
    assert told["shares"]["abdomen-ct"] == pytest.approx(2 * 400 / 4096)
    few = invoke(sampled, "--budget", 409600, "--max-repeats", 1, "-o", tmp_path / "b.json")
    assert "the cap of 'abdomen-ct' is 0.000976562, which is 0.04902 below the floor" in few.stderr


def test_a_volume_more_is_worth_more_to_a_domain_that_repeats_itself(sampled, tmp_path):
    options = ["--volumes", "abdomen-ct=50,headneck-ct=50", "-o", tmp_path / "a.json", "--json"]
    told = json.loads(invoke(sampled, "--budget", 8192, *options).stdout)["marginal"]
    assert told["abdomen-ct"]["volume"]["value"] > 0
    assert told["headneck-ct"]["volume"]["value"] == pytest.approx(0, abs=1e-12)  # 410 draws of 2,000
    assert told["brain-t1"]["volume"] is None
    assert told["abdomen-ct"]["draws"]["value"] > 0


def test_robust_needs_a_bootstrap_and_max_repeats_to_know_what_is_unique(laws, tmp_path):
    for option, message in [
        (["--robust"], "these laws have no bootstrap samples to be robust over; fit them with --samples 200"),
        (["--max-repeats", 2], "fit them to runs with unique:<domain>, or set caps"),
        (["--volumes", "spine=2"], "volumes of ['spine'], but the laws have the domains"),
    ]:
        result = invoke(laws, "--budget", 8192, "-o", tmp_path / "a.json", *option)
        assert (result.exit_code, result.stdout) == (2, "")
        assert message in result.stderr


def test_minimax_says_that_its_objective_is_the_largest_loss(laws, tmp_path):
    result = invoke(laws, "--budget", 8192, "--minimax", "-o", tmp_path / "a.json")
    found = solve(planted(0), 8192, minimax=True)
    assert f"predicted largest weighted loss at 8192 draws: {found.objective:.4g}" in result.stdout
    assert Allocation.load(tmp_path / "a.json").shares == pytest.approx(found.shares)

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from mixio.allocation import Allocation
from tests.truths import DOMAINS, planted
from tools.allocate import main
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
    near, far = (
        invoke(tmp_path / "laws.json", "--budget", budget, "-o", tmp_path / "allocation.json").stdout
        for budget in (16384, 16385)
    )
    assert "note:" not in near
    assert "note: the laws saw no budget above 4096 draws; 16385 is far beyond" in far


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

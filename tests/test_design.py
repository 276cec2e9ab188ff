import json

import pytest
from click.testing import CliRunner

from tests.truths import DOMAINS, planted, runs_under
from tools.design import main
from tools.designs import cost, read_table, singles_and_mixtures
from tools.fitting import fit_laws

THREE = ("plan", "--domains", "ct,mr,pet", "--budgets", "512,1024", "--budget", 4096, "--truths", 4)


@pytest.fixture(scope="module")
def laws(tmp_path_factory):
    path = tmp_path_factory.mktemp("laws") / "laws.json"
    fit_laws(runs_under(planted(0), noise=0.03)[::2], samples=30).save(path)
    return path


@pytest.fixture
def invoke(tmp_path):
    def invoked(*arguments):
        return CliRunner().invoke(main, [*map(str, arguments), "-o", str(tmp_path / "runs.csv")])

    return invoked


def test_a_plan_is_written_that_the_sweep_it_names_makes_too(invoke, tmp_path):
    result = invoke(*THREE, "--cost", 12000, "--seed", 3)
    assert result.exit_code == 0, result.stderr
    designs = read_table(tmp_path / "runs.csv")
    last = result.stdout.splitlines()[-2:]
    assert last[0] == f"wrote {tmp_path / 'runs.csv'}, {len(designs)} runs of singles+mixtures"
    assert last[1] == f"next: python -m tools.sweep STORE --designs {tmp_path / 'runs.csv'}"
    assert designs == singles_and_mixtures(["ct", "mr", "pet"], [512, 1024], 9, seed=3)
    assert 12000 - 1024 < cost(designs) <= 12000


def test_a_plan_shows_every_kind_beside_uniform_shares_and_why_one_is_out_of_reach(invoke):
    result = invoke(*THREE, "--cost", 9216, "--kind", "mixtures")
    rows = {line.split()[0]: line.split() for line in result.stdout.splitlines()[1:6]}
    assert list(rows) == ["singles+mixtures", "singles+pairs", "singles+rests", "mixtures", "uniform"]
    assert rows["mixtures"][1:3] == ["12", "9216"]
    assert float(rows["uniform"][3]) > 1
    dear = invoke(*THREE, "--cost", 8000, "--kind", "mixtures", "--budgets", "512,640,768,896").stdout
    assert "singles+pairs: 8000 draws in all are too few for this design, whose beginning (runs: 12) takes 8448" in dear


def test_fitted_laws_say_domains_and_noise_and_what_may_be_true(invoke, laws):
    result = invoke("plan", "--laws", laws, "--cost", 100000, "--budget", 8192, "--truths", 5, "--json")
    told = json.loads(result.stdout)
    assert told["noise"] == pytest.approx(0.03, rel=0.4)
    assert told["designs"]["singles+mixtures"]["runs"] == 43
    assert told["designs"]["singles+mixtures"]["mean"] < 0.1 * told["uniform"]["mean"]
    assert told["refused"] == {}


def test_laws_without_samples_are_said_to_be_taken_for_known(invoke, tmp_path):
    planted(0).save(tmp_path / "bare.json")
    options = ("--cost", 60000, "--budget", 8192, "--truths", 2)
    assert "give --noise" in invoke("plan", "--laws", tmp_path / "bare.json", *options).stderr
    result = invoke("plan", "--laws", tmp_path / "bare.json", *options, "--noise", 0.02)
    assert "note: these laws have no bootstrap samples, so that all are the fitted ones" in result.stdout


def test_the_next_run_is_at_a_fitted_budget_and_a_sweep_makes_it(invoke, laws, tmp_path):
    result = invoke("next", laws, "--budget", 8192, "--mixtures", 2)
    assert result.exit_code == 0, result.stderr
    (run,) = read_table(tmp_path / "runs.csv")
    assert run.draws in (512, 1024, 2048, 4096)
    assert tuple(run.shares) == DOMAINS
    assert sum(run.shares.values()) == pytest.approx(1)
    assert run.run == f"next-027-{run.draws}"
    assert result.stdout.splitlines()[-2] == f"next: python -m tools.sweep STORE --designs {tmp_path / 'runs.csv'}"


def test_several_next_runs_are_chosen_for_a_cost(invoke, laws, tmp_path):
    options = ("--cost", 9000, "--budgets", "1024,2048", "--mixtures", 2, "--json")
    told = json.loads(invoke("next", laws, "--budget", 8192, *options).stdout)
    runs = read_table(tmp_path / "runs.csv")
    assert [one["design"]["run"] for one in told["runs"]] == [run.run for run in runs]
    assert 9000 - 1024 < cost(runs) <= 9000
    assert told["runs"][-1]["regret"] < told["runs"][0]["regret"] < told["regret"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--cost", 3000), "too few for this design, whose beginning (runs: 6) takes 4608; give at least 4608"),
        (("--cost", 100, "--kind", "mixtures"), "whose beginning (runs: 1) takes 512; give at least 512"),
        (("--cost", 9000, "--budgets", "512"), "--budgets needs at least 2 numbers, to see how losses fall"),
        (("--cost", 9000, "--budgets", "512,x"), "--budgets must look like 256,512,1024"),
        (("--cost", 9000, "--budgets", "512,0"), "--budgets must be distinct and at least 1 draw each"),
        (("--cost", 9000, "--budgets", "512,512"), "--budgets must be distinct and at least 1 draw each"),
        (("--cost", 9000, "--domains", ","), "--domains must be distinct names"),
        (("--cost", 9000, "--floor", 0.4), "a floor of 0.4 for 3 domains must lie between 0 and 0.3333"),
        (("--cost", 9000, "--noise", -1), "noise is the deviation of log losses"),
        (("--cost", 2048, "--kind", "mixtures"), "observations for 6 parameters and needs 9"),
    ],
)
def test_a_plan_that_cannot_be_is_one_line_and_exit_code_two(invoke, tmp_path, arguments, message):
    result = invoke(*THREE, *arguments)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert message in result.stderr
    assert not (tmp_path / "runs.csv").exists()


def test_a_plan_for_no_domains_is_refused(invoke):
    result = invoke("plan", "--cost", 9000, "--budget", 4096)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "give either --domains a,b,c or --laws laws.json" in result.stderr


def test_a_next_run_needs_draws_budgets_and_laws_with_samples(invoke, laws, tmp_path):
    planted(0).save(tmp_path / "bare.json")
    for arguments, message in [
        ((laws, "--cost", 500), "error: 500 draws do not pay for one run; the smallest takes 512"),
        ((tmp_path / "bare.json", "--noise", 0.03), "do not say what budgets they were fitted to; give --budgets"),
        ((tmp_path / "bare.json", "--noise", 0.03, "--budgets", 512), "no bootstrap samples to tell doubt from"),
        ((laws, "--noise", 1), "error: noise is the deviation of log losses"),
    ]:
        result = invoke("next", *arguments, "--budget", 8192)
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
        assert message in result.stderr

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from tests.truths import DOMAINS, planted, runs_under
from tools.fit_laws import main
from tools.fitting import fit_laws
from tools.forms import FORMS
from tools.laws import load_laws
from tools.runlog import append_event, read_runs, write_runs


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def table(tmp_path):
    write_runs(tmp_path / "runs.csv", runs_under(planted(0), noise=0.02))
    return tmp_path / "runs.csv"


def logged(run, folder):
    path = folder / f"{run.run}.jsonl"
    shared = {"run": run.run, "seed": run.seed, "shares": run.shares, "strategy": None}
    append_event(path, {"event": "config", "schema_version": 1, "draws": run.total, **shared})
    append_event(path, {"event": "result", "draws": run.draws, "unique": None, "loss": run.loss, "seconds": 1.0})


def test_a_table_of_runs_becomes_a_file_of_laws_and_says_what_is_next(table, tmp_path):
    result = invoke(table, "-o", tmp_path / "laws.json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert tuple(load_laws(tmp_path / "laws.json").targets) == DOMAINS
    assert f"next: python -m tools.allocate {tmp_path / 'laws.json'} --budget 4096" in result.stdout


def test_logs_give_the_same_laws_as_a_table_and_unfinished_ones_are_counted(table, tmp_path):
    for run in runs_under(planted(0), noise=0.02):
        logged(run, tmp_path / "runs")
    append_event(tmp_path / "runs" / "mix-zzz.jsonl", {"event": "config", "schema_version": 1})
    assert invoke(table, "-o", tmp_path / "table.json").exit_code == 0
    result = invoke(tmp_path / "runs", "-o", tmp_path / "logs.json")
    assert "warning: unfinished runs left out: 1 (mix-zzz.jsonl)" in result.stderr
    laws, same = load_laws(tmp_path / "table.json"), load_laws(tmp_path / "logs.json")
    assert laws.data == same.data
    for name in DOMAINS:
        assert laws.targets[name].parameters["tau"] == pytest.approx(same.targets[name].parameters["tau"], abs=1e-5)


def test_larger_runs_kept_from_the_fit_are_predicted_better_than_by_the_nulls(table, tmp_path):
    result = invoke(table, "-o", tmp_path / "laws.json", "--max-draws", 2048, "--json")
    held_out = json.loads(result.stdout)["held_out"]
    assert held_out["runs"] == sum(run.budget == 4096 for run in runs_under(planted(0)))
    assert load_laws(tmp_path / "laws.json").data["budgets"] == [512, 1024, 2048]
    for name in DOMAINS:
        ours, own, total = (held_out["forms"][form]["targets"][name] for form in ("transfer", "own", "total"))
        assert ours["mre"] < min(own["mre"], total["mre"]) / 2
        assert ours["r"] > max(own["r"], 0.9)
    assert held_out["forms"]["transfer"]["selection_regret"] < 0.01


def test_the_report_shows_each_target_beside_the_nulls_and_the_transfer_between_all(table, tmp_path):
    lines = invoke(table, "-o", tmp_path / "laws.json", "--max-draws", 2048).stdout.splitlines()
    assert lines[1].split()[:5] == ["target", "E", "a", "beta", "d0"]
    assert [line.split()[0] for line in lines[2:8]] == list(DOMAINS)
    matrix = lines.index("one draw of (row) is worth this many draws of (column)")
    assert [float(lines[matrix + 2 + i].split()[1 + i]) for i in range(6)] == [1] * 6
    assert any(line.startswith("prediction of 13 larger runs") for line in lines)


def test_laws_carry_what_they_were_made_from_and_how_the_nulls_did(table, tmp_path):
    invoke(table, "-o", tmp_path / "laws.json")
    content = json.loads((tmp_path / "laws.json").read_text())
    assert content["provenance"]["runs"] == "runs.csv"
    told = content["targets"]["brain-t1"]["diagnostics"]
    for null in ("own", "total"):
        alone = fit_laws(read_runs(table), form=null).targets["brain-t1"].diagnostics["mre"]
        assert told["null_mre"][null] == pytest.approx(alone)
    assert set(told) == {"n", "r2_log", "mre", "noise", "astray", "bounds_hit", "condition", "spread", "null_mre"}
    assert min(told["null_mre"].values()) > told["mre"]


def test_bad_input_is_one_line_and_exit_code_two(table, tmp_path):
    few = tmp_path / "few.csv"
    write_runs(few, runs_under(planted(0))[::4][:13])
    for result, message in [
        (invoke(few), "error: target 'abdomen-ct' has 13 observations for 9 parameters"),
        (invoke(table, "--max-draws", 100), "error: no run has at most 100 draws, the smallest has 512"),
        (invoke(tmp_path / "absent"), "does not exist"),
    ]:
        assert result.exit_code == 2
        assert message in result.stderr
        assert "Traceback" not in result.stderr


def test_budgets_beyond_six_digits_are_told_apart(tmp_path):
    runs = [replace(run, draws={d: n * 2**9 for d, n in run.draws.items()}) for run in runs_under(planted(0))]
    write_runs(tmp_path / "runs.csv", runs)
    result = invoke(tmp_path / "runs.csv", "-o", tmp_path / "laws.json", "--max-draws", 2**20, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["runs"] == sum(run.total < 1.5 * 2**20 for run in runs)


def test_logs_of_different_models_are_not_fitted_together(tmp_path):
    first, second, *_ = runs_under(planted(0))
    for run, width in ((first, 96), (second, 48)):
        path = tmp_path / "runs" / f"{run.run}.jsonl"
        config = {"event": "config", "schema_version": 1, "run": run.run, "seed": 0, "shares": run.shares}
        append_event(path, {**config, "model": {"width": width}})
        append_event(path, {"event": "result", "draws": run.draws, "loss": run.loss})
    result = invoke(tmp_path / "runs", "-o", tmp_path / "laws.json")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "differ in model: one law cannot hold for both" in result.stderr


def test_forms_are_compared_in_one_table_and_the_chosen_one_is_used(table, tmp_path):
    result = invoke(table, "-o", tmp_path / "laws.json", "--compare", "--samples", 0)
    lines = result.stdout.splitlines()
    used = next(line for line in lines if line.endswith("<- used"))
    laws = load_laws(tmp_path / "laws.json")
    assert used.split()[0] == laws.form
    assert laws.form.startswith("transfer")
    assert {one["form"] for one in laws.provenance["comparison"]["entries"]} == set(FORMS) - {"signed"}
    assert [line.split()[0] for line in lines[2:14]] == sorted(
        (line.split()[0] for line in lines[2:14]), key=lambda name: float(sizes(lines)[name])
    )


def sizes(lines):
    return {line.split()[0]: line.split()[1] for line in lines[2:14]}


def test_a_form_that_is_asked_for_is_fitted_with_intervals(table, tmp_path):
    invoke(table, "-o", tmp_path / "laws.json", "--form", "split", "--samples", 20)
    content = json.loads((tmp_path / "laws.json").read_text())
    assert content["form"] == "split"
    law = content["targets"]["brain-t1"]
    low, high = law["intervals"]["beta"]
    assert low < high
    assert set(law["intervals"]["tau"]) == set(DOMAINS) - {"brain-t1"}
    assert np.shape(content["samples"]["local"]) == (20, 6, 12)


def test_runs_gone_astray_failed_losses_and_a_single_budget_are_pointed_out(tmp_path):
    runs = [run for run in runs_under(planted(0), noise=0.01) if run.budget == 1024]
    more = [replace(run, run=f"{run.run}-b", seed=1) for run in runs]
    spoiled = replace(runs[3], loss=runs[3].loss | {"brain-t1": 9.0})
    write_runs(tmp_path / "runs.csv", [*runs[:3], spoiled, *runs[4:], *more])
    text = (tmp_path / "runs.csv").read_text().splitlines()
    text[-1] = text[-1].rsplit(",", 1)[0] + ",nan"
    (tmp_path / "runs.csv").write_text("\n".join(text) + "\n")
    result = invoke(tmp_path / "runs.csv", "-o", tmp_path / "laws.json", "--samples", 0)
    assert "warning: all runs have one budget, 1024 draws: what a larger one brings is not known" in result.stderr
    assert f"losses that are not finite, left out: {more[-1].run} (headneck-pet)" in result.stderr
    assert f"runs far from the law, which hardly bend it: {spoiled.run} (brain-t1)" in result.stderr
    assert "noise: seeds alone change a loss by" in result.stdout

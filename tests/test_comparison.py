from dataclasses import replace

import numpy as np
import pytest

from mixio.errors import FitError
from tests.truths import DOMAINS, planted, runs_under
from tools.comparison import compare_forms
from tools.runlog import Run

FORMS = ("total", "own", "transfer", "split", "transfer+total")


def test_the_form_that_made_the_runs_is_chosen_over_the_nulls_and_larger_ones():
    comparison = compare_forms(runs_under(planted(1), noise=0.02), FORMS)
    errors = {one.form: one.error for one in comparison.entries}
    assert comparison.chosen == "transfer"
    assert errors["transfer"] < min(errors["own"], errors["total"], errors["split"]) / 2
    assert [one.parameters for one in comparison.entries] == [4, 4, 9, 11, 11]


def test_runs_without_transfer_are_told_so():
    runs = []
    rng = np.random.default_rng(0)
    for run in runs_under(planted(2)):
        loss = {name: 0.1 + (1 + run.draws[name]) ** -0.4 * np.exp(0.02 * rng.standard_normal()) for name in DOMAINS}
        runs.append(Run(run.run, 0, run.draws, None, loss, {}))
    assert compare_forms(runs, ("total", "own", "transfer")).chosen == "own"


def test_runs_that_do_not_depend_on_the_mixture_are_told_so():
    runs = []
    rng = np.random.default_rng(0)
    for run in runs_under(planted(2)):
        loss = {name: 0.1 + run.total**-0.4 * np.exp(0.02 * rng.standard_normal()) for name in DOMAINS}
        runs.append(Run(run.run, 0, run.draws, None, loss, {}))
    assert compare_forms(runs, ("total", "own", "transfer")).chosen == "total"


def test_repetition_is_no_candidate_where_no_run_repeats_anything():
    runs = runs_under(planted(1), noise=0.03)
    plenty = [replace(run, unique=dict.fromkeys(DOMAINS, 10**6)) for run in runs]
    for unseen in (runs, plenty):
        comparison = compare_forms(unseen, ("transfer", "transfer+repeats"))
        assert comparison.chosen == "transfer"
        assert "none shows what repetition costs" in comparison.entries[1].refused
    few = [replace(run, unique=dict.fromkeys(DOMAINS, 1000)) for run in runs]
    assert compare_forms(few, ("transfer", "transfer+repeats")).entries[1].refused == ""


def test_a_form_that_is_hardly_better_is_not_worth_its_parameters():
    comparison = compare_forms(runs_under(planted(1), noise=0.03))
    used = next(one for one in comparison.entries if one.form == comparison.chosen)
    best = min(one.error for one in comparison.entries if one.error is not None)
    assert comparison.chosen == "transfer"
    assert used.error <= 1.01 * best


def test_errors_are_those_of_runs_that_the_fit_has_not_seen():
    comparison = compare_forms(runs_under(planted(1)), ("transfer",))  # exact runs: what is left out is foretold
    assert comparison.entries[0].error < 1e-3
    noisy = compare_forms(runs_under(planted(1), noise=0.03), ("transfer",)).entries[0]
    assert noisy.budget_error > 0.03 * 0.8  # mean absolute value of a normal variable: 0.8 deviations
    assert noisy.error == pytest.approx((noisy.budget_error + noisy.mixture_error) / 2)


def test_runs_of_one_budget_are_asked_for_new_mixtures_only():
    runs = [run for run in runs_under(planted(0), noise=0.01) if run.budget == 1024][:12]
    comparison = compare_forms(runs, ("own", "transfer"))
    assert [one.budget_error for one in comparison.entries] == [None, None]
    assert comparison.entries[1].refused.startswith("target 'abdomen-ct' has")
    assert comparison.chosen == "own"


def test_too_few_runs_for_any_form_are_refused():
    with pytest.raises(FitError, match="no form of law can be fitted to these runs: target 'abdomen-ct' has 3"):
        compare_forms(runs_under(planted(0))[:3], FORMS)

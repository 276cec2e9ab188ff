from dataclasses import replace

import numpy as np
import pytest

from mixio.errors import FitError
from tests.truths import planted, runs_under
from tools.fitting import fit_laws
from tools.runlog import Run
from tools.scoring import Score, score, selection_regret


def test_a_law_predicts_its_own_runs_without_error():
    for told in score(planted(0), runs_under(planted(0))).values():
        assert told == Score(54, pytest.approx(0, abs=1e-12), pytest.approx(1))


def test_total_draws_correlate_with_loss_over_budgets_and_not_at_all_within_one():
    runs = runs_under(planted(0))
    total = score(fit_laws(runs, form="total"), runs)
    assert {told.r for told in total.values()} == {None}
    assert all(told.mre > 0.05 for told in total.values())


def test_the_relative_error_of_a_loss_twice_too_high_is_one_half():
    doubled = [replace(run, loss={k: 2 * v for k, v in run.loss.items()}) for run in runs_under(planted(1))]
    assert {round(told.mre, 9) for told in score(planted(1), doubled).values()} == {0.5}


def test_correlation_is_that_of_log_losses_less_each_budgets_mean():
    laws = planted(2)
    mixtures = np.random.default_rng(0).dirichlet([1.0] * 6, 9)
    losses = [0.5, 0.7, 0.4, 0.9, 0.6, 0.8, 0.3, 0.35, 0.5]
    runs = [
        Run(f"r{i}", 0, dict(zip(laws.domains, 100 * mixture, strict=True)), None, {"brain-t1": loss}, {})
        for i, (mixture, loss) in enumerate(zip(mixtures, losses, strict=True))
    ]
    expected = np.corrcoef(np.log(laws.predict(100 * mixtures)[:, 2]), np.log(losses))[0, 1]
    assert list(score(laws, runs)) == ["brain-t1"]
    assert score(laws, runs)["brain-t1"].r == pytest.approx(expected)


def test_choosing_by_a_good_law_costs_nothing_and_a_law_that_ranks_nothing_chooses_nothing():
    runs = runs_under(planted(0))
    assert selection_regret(planted(0), runs) == 0
    blind = fit_laws(runs, form="total")
    assert selection_regret(blind, runs) is None
    assert selection_regret(blind, runs[::-1]) is None
    assert selection_regret(planted(0), runs[:1]) is None


def test_regret_is_the_loss_of_the_chosen_run_over_that_of_the_best():
    laws = planted(0)
    chosen = dict.fromkeys(laws.domains, 100.0)
    lopsided = {name: 600.0 * (name == "headneck-pet") for name in laws.domains}
    runs = [
        Run("even", 0, chosen, None, dict.fromkeys(laws.domains, 0.6), {}),
        Run("pet", 0, lopsided, None, dict.fromkeys(laws.domains, 0.5), {}),
    ]
    assert selection_regret(laws, runs) == pytest.approx(0.2)


def test_runs_of_a_domain_that_the_laws_do_not_know_are_refused():
    runs = [replace(run, draws=run.draws | {"spine": 5.0}) for run in runs_under(planted(0))]
    with pytest.raises(FitError, match=r"runs draw from \['spine'\]"):
        score(planted(0), runs)

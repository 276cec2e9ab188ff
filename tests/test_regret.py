from dataclasses import replace

import numpy as np
import pytest

from mixio.errors import FitError, InvalidArgument
from tests.truths import DOMAINS, planted, runs_under
from tools.designs import mixtures_only, singles_and_mixtures
from tools.fitting import fit_laws
from tools.observations import typical
from tools.prior import assumed_laws
from tools.regret import Setting, expected_regret, noise_of_laws, truths_of, uniform_regret
from tools.solve import Terms, solve, terms_of

BUDGETS = [512, 1024, 2048, 4096]
EVEN = Terms(np.full(6, 0.05), np.ones(6), np.full(6, 1 / 6))


def setting(noise: float, sets: int = 10, form: str = "transfer") -> Setting:
    return Setting(DOMAINS, assumed_laws(6, typical(BUDGETS), sets), 8192, EVEN, noise, form)


def test_the_regret_of_a_mixture_is_its_loss_over_the_best_ones_less_one():
    laws = planted(1)
    shares = np.random.default_rng(0).dirichlet([1.0] * 6)
    told = Setting(DOMAINS, laws.curves, 8192, terms_of(laws), 0.0).regret(shares[None])
    expected = laws.predict(shares * 8192).mean() / solve(laws, 8192).objective - 1
    assert told == pytest.approx([expected])


def test_runs_without_noise_leave_no_regret():
    regret = expected_regret(setting(0.0, 5), singles_and_mixtures(DOMAINS, BUDGETS, 30))
    assert 0 <= regret.mean <= regret.high < 1e-5


def test_fifty_four_runs_of_three_percent_noise_lose_a_hundredth_of_a_percent_and_uniform_shares_much_more():
    # another study, on laws of its own: mean 0.01 %, 90th percentile 0.02 %; uniform 11.1 %
    regret = expected_regret(setting(0.03, 40), singles_and_mixtures(DOMAINS, BUDGETS, 30))
    assert 0.00002 < regret.mean < 0.0002
    assert regret.high < 0.0005
    assert uniform_regret(setting(0.03, 40)).mean > 0.05


def test_more_noise_and_fewer_runs_cost_more():
    many, few = singles_and_mixtures(DOMAINS, BUDGETS, 84), mixtures_only(DOMAINS, BUDGETS, 24)
    quiet, loud = setting(0.01), setting(0.05)
    assert expected_regret(quiet, many).mean < expected_regret(loud, many).mean / 3
    assert expected_regret(loud, many).mean < expected_regret(loud, few).mean / 3


def test_a_form_that_shares_parameters_is_fitted_truth_by_truth():
    regret = expected_regret(setting(0.03, 4, "transfer+gamma"), singles_and_mixtures(DOMAINS, BUDGETS, 30))
    assert 0 < regret.mean < 0.002


def test_too_few_runs_to_fit_are_refused():
    with pytest.raises(FitError, match="has 13 observations for 9 parameters and needs 14"):
        expected_regret(setting(0.03), mixtures_only(DOMAINS, BUDGETS, 13))


def test_fitted_laws_are_truths_by_their_bootstrap_and_say_their_noise():
    laws = fit_laws(runs_under(planted(0), noise=0.03), samples=12)
    draws = np.full((1, 6), 300.0)
    np.testing.assert_array_equal(truths_of(laws, 4).predict(draws), laws.resampled.predict(draws)[::3])
    alone = truths_of(replace(laws, samples=None), 4).predict(draws)
    np.testing.assert_array_equal(alone, np.repeat(laws.curves.predict(draws), 4, 0))
    assert noise_of_laws(laws) == pytest.approx(0.03, rel=0.4)
    assert noise_of_laws(replace(laws, provenance={"noise": {"deviation": 0.07}})) == 0.07
    with pytest.raises(InvalidArgument, match="do not say how noisy their runs were; give --noise"):
        noise_of_laws(planted(0))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"noise": -0.1}, "noise is the deviation of log losses"), ({"budget": 0}, "budget must be a positive number")],
)
def test_a_setting_that_cannot_be_is_refused(change, message):
    with pytest.raises(InvalidArgument, match=message):
        replace(setting(0.03), **change)

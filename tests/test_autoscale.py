import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from mixio.errors import FitError, InvalidArgument
from tests.truths import DOMAINS, law, planted, runs_under
from tools.autoscale import Optimum, extrapolate, optima
from tools.laws import Laws
from tools.solve import solve

A, B = np.array([3.0, 1.0, 0.2]), np.array([0.2, 0.5, 0.9])


def closed_form(budget):
    """The best shares for sum_i A_i D_i^-B_i, by the price of a draw at which they add up to the budget."""

    def draws(price):
        return (A * B / np.exp(price)) ** (1 / (1 + B))

    price = brentq(lambda price: np.log(draws(price).sum() / budget), -60, 20, xtol=1e-13)
    return dict(zip("abc", (draws(price) / budget).tolist(), strict=True))


@given(st.floats(100, 1e9))
def test_power_laws_of_own_draws_are_continued_exactly(budget):
    small, large = (Optimum(at, closed_form(at)) for at in (100, 400))
    assert extrapolate(small, large, budget) == pytest.approx(closed_form(budget), rel=1e-6)


def test_the_third_mixture_is_the_square_of_the_second_over_the_first_by_hand():
    # N1 = (50, 50), N2 = (100, 400): N3 = (100^2 / 50, 400^2 / 50) = (200, 3200), of 3400 in all
    third = extrapolate(Optimum(100, {"ct": 0.5, "mr": 0.5}), Optimum(500, {"ct": 0.2, "mr": 0.8}), 3400)
    assert third == pytest.approx({"ct": 200 / 3400, "mr": 3200 / 3400})


def test_a_domain_whose_draws_fall_goes_on_falling():
    # N1 = (50, 50), N2 = (25, 275): t = 2 has (12.5, 1512.5)
    found = extrapolate(Optimum(100, {"ct": 0.5, "mr": 0.5}), Optimum(300, {"ct": 1 / 12, "mr": 11 / 12}), 1525)
    assert found["ct"] == pytest.approx(12.5 / 1525)


def test_at_the_two_budgets_nothing_changes():
    small, large = Optimum(100, {"ct": 0.5, "mr": 0.5, "us": 0}), Optimum(500, {"ct": 0.2, "mr": 0.8, "us": 0})
    assert extrapolate(small, large, 100) == pytest.approx(small.shares)
    assert extrapolate(small, large, 500) == pytest.approx(large.shares)


def test_runs_without_transfer_give_what_the_true_law_gives_at_eight_times_the_budget():
    alone = {name: dict.fromkeys(set(DOMAINS) - {name}, 0.0) for name in DOMAINS}
    betas = np.linspace(0.3, 0.6, 6)
    targets = {name: law(0.1, 0.3, beta, 0.1, alone[name]) for name, beta in zip(DOMAINS, betas, strict=True)}
    truth = Laws(DOMAINS, 1448.0, targets)
    small, large = optima(runs_under(truth))
    assert (small.budget, large.budget) == (512, 4096)
    best = solve(truth, 8 * 4096, floor=0).shares
    assert extrapolate(small, large, 8 * 4096) == pytest.approx(best, abs=5e-4)


def test_what_nothing_follows_from_is_refused():
    runs = [run for run in runs_under(planted(0)) if run.budget == 512]
    with pytest.raises(FitError, match="goes on from two budgets and all runs have 512 draws"):
        optima(runs)
    small, large = Optimum(100, {"ct": 0.5, "mr": 0.5}), Optimum(500, {"ct": 0.2, "mr": 0.8})
    with pytest.raises(InvalidArgument, match="from 100 draws to more, got 99"):
        extrapolate(small, large, 99)
    with pytest.raises(InvalidArgument, match="two budgets must rise, got 500 and 100"):
        extrapolate(large, small, 1000)
    with pytest.raises(InvalidArgument, match=r"\['ct'\] have draws at one budget and none at the other"):
        extrapolate(small, Optimum(500, {"ct": 0.0, "mr": 1.0}), 1000)

import numpy as np
import pytest

from mixio.errors import InvalidArgument
from tools.laws import exchange
from tools.observations import typical
from tools.prior import assumed_laws


def test_every_set_has_one_hub_that_is_worth_most_to_all_and_one_island_that_the_others_hardly_help():
    tau = exchange(assumed_laws(6, 1000.0, 50), np.full(6, 100.0))
    others = np.where(np.eye(6, dtype=bool), np.nan, tau)
    strong = np.nanmean(others, 1) > 0.35  # (U, K): a domain's worth to the rest, over 0.3 only for a hub
    helped = np.nanmax(others, 2) < 0.1  # (U, T): what a target gets from the best of the others
    assert (strong.sum(1) == 1).all()
    assert (helped.sum(1) == 1).all()
    assert len(set(strong.argmax(1).tolist())) == len(set(helped.argmax(1).tolist())) == 6


def test_losses_fall_with_draws_whatever_the_unit_of_draws():
    one, other = (assumed_laws(4, d_ref, 20, seed=3) for d_ref in (1e3, 1e6))
    draws = np.array([[1, 1, 1, 1], [2, 2, 2, 2], [8, 8, 8, 8]])
    np.testing.assert_allclose(one.predict(draws * 250), other.predict(draws * 250e3))
    assert (np.diff(one.predict(draws * 250)) < 0).all()


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_domains_have_laws_too(count):
    assert assumed_laws(count, 100.0, 5).predict(np.full((1, count), 50.0)).shape == (5, count, 1)


def test_a_prior_is_a_function_of_its_seed():
    draws = np.full((1, 3), 50.0)
    first, again, another = (assumed_laws(3, 100.0, 5, seed=seed).predict(draws) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != another).all()


def test_a_typical_budget_is_the_geometric_mean():
    assert typical([100, 400]) == pytest.approx(200)


@pytest.mark.parametrize("arguments", [(0, 100.0, 1), (3, 0.0, 1), (3, 100.0, 0)])
def test_laws_of_nothing_are_refused(arguments):
    with pytest.raises(InvalidArgument, match="need domains, sets and a positive d_ref"):
        assumed_laws(*arguments)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixio.errors import AllocationError
from tools.baselines import proportional, temperature, uniform, unimax, with_floor

counts = st.dictionaries(st.text("abc", min_size=1), st.integers(0, 10**9), min_size=1).filter(
    lambda counts: sum(counts.values()) > 0
)


@given(counts)
def test_proportional_shares_sum_to_one_and_keep_every_ratio(counts):
    shares = proportional(counts)
    assert sum(shares.values()) == pytest.approx(1, abs=1e-12)
    total = sum(counts.values())
    assert all(shares[name] * total == pytest.approx(count) for name, count in counts.items())


def test_three_quarters_of_the_volumes_get_three_quarters_of_the_draws():
    assert proportional({"ct": 30, "mr": 10}) == {"ct": 0.75, "mr": 0.25}
    assert uniform(["ct", "mr", "pet", "us"]) == dict.fromkeys(["ct", "mr", "pet", "us"], 0.25)


@pytest.mark.parametrize("counts", [{}, {"ct": 0}, {"ct": 3, "mr": -1}, {"ct": float("inf")}, {"ct": float("nan")}])
def test_counts_that_no_share_follows_from_are_refused(counts):
    with pytest.raises(AllocationError, match="counts must be finite, not negative and not all zero"):
        proportional(counts)


def test_shares_under_a_temperature_are_the_roots_of_the_counts_by_hand():
    # 10000^0.3 = 15.8489, 100^0.3 = 3.98107, 1^0.3 = 1: their sum is 20.82999
    shares = temperature({"ct": 10_000, "mr": 100, "pet": 1})
    assert list(shares.values()) == pytest.approx([0.760870, 0.191122, 0.048008], abs=1e-6)


@given(counts)
def test_a_temperature_lies_between_proportional_and_uniform(counts):
    assert temperature(counts, alpha=1) == pytest.approx(proportional(counts))
    assert temperature(counts, alpha=0) == uniform([*counts]) or 0 in counts.values()
    some = [domain for domain in counts if counts[domain]]
    assert {domain for domain, share in temperature(counts).items() if share} == set(some)


def test_powers_of_counts_that_are_no_numbers_any_more_still_have_shares():
    assert temperature({"ct": 2e150, "mr": 1e150}, alpha=3) == pytest.approx({"ct": 8 / 9, "mr": 1 / 9})


def test_unimax_fills_the_small_domains_first_and_shares_the_rest_by_hand():
    # 1000 draws, 4 epochs: 250 > 40; then 960 / 3 = 320 > 200; then 760 / 2 = 380 < 400 and the last gets 380
    shares = unimax({"large": 900, "tiny": 10, "small": 50, "middle": 100}, 1000, epochs=4)
    assert shares == pytest.approx({"large": 0.38, "tiny": 0.04, "small": 0.2, "middle": 0.38})


@given(
    st.dictionaries(st.text("abc", min_size=1), st.integers(1, 10**6), min_size=1),
    st.floats(0.01, 1),
    st.integers(1, 9),
)
def test_unimax_keeps_to_its_epochs_and_is_level_where_it_may(unique, part, epochs):
    budget = max(len(unique), part * epochs * sum(unique.values()))
    shares = unimax(unique, budget, epochs=epochs)
    assert sum(shares.values()) == pytest.approx(1)
    assert all(share * budget <= epochs * unique[domain] * (1 + 1e-9) for domain, share in shares.items())
    level = max(shares.values())
    assert all(share == pytest.approx(min(level, epochs * unique[domain] / budget)) for domain, share in shares.items())


def test_a_floor_lifts_every_share_to_it_and_keeps_the_sum():
    assert with_floor({"ct": 1.0, "mr": 0.0}, 0.1) == pytest.approx({"ct": 0.9, "mr": 0.1})


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: temperature({"ct": 1}, alpha=-1), "alpha must be a finite number and not negative, got -1"),
        (lambda: unimax({"ct": 10, "mr": 5}, 61, epochs=4), "61 draws are more than 4 times the 15 .* 4.07 epochs"),
        (lambda: unimax({"ct": 10, "mr": 5}, 1), "a draw for each of 2 domains, got 1"),
        (lambda: unimax({"ct": 10}, 5, epochs=0), "epochs must be finite and positive, got 0"),
        (lambda: unimax({}, 5), "counts must be finite, not negative and not all zero"),
        (lambda: with_floor({"ct": 0.5, "mr": 0.5}, 0.6), "0.6 for each of 2 domains needs 1.2 of the budget"),
    ],
)
def test_what_has_no_answer_is_refused_with_the_way_out(made, message):
    with pytest.raises(AllocationError, match=message):
        made()

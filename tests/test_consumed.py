import json
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mixio.consumed import Consumed

draws = st.lists(st.integers(0, 40) | st.integers(0, 10**15), max_size=12)


@given(draws, draws)
def test_equal_numbers_mean_equal_draws(one, other):
    assert (Consumed.of(one) == Consumed.of(other)) == (Counter(one) == Counter(other))


@given(draws, st.randoms(), st.integers(0, 12))
def test_order_and_split_change_nothing(some, random, split):
    whole = Consumed.of(some)
    random.shuffle(some)
    assert Consumed.of(some[:split]) + Consumed.of(some[split:]) == whole
    assert whole - Consumed.of(some[split:]) == Consumed.of(some[:split])


@given(st.integers(0, 10**12), st.integers(0, 50), st.integers(0, 10**9))
def test_a_row_is_its_draws_one_by_one_and_rows_join(first, few, many):
    assert Consumed.row(first, few) == Consumed.of(range(first, first + few))
    assert Consumed.row(first, many) + Consumed.row(first + many, few) == Consumed.row(first, many + few)


def test_draws_that_agree_in_number_sum_and_sum_of_squares_are_told_apart():
    one, other = Consumed.of([0, 3, 5, 6]), Consumed.of([1, 2, 4, 7])  # Prouhet, 1851
    assert (one.count, one.total) == (other.count, other.total) == (4, 14)
    assert one != other


@given(st.integers(0, 10**12), st.integers(1, 1000))
def test_a_row_that_is_missing_is_found(first, count):
    missing = Consumed.row(0, 2 * 10**12) - (
        Consumed.row(0, first) + Consumed.row(first + count, 2 * 10**12 - first - count)
    )
    assert missing.as_row() == (first, count)
    assert (Consumed() - missing).as_row() is None


def test_draws_that_are_no_row_are_not_taken_for_one():
    assert Consumed.of([3, 5]).as_row() is None
    assert Consumed.of([3, 3, 6]).as_row() is None  # three that add up as 3, 4, 5 do
    assert Consumed.of([2, 2]).as_row() is None
    assert Consumed().as_row() is None


@given(draws)
def test_its_state_survives_json(some):
    consumed = Consumed.of(some)
    assert Consumed.from_state(json.loads(json.dumps(consumed.state()))) == consumed

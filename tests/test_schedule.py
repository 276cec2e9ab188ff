import pickle
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixio.errors import AllocationError, InvalidArgument
from mixio.schedule import Schedule, normalised

weights = st.lists(st.floats(1e-300, 1) | st.just(5e-324) | st.just(0.0), min_size=1, max_size=40).filter(any)
steps = st.integers(-9, 9)


def named(values):
    return {f"d{i:02}": value for i, value in enumerate(values)}


@given(weights, steps)
def test_normalised_shares_are_the_exact_quotients_unless_they_sum_to_1_as_nearly_as_floats_can(weights, step):
    total = sum(map(Fraction, weights))
    shares = named([float(Fraction(weight) / total * (1 + Fraction(step, 2**53))) for weight in weights])
    exact = sum(map(Fraction, shares.values()))
    quotients = {domain: float(Fraction(share) / exact) for domain, share in shares.items()}
    assert normalised(shares) == (shares if abs(exact - 1) <= Fraction(1, 2**52) else quotients)


def test_the_smallest_float_decides():
    just = {"a": 0.5, "b": 0.5 + 2**-52}
    assert normalised(just) == just
    assert normalised({**just, "c": 5e-324}) == {"a": 0.5 - 2**-53, "b": 0.5 + 2**-53, "c": 5e-324}


parts = st.lists(weights.map(named), min_size=1, max_size=9)


@given(parts)
def test_a_schedule_pickles_as_what_it_is(parts):
    schedule = Schedule((10 * i, normalised(shares)) for i, shares in enumerate(parts))
    copy = pickle.loads(pickle.dumps(schedule))
    assert copy == schedule
    assert [list(shares) for _, shares in copy] == [list(shares) for _, shares in schedule]
    assert isinstance(copy, Schedule)


def test_a_pickled_schedule_has_each_name_once():
    shares = named([0.25] * 4)
    data = pickle.dumps(Schedule((i, dict(shares)) for i in range(1000)))
    assert data.count(b"d02") == 1
    assert len(data) < 1000 * (4 * 8 + 8)  # of each segment four floats, its beginning and what refers to the names


def test_what_begins_before_the_end_is_left_and_the_first_part_always():
    schedule = Schedule.of([(3, {"a": 1.0}), (5, {"b": 1.0})], 3)
    assert schedule.until(6) == schedule
    assert schedule.until(5) == schedule.until(3) == ((3, {"a": 1.0}),)


def test_a_schedule_is_taken_as_it_is_but_for_its_beginning():
    schedule = Schedule.of({"b": 0.25, "a": 0.75}, 7)
    assert Schedule.of(schedule, 7)[0][1] is schedule[0][1]
    with pytest.raises(InvalidArgument, match=r"a schedule begins with draw 8 and goes on to later ones, got \[7\]"):
        Schedule.of(schedule, 8)
    with pytest.raises(AllocationError, match="shares must sum to 1, got 0.5"):
        Schedule.of([(0, {"a": 0.5})], 0)

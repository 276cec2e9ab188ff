import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixio.errors import InvalidArgument
from mixio.taken import Taken, plain

rounds = st.lists(st.tuples(st.integers(0, 9), st.lists(st.integers(0, 12), max_size=6)), max_size=6)


def taken_by(rounds):
    """By plain sets: in each round the first so many free numbers, and some free ones after them."""
    taken, numbers = Taken(), set()
    for first, others in rounds:
        free = [number for number in range(200) if number not in numbers]
        wanted = [k for k in others if k >= first]
        numbers |= {free[k] for k in [*range(first), *wanted]}
        taken = taken.plus(first, wanted)
    return taken, numbers


@given(rounds)
def test_it_is_a_set_of_numbers(rounds):
    taken, numbers = taken_by(rounds)
    free = [number for number in range(200) if number not in numbers]
    assert taken.count == len(numbers)
    assert [taken.number(k) for k in range(40)] == free[:40]
    assert not taken.mask & 1


@given(rounds)
def test_plain_values_bring_it_back(rounds):
    taken, _ = taken_by(rounds)
    assert Taken.of(taken.plain, "ct") == taken
    assert isinstance(taken.plain, int) == (not taken.mask)


def test_plain_values_are_by_domain():
    assert plain(["ct", "mri"], [Taken(5), Taken(14, 2)]) == {"ct": 5, "mri": [14, "2"]}


@pytest.mark.parametrize("plain", [-1, 0.5, [1], [3, "1"], [3, "-2"], [3, "x"], [3, 4], "12", None])
def test_what_no_mixture_can_have_taken_is_refused(plain):
    with pytest.raises(InvalidArgument, match="what is drawn of 'ct' must be as `Mixture.taken` gives it"):
        Taken.of(plain, "ct")

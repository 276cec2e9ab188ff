from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mixio.segment import Segment
from mixio.taken import Taken

HALVES = [Fraction(1, 2), Fraction(1, 2), Fraction()]
NOTHING = [Taken()] * 3


def segment(start=0, before=NOTHING, **options):
    return Segment(start, HALVES, before, **{"seed": 0, "window": 64, **options})


@given(st.integers(1, 100), st.integers(0, 10**12), st.integers(1, 40_000))
def test_pieces_of_many_draws_join_where_one_ends(window, g, count):
    one = segment(window=window)
    leaves, numbers = (np.concatenate(each) for each in zip(*one.locate_many(g, count), strict=True))
    assert len(leaves) == len(numbers) == count
    for i in {0, count // 2, count - 1, *range(16_000, min(count, 16_500))}:
        assert (leaves[i], numbers[i]) == one.locate(g + i)


def test_segments_that_begin_elsewhere_are_shuffled_otherwise():
    orders = [[segment(start).locate(start + i)[0] for i in range(64)] for start in (0, 64, 128)]
    assert orders[0] != orders[1] != orders[2]
    assert [sum(order) for order in orders] == [32, 32, 32]


def test_holes_are_filled_first():
    before = [Taken(10, 0b1010), Taken(3), Taken()]
    numbers = [number for leaf, number in map(segment(before=before).locate, range(64)) if leaf == 0]
    assert sorted(numbers)[:4] == [10, 12, 14, 15]
    (leaves, many), *_ = segment(before=before).locate_many(0, 64)
    assert many[leaves == 0].tolist() == numbers


def test_a_domain_without_a_share_is_never_drawn_so_often():
    assert segment().first_after({2: 0}) is None
    assert segment().first_after({0: 0, 2: 0})[1] == 0


def test_the_window_that_is_cut_has_its_numbers_in_order():
    cut, whole = segment(end=100), segment()
    draws = [cut.locate(g) for g in range(64, 100)]
    assert [leaf for leaf, _ in draws] == [whole.locate(g)[0] for g in range(64, 100)]
    for leaf in (0, 1):
        numbers = [number for each, number in draws if each == leaf]
        assert numbers == list(range(32, 32 + len(numbers)))


@given(st.integers(1, 70), st.integers(0, 200))
def test_where_it_ends_no_number_is_left_out(window, end):
    ended = segment(window=window).ended(end)
    cut = segment(window=window, end=end)
    numbers = [[number for leaf, number in map(cut.locate, range(end)) if leaf == each] for each in (0, 1)]
    assert [sorted(each) for each in numbers] == [list(range(len(each))) for each in numbers]
    assert ended == [*(Taken(len(each)) for each in numbers), Taken()]


def test_what_is_found_comes_with_the_draws_before_it():
    found = segment(before=[Taken(10, 0b1010), Taken(3), Taken()]).first_after({0: 100, 2: 1})
    draws = [segment().locate(g)[0] for g in range(found.draw)]
    assert (found.leaf, found.counts) == (0, {0: draws.count(0), 1: draws.count(1)})
    assert draws.count(0) == 100 - 12

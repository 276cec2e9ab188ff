from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixio.tree import arrival, first_arrival, in_proportion, totals, tree, walk, walk_many

shares = st.lists(st.fractions(Fraction(1, 10**9), 1), min_size=1, max_size=40)
draws = st.integers(0, 10**15)


@given(shares, draws)
def test_an_arrival_is_found_again_by_its_leaf_and_number(shares, m):
    node = tree(list(enumerate(shares)))
    assert arrival(node, *walk(node, m)) == m


@given(shares, draws)
def test_the_number_of_an_arrival_is_how_many_came_to_its_leaf_before(shares, m):
    node = tree(list(enumerate(shares)))
    leaf, number = walk(node, m)
    assert totals(node, m)[leaf] == number
    assert totals(node, m + 1)[leaf] == number + 1
    assert sum(totals(node, m).values()) == m


@given(shares, st.dictionaries(st.integers(0, 45), st.integers(0, 10**9)))
def test_the_first_arrival_of_several_is_the_least_of_them(shares, numbers):
    node = tree(list(enumerate(shares)))
    each = [arrival(node, leaf, number) for leaf, number in numbers.items() if leaf < len(shares)]
    assert first_arrival(node, numbers) == min(each, default=None)


@given(st.lists(st.floats(0, 1) | st.fractions(0, 1), min_size=1))
def test_integers_are_in_proportion_to_shares(shares):
    integers = in_proportion(shares)
    assert [i * sum(map(Fraction, shares)) for i in integers] == [sum(integers) * Fraction(share) for share in shares]


@given(shares, draws, st.integers(0, 300))
def test_many_walks_at_once_go_where_each_goes_alone(shares, m, count):
    node = tree(list(enumerate(shares)))
    leaves, numbers = walk_many(node, m, count)
    assert [*zip(leaves.tolist(), numbers.tolist(), strict=True)] == [walk(node, i) for i in range(m, m + count)]
    assert leaves.dtype == numbers.dtype == np.int64


@pytest.mark.parametrize("rare", [Fraction(1, 2**62), Fraction(1, 10**30)])
def test_the_rarest_leaf_comes_once_in_its_time(rare):
    node = tree([(0, 1 - rare), (1, rare)])
    assert walk(node, arrival(node, 1, 0)) == (1, 0)
    assert arrival(node, 1, 0) == 2**61  # half of 2^62: floors round to the nearest


def test_a_share_halfway_between_two_is_the_even_one():
    halfway = [Fraction(n, 2**63) for n in (3, 5)]
    assert [tree([(0, share), (1, 1 - share)]).share for share in halfway] == [2, 2]


@given(st.lists(st.one_of(st.floats(1e-300, 1), st.fractions(Fraction(1, 10**9), 1)), min_size=2, max_size=40))
def test_each_half_has_its_part_of_the_sum_to_62_places(shares):
    shares = [Fraction(share) for share in shares]
    parts = [(tree(list(enumerate(shares))), shares)]
    while parts:
        node, its = parts.pop()
        if len(its) > 1:
            half = len(its) // 2
            assert abs(Fraction(node.share, 2**62) - sum(its[:half]) / sum(its)) <= Fraction(1, 2**62)
            parts += [(node.left, its[:half]), (node.right, its[half:])]

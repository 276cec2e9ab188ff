"""Nested floors: which leaf an arrival goes to, and its number there.

A node whose left half has the share a of what arrives sends floor(m*a + 1/2) of its first m arrivals to the left.
Arrival m goes left exactly when that number steps between m and m + 1, and the number is its number there. So one walk
from the root to a leaf answers both questions with integers alone; shares are held to 62 binary places.

    >>> halves = tree([(0, Fraction(1, 2)), (1, Fraction(1, 2))])
    >>> [walk(halves, m) for m in range(4)]
    [(0, 0), (1, 0), (0, 1), (1, 1)]
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import accumulate
from math import lcm
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

_BITS = 62
_ONE = 1 << _BITS
_HALF = _ONE >> 1
_FRACTION = np.uint64(_ONE - 1)
_FEW = 16
"""Arrivals that walk one by one in less time than numpy takes for them together."""


class Fork(NamedTuple):
    """The share of the left half in units of 2^-62, the halves, and the first leaf of the right one."""

    share: int
    left: "Tree"
    right: "Tree"
    border: int


Tree: TypeAlias = int | Fork
"""A leaf, by its number, or a fork; leaves are in order of number from left to right."""


def tree(leaves: Sequence[tuple[int, Fraction | float]]) -> Tree:
    """Halve leaves of positive share, in order of number, until one is left; depth ceil(log2 K)."""
    sums = [0, *accumulate(in_proportion([share for _, share in leaves]))]
    return _halved([leaf for leaf, _ in leaves], sums, 0, len(leaves))


def in_proportion(shares: Iterable[Fraction | float]) -> list[int]:
    """Integers that are to each other exactly as the shares are."""
    ratios = [share.as_integer_ratio() for share in shares]
    whole = lcm(*{denominator for _, denominator in ratios})
    return [numerator * (whole // denominator) for numerator, denominator in ratios]


def _halved(leaves: Sequence[int], sums: Sequence[int], first: int, last: int) -> Tree:
    """The tree of the leaves in the places from `first` to before `last`; `sums` are of the shares before a place."""
    if last - first == 1:
        return leaves[first]
    half = (first + last) // 2
    total = sums[last] - sums[first]
    share, rest = divmod((sums[half] - sums[first]) << _BITS, total)
    share += 2 * rest > total or (2 * rest == total and share & 1)  # to the nearest, a half to the even one
    left, right = _halved(leaves, sums, first, half), _halved(leaves, sums, half, last)
    return Fork(min(max(share, 1), _ONE - 1), left, right, leaves[half])


def walk(node: Tree, m: int) -> tuple[int, int]:
    """The leaf of arrival m and the number of earlier arrivals there; O(log K)."""
    while not isinstance(node, int):
        share, left, right, _ = node
        before = m * share + _HALF
        goes_left = (before + share) >> _BITS > before >> _BITS
        node, m = (left, before >> _BITS) if goes_left else (right, m - (before >> _BITS))
    return node, m


def arrival(node: Tree, leaf: int, number: int) -> int:
    """The inverse of `walk`: which arrival is the leaf's arrival of this number."""
    if isinstance(node, int):
        return number
    share, left, right, border = node
    if leaf < border:
        return _through_left(share, arrival(left, leaf, number))
    return _through_right(share, arrival(right, leaf, number))


def first_arrival(node: Tree, numbers: Mapping[int, int]) -> int | None:
    """The first arrival that is a leaf's arrival of the number that `numbers` has for it, if they have any; O(K)."""
    if isinstance(node, int):
        return numbers.get(node)
    share, left, right, _ = node
    on_left, on_right = first_arrival(left, numbers), first_arrival(right, numbers)
    if on_right is None:
        return None if on_left is None else _through_left(share, on_left)
    m = _through_right(share, on_right)
    return m if on_left is None else min(m, _through_left(share, on_left))


def _through_left(share: int, number: int) -> int:
    """The first m for which floor((m + 1) a + 1/2) is above the number."""
    return -(-(((number + 1) << _BITS) - _HALF) // share) - 1


def _through_right(share: int, number: int) -> int:
    return ((number << _BITS) + _HALF) // (_ONE - share)


def totals(node: Tree, m: int) -> dict[int, int]:
    """How many of the first m arrivals each leaf has; O(K)."""
    counts: dict[int, int] = {}
    halves = [(node, m)]
    while halves:
        node, m = halves.pop()
        if isinstance(node, int):
            counts[node] = m
        else:
            share, left, right, _ = node
            to_left = (m * share + _HALF) >> _BITS
            halves += [(left, to_left), (right, m - to_left)]
    return counts


def walk_many(node: Tree, m: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Leaves and numbers of the `count` arrivals from m on, as `walk` gives them."""
    leaves, numbers = np.empty(count, np.int64), np.empty(count, np.int64)
    parts = [(node, m, np.arange(count))]  # what arrives at a node are consecutive arrivals there, at these places
    while parts:
        node, m, places = parts.pop()
        if isinstance(node, int):
            leaves[places] = node
            numbers[places] = np.arange(m, m + len(places))
        elif len(places) <= _FEW:
            for each, place in enumerate(places.tolist(), m):
                leaves[place], numbers[place] = walk(node, each)
        else:
            before = m * node.share + _HALF
            share = np.uint64(node.share)
            # Products wrap around at 2^64, which leaves their 62 binary places as they are.
            rest = (np.arange(len(places), dtype=np.uint64) * share + np.uint64(before & (_ONE - 1))) & _FRACTION
            goes_left = (rest + share) >> np.uint64(_BITS) > 0
            parts += [
                (node.left, before >> _BITS, places[goes_left]),
                (node.right, m - (before >> _BITS), places[~goes_left]),
            ]
    return leaves, numbers

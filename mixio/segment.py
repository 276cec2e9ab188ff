"""A stretch of a run in which shares stay the same: nested floors, shuffled in windows, counted on from before.

A segment's draws fill windows from its start on. Each window is shuffled by a keyed bijection; the window that the
segment's end cuts gives a domain's numbers in the order of its draws, so that none of them is left out. Numbers are
those that are free where the segment begins.
"""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixio.draws import kept_key_of, key_of, permute, permute_many
from mixio.taken import Taken
from mixio.tree import first_arrival, totals, tree, walk, walk_many

LARGEST_WINDOW = 1 << 16
"""Draws of a window; where it is cut, a state has a bit for each."""
_FARTHEST = 1 << 62
"""Draws that no run comes to; windows from there on would overflow."""
_AT_ONCE = 1 << 14
"""Draws that are planned together: their arrays stay in the processor's cache."""


class Found(NamedTuple):
    """A draw, its domain by its place, and how many draws of each that is drawn the segment has before it."""

    draw: int
    leaf: int
    counts: dict[int, int]


class Segment:
    """Draws from `start` on, before `end` if there is one, in `shares` of which some are above 0.

    `shares` are of the domains in their order, `before` is what has been taken of each.
    """

    def __init__(
        self,
        start: int,
        shares: Sequence[Fraction | float],
        before: Sequence[Taken],
        *,
        seed: int,
        window: int,
        end: int | None = None,
    ) -> None:
        self.start, self.shares, self.before = start, shares, before
        self._seed, self._window = seed, window
        self._tree = tree([(leaf, share) for leaf, share in enumerate(shares) if share])
        self._counts = [taken.count if taken.mask else taken.whole for taken in before]
        self._holed = {leaf for leaf, taken in enumerate(before) if taken.mask}
        self._label = str(start) if start else ""
        self._cut = None if end is None or not (end - start) % window else end - (end - start) % window

    def locate(self, g: int) -> tuple[int, int]:
        """The domain of draw g of the run, by its place, and the draw's number there; O(log K)."""
        if self._cut is not None and g >= self._cut:
            leaves, numbers = self._in_order
            return int(leaves[g - self._cut]), int(numbers[g - self._cut])
        first = g - self.start
        window, place = divmod(first, self._window)
        key = kept_key_of(self._seed, "window", self._label, window)
        leaf, k = walk(self._tree, first - place + permute(place, self._window, key))
        return leaf, self.before[leaf].number(k) if leaf in self._holed else self._counts[leaf] + k

    def locate_many(self, g: int, count: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """The same of `count` draws from g on, in pieces."""
        stop = g + count if self._cut is None else max(g, min(g + count, self._cut))
        first, last, size = g - self.start, stop - self.start, self._window
        step = -(-_AT_ONCE // size) * size
        begin = first - first % size
        while begin < last:
            end = min(begin + step, -(-last // size) * size)
            leaves, ks = self._windows(begin, end)
            wanted = slice(max(first - begin, 0), last - begin)
            yield leaves[wanted], self._numbered(leaves, ks)[wanted]
            begin = end
        if self._cut is not None and stop < g + count:
            leaves, numbers = self._in_order
            yield leaves[stop - self._cut : g + count - self._cut], numbers[stop - self._cut : g + count - self._cut]

    @cached_property
    def _in_order(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Domains and numbers of the window that is cut."""
        assert self._cut is not None
        begin = self._cut - self.start
        leaves, ks = self._windows(begin, begin + self._window)
        for leaf in np.unique(leaves):
            ks[leaves == leaf] = np.sort(ks[leaves == leaf])
        return leaves, self._numbered(leaves, ks)

    def _windows(self, begin: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Domains of whole windows, counted from the segment's start, and which of a domain's draws here each is."""
        size = self._window
        keys = np.array([self._key(window) for window in range(begin // size, end // size)], np.uint64)
        places = permute_many(size, keys) + np.arange(0, end - begin, size)[:, None]  # (windows, size)
        leaves, ks = walk_many(self._tree, begin, end - begin)
        return leaves[places.ravel()], ks[places.ravel()]

    def _numbered(self, leaves: NDArray[np.int64], ks: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers of those draws: those that were free when the segment began."""
        numbers: NDArray[np.int64] = ks + np.array(self._counts)[leaves]
        for leaf in self._holed:
            taken = self.before[leaf]
            filling = (leaves == leaf) & (ks < len(taken.holes))
            numbers[filling] = np.array(taken.holes)[ks[filling]]
        return numbers

    def taken(self, g: int) -> list[Taken]:
        """What has been taken of each domain before draw g; O(K), and a walk through the window that g cuts."""
        rest = (g - self.start) % self._window
        if g - rest == self._cut:
            return self.ended(g)
        begin = g - self.start - rest
        others: dict[int, list[int]] = {}
        if rest:
            leaves, ks = self._windows(begin, begin + self._window)
            for leaf, k in zip(leaves[:rest].tolist(), ks[:rest].tolist(), strict=True):
                others.setdefault(leaf, []).append(k)
        return self._with(totals(self._tree, begin), others)

    def ended(self, end: int) -> list[Taken]:
        """The same before draw `end` if the segment ends there: the window that it cuts has its numbers in order."""
        rest = (end - self.start) % self._window
        begin = end - self.start - rest
        counts = totals(self._tree, begin)
        if rest:
            leaves, _ = self._windows(begin, begin + self._window)
            for leaf in leaves[:rest].tolist():
                counts[leaf] += 1
        return self.counted(counts)

    def counted(self, counts: Mapping[int, int]) -> list[Taken]:
        """The same after so many draws of each domain, if the segment ends with them."""
        return self._with(counts, {})

    def _with(self, counts: Mapping[int, int], others: Mapping[int, Sequence[int]]) -> list[Taken]:
        """What was taken before, with the first so many free numbers of each domain, and those in other places."""
        after = list(self.before)
        for leaf, count in counts.items():
            after[leaf] = after[leaf].plus(count, others.get(leaf, ()))
        return after

    def first_after(self, counts: Mapping[int, int]) -> Found | None:
        """The first draw of a domain before which it has been drawn as often as `counts` says, or more.

        None where no domain of `counts` has a share, or none is drawn so often in 2^62 draws.
        """
        due = {leaf: max(n - self._counts[leaf], 0) for leaf, n in counts.items() if self.shares[leaf]}
        m = first_arrival(self._tree, due)
        if m is None or m >= _FARTHEST:
            return None
        begin = m - m % self._window
        seen = totals(self._tree, begin)
        leaves, _ = self._windows(begin, begin + self._window)
        for place, leaf in enumerate(leaves.tolist()):
            if seen[leaf] == due.get(leaf):
                return Found(self.start + begin + place, leaf, seen)
            seen[leaf] += 1
        raise AssertionError("the window that has the first of these arrivals")

    def _key(self, window: int) -> int:
        return key_of(self._seed, "window", self._label, window)

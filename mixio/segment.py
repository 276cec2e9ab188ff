"""A stretch of a run in which shares stay the same: nested floors, shuffled in windows, counted on from before.

A segment's draws fill windows from its start on. Each window is shuffled by a keyed bijection; the window that the
segment's end cuts gives a domain's numbers in the order of its draws, so that none of them is left out. Numbers are
those that are free where the segment begins.
"""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from mixio.draws import key_of, permute, permute_many
from mixio.taken import Taken
from mixio.tree import arrival, totals, tree, walk, walk_many

LARGEST_WINDOW = 1 << 20
"""Draws of a window: more would be walked through where a window is cut."""
_AT_ONCE = 1 << 14
"""Draws that are planned together: their arrays stay in the processor's cache."""


class Segment:
    """Draws from `start` on, before `end` if there is one, in `shares` of which some are above 0.

    `shares` are of the domains in their order, `before` is what has been taken of each.
    """

    def __init__(
        self,
        start: int,
        shares: Sequence[Fraction],
        before: Sequence[Taken],
        *,
        seed: int,
        window: int,
        end: int | None = None,
    ) -> None:
        self.start, self.shares, self.before = start, shares, before
        self._seed, self._window = seed, window
        self._tree = tree([(leaf, share) for leaf, share in enumerate(shares) if share])
        self._counts = [taken.count for taken in before]
        self._holed = {leaf for leaf, taken in enumerate(before) if taken.mask}
        self._label = str(start) if start else ""
        self._cut = None if end is None or not (end - start) % window else end - (end - start) % window

    def locate(self, g: int) -> tuple[int, int]:
        """The domain of draw g of the run, by its place, and the draw's number there; O(log K).

        In the window that is cut it takes a walk for every draw of that before g.
        """
        if self._cut is not None and g >= self._cut:
            *earlier, leaf = self._leaves(self._cut, g + 1)
            k = totals(self._tree, self._cut - self.start).get(leaf, 0) + earlier.count(leaf)
        else:
            leaf, k = self._walk(g)
        return leaf, self.before[leaf].number(k) if leaf in self._holed else self._counts[leaf] + k

    def _walk(self, g: int) -> tuple[int, int]:
        first = g - self.start
        window, place = divmod(first, self._window)
        return walk(self._tree, first - place + permute(place, self._window, self._key(window)))

    def _leaves(self, begin: int, end: int) -> list[int]:
        return [self._walk(g)[0] for g in range(begin, end)]

    def locate_many(self, g: int, count: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """The same of `count` draws from g on, in pieces."""
        stop = g + count if self._cut is None else max(g, min(g + count, self._cut))
        first, last, size = g - self.start, stop - self.start, self._window
        step = -(-_AT_ONCE // size) * size
        begin = first - first % size
        while begin < last:
            end = min(begin + step, -(-last // size) * size)
            leaves, numbers = self._windows(begin, end)
            wanted = slice(max(first - begin, 0), last - begin)
            yield leaves[wanted], numbers[wanted]
            begin = end
        if stop < g + count:
            rest = np.array([self.locate(each) for each in range(stop, g + count)])
            yield rest[:, 0], rest[:, 1]

    def _windows(self, begin: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Domains and numbers of whole windows, counted from the segment's start."""
        size = self._window
        keys = np.array([self._key(window) for window in range(begin // size, end // size)], np.uint64)
        places = permute_many(size, keys) + np.arange(0, end - begin, size)[:, None]  # (windows, size)
        leaves, ks = (each[places.ravel()] for each in walk_many(self._tree, begin, end - begin))
        numbers = ks + np.array(self._counts)[leaves]
        for leaf in self._holed:
            taken = self.before[leaf]
            filling = (leaves == leaf) & (ks < len(taken.holes))
            numbers[filling] = np.array(taken.holes)[ks[filling]]
        return leaves, numbers

    def taken(self, g: int) -> list[Taken]:
        """What has been taken of each domain before draw g; O(K) plus a walk through the window that g cuts."""
        begin = g - (g - self.start) % self._window
        counts = totals(self._tree, begin - self.start)
        others: dict[int, list[int]] = {}
        for leaf, k in map(self._walk, range(begin, g)):
            if begin == self._cut:
                counts[leaf] += 1
            else:
                others.setdefault(leaf, []).append(k)
        return [taken.plus(counts.get(leaf, 0), others.get(leaf, ())) for leaf, taken in enumerate(self.before)]

    def draw_after(self, leaf: int, count: int) -> int | None:
        """The draw of a domain before which it has been drawn `count` times or more; None where it has no share."""
        if not self.shares[leaf]:
            return None
        k = max(count - self._counts[leaf], 0)
        m = arrival(self._tree, leaf, k)
        begin = self.start + m - m % self._window
        later = k - totals(self._tree, begin - self.start)[leaf]
        leaves = self._leaves(begin, begin + self._window)
        return begin + [i for i, each in enumerate(leaves) if each == leaf][later]

    def _key(self, window: int) -> int:
        return key_of(self._seed, "window", self._label, window)


def segments_of(
    schedule: Sequence[tuple[int, Mapping[str, float]]],
    domains: Sequence[str],
    before: Sequence[Taken],
    *,
    seed: int,
    window: int,
    end: int | None,
) -> list[Segment]:
    """The segments of a schedule of (first draw, shares of the domains), each counted on from the one before."""
    segments: list[Segment] = []
    for (start, shares), stop in zip(schedule, [*(start for start, _ in schedule[1:]), end], strict=True):
        if segments:
            before = segments[-1].taken(start)
        exact = [Fraction(shares.get(domain, 0)) for domain in domains]
        segments.append(Segment(start, exact, before, seed=seed, window=window, end=stop))
    return segments

"""The segments of a run, each built when it is first asked for.

A segment counts on from what the ones before it took, so the first look-up in one goes through these. It begins at the
last mark before it: what was taken before every 32nd segment is written down where it was worked out, and a mixture
pickles with these marks. So a worker process that begins in the middle of a long schedule builds 32 segments at most.
"""

from collections.abc import Mapping, Sequence

from mixio.schedule import Schedule
from mixio.segment import Segment
from mixio.taken import Before, Taken, plain

MARKED = 32
"""Each segment of so many has a mark."""


class Segments:
    """The segments of a schedule by their places in it; `marks` is what was taken before some, the first among them."""

    def __init__(
        self,
        schedule: Schedule,
        domains: Sequence[str],
        marks: Mapping[int, Before],
        *,
        seed: int,
        window: int,
        end: int | None,
    ) -> None:
        self.marks = dict(marks)
        self._schedule, self._domains = schedule, domains
        self._seed, self._window = seed, window
        self._ends = [*(start for start, _ in schedule[1:]), end]
        self._built: list[Segment | None] = [None] * len(schedule)

    def __getitem__(self, place: int) -> Segment:
        return self._built[place] or self._reached(place)

    def _reached(self, place: int) -> Segment:
        """Build this one, and those from the last mark or the last that is there to it."""
        first = place
        while first not in self.marks and self._built[first - 1] is None:
            first -= 1
        previous = None if first in self.marks else self._built[first - 1]
        for each in range(first, place + 1):
            previous = self._built[each] = self._build(each, previous)
        assert previous is not None
        return previous

    def _build(self, place: int, previous: Segment | None) -> Segment:
        start, shares = self._schedule[place]
        if previous is None:
            before = [Taken.of(self.marks[place].get(domain, 0), domain) for domain in self._domains]
        else:
            before = previous.ended(start)
            if place % MARKED == 0:
                self.marks[place] = plain(self._domains, before)
        its = [shares.get(domain, 0.0) for domain in self._domains]
        return Segment(start, its, before, seed=self._seed, window=self._window, end=self._ends[place])

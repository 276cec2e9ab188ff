"""Which domain is draw g, and the how-manyth of that domain: a pure function of integers.

The K domains of positive share are the leaves, in order of name, of a balanced binary tree of nested floors (see
`mixio.tree`): one walk from the root to a leaf says where arrival m goes, with no state and no random generator.
Nested floors alone are periodic, and a stride of ranks could see one domain only. So g first changes places inside its
window of draws, by a bijection keyed with the seed and the window's number.

Theorem. After any whole number of windows, n draws in all, each domain of share w was drawn n*w times to
within ceil(log2 K)/2; for K <= 64 that is less than 3, however large n. So any run of whole windows holds n*w draws of
it to within ceil(log2 K).
Proof. A window is permuted within itself, so n draws are the tree's first n arrivals. Let e be the
distance of a node's arrivals m from n times its share; e = 0 at the root. Its left child, of share a, gets
m*a + d with |d| <= 1/2, which is within a*e + 1/2 of its due; its right child gets m*(1-a) - d, within
(1-a)*e + 1/2. Each level adds at most 1/2, and there are ceil(log2 K). Below the first level a whole 1/2 is
never added: either a < 1, or a = 1 and d = 0. So from two levels on the bound is not reached.

Inside a window a domain may stray further, by what that window holds of it. Shares are held to 62 binary
places: at n = 10^12 that moves n*w by less than 10^-6.

Where shares change in the course of a run, each segment is such a sequence of its own, and the domains' numbers go on:
no draw is skipped, none comes twice. Every segment adds its own bound to how far a domain is from its due.

    >>> mixture = Mixture({"abdomen-ct": 0.6, "brain-t1": 0.4})
    >>> mixture.counts(640)
    {'abdomen-ct': 384, 'brain-t1': 256}
    >>> Mixture([(0, {"abdomen-ct": 1.0}), (64, {"brain-t1": 1.0})]).counts(100)
    {'abdomen-ct': 64, 'brain-t1': 36}
"""

import os
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.allocation import check_shares, fingerprint
from mixio.errors import InvalidArgument, MixtureEnded, expect, whole_number
from mixio.schedule import Schedule, Shares
from mixio.segment import LARGEST_WINDOW, Segment
from mixio.segments import Segments
from mixio.taken import Before, Plain, Taken, all_taken, plain
from mixio.weights import read_allocation

_LARGEST = 1 << 62
_LATER = "ask for fewer, or have it end later: by `end`, or by max_repeats where a data set ended it"


class Mixture:
    """A sequence of draws from domains in given shares, open at any place; it does not change.

    `shares` sum to 1 within 1e-6 and are then normalised; a domain of share 0 is not drawn. Shares that change in the
    course of the run are given as a list of (first draw, shares), the first of them from draw 0 on. `seed` moves the
    order inside each window of `window` draws, never its composition. A window of 1 is not shuffled; one of at least
    the global batch lets no rank see a pattern. Where shares change, the window is cut.

    `before` says what other mixtures have drawn already, as their `taken` returns it: this one begins after that. There
    is nothing from draw `end` on, if that is given.
    """

    def __init__(
        self,
        shares: Shares | Sequence[tuple[int, Shares]],
        *,
        seed: int = 0,
        window: int = 64,
        before: Before | None = None,
        end: int | None = None,
    ) -> None:
        self.seed, self.window = whole_number(seed, "seed"), whole_number(window, "window")
        if not 1 <= self.window <= LARGEST_WINDOW:
            raise InvalidArgument(
                f"window must be from 1 draw to {LARGEST_WINDOW}, got {self.window}; 1 means no shuffle"
            )
        taken = all_taken({} if before is None else before)
        self.before: dict[str, Plain] = {domain: one.plain for domain, one in taken.items()}
        self.start = sum(one.count for one in taken.values())
        """The first draw of this mixture."""
        self.schedule = Schedule.of(shares, self.start)
        """What shares are in force, from which draw on."""
        self.allocation = _allocation(shares)
        """The fingerprint of the last shares as they were given; an `Allocation` of them has the same."""
        self.end = None if end is None else _count(end, "the end of a mixture")
        if self.end is not None:
            if self.end < self.start:
                raise InvalidArgument(f"a mixture that begins with draw {self.start} cannot end at {self.end}")
            self.schedule = self.schedule.until(self.end)
        self.domains: tuple[str, ...] = tuple(sorted({*taken}.union(*(each for _, each in self.schedule))))
        """All domains by name, those of share 0 included."""
        self.marks: Mapping[int, Before] = {}
        """What was taken before some segments, by their places in the schedule, where that is known already."""

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, seed: int = 0, window: int = 64) -> "Mixture":
        """The mixture of an allocation.json, or of another tool's list of weights (see `mixio.weights`)."""
        return cls(read_allocation(path).shares, seed=seed, window=window)

    @property
    def shares(self) -> Shares:
        """The shares of the last segment, which stay."""
        return self.schedule[-1][1]

    @property
    def drawn(self) -> dict[str, float]:
        """The domains that have a share above 0 at some time, and the largest that they have."""
        most = {domain: max(shares.get(domain, 0.0) for _, shares in self.schedule) for domain in self.domains}
        return {domain: share for domain, share in most.items() if share}

    @cached_property
    def fingerprint(self) -> str:
        """16 hex characters; two mixtures of one fingerprint draw the same sequence."""
        parts: dict[str, Any] = {"seed": self.seed, "window": self.window}
        parts |= {"shares": self.shares} if len(self.schedule) == 1 else {"schedule": self.schedule}
        parts |= {"before": self.before} if self.before else {}
        parts |= {"end": self.end} if self.end is not None else {}
        return fingerprint(parts)

    def after(self, before: Before) -> "Mixture":
        """This mixture as the rest of a run in which others have drawn what `before` says."""
        start = sum(taken.count for taken in all_taken(before).values())
        rest = [(first, shares) for first, shares in self.schedule if first > start]
        schedule = [(start, self.shares_at(start)), *rest]
        mixture = Mixture(schedule, seed=self.seed, window=self.window, before=before, end=self.end)
        mixture.allocation = self.allocation
        return mixture

    def shares_at(self, g: int) -> Shares:
        """The shares that are in force at draw g."""
        return self.schedule[max(bisect_right(self._starts, _count(g, "a draw")) - 1, 0)][1]

    def locate(self, g: int) -> tuple[str, int]:
        """The domain of draw g and the draw's number in it; O(log K).

        The numbers that a window has of a domain are consecutive and come in shuffled order, but in order where the
        window is cut by the next segment or the end. `MixtureEnded` from `end` on.
        """
        g = whole_number(g, "a draw")
        if g < self.start or (self.end is not None and g >= self.end):
            self._draw(g)
        leaf, number = self._segment(g).locate(g)
        return self.domains[leaf], number

    def locate_many(self, start: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The same of `count` draws from `start` on, below 2^62: places in `domains`, and numbers."""
        start, count = _count(start, "a draw"), _count(count, "a number of draws")
        if start + count > _LARGEST:
            raise InvalidArgument(f"draws below 2^62 are located together, asked for {count} from {start} on")
        if count:
            self._draw(start)
            self._draw(start + count - 1)
        pieces = [(np.empty(0, np.int64), np.empty(0, np.int64))]
        stop = start + count
        while start < stop:
            place = self._place(start)
            last = min([stop, *self._starts[place + 1 : place + 2]])
            pieces += self._segments[place].locate_many(start, last - start)
            start = last
        leaves, numbers = zip(*pieces, strict=True)
        return np.concatenate(leaves), np.concatenate(numbers)

    def counts(self, n: int) -> dict[str, int]:
        """How often each domain is among the first n draws; O(K) plus a walk through the last window."""
        return {domain: taken.count for domain, taken in zip(self.domains, self._taken(n), strict=True)}

    def taken(self, n: int) -> dict[str, Plain]:
        """Which numbers of each domain the first n draws have, in plain values, for the `before` of another mixture.

        That is how many; or, where n cuts a window so that numbers are left out, the first of these, and in hexadecimal
        a bit for each number from there on that is not.
        """
        return plain(self.domains, self._taken(n))

    def draw_after(self, domain: str, count: int) -> int | None:
        """The first draw of a domain before which it has been drawn `count` times or more; None if there is none."""
        found = self.first_after({domain: count})
        return None if found is None else found[0]

    def first_after(self, counts: Mapping[str, int]) -> tuple[int, str] | None:
        """The first draw of a domain that has been drawn as often as `counts` says, or more; and the domain."""
        expect(counts, Mapping, "counts must map domains to how often each has been drawn")
        unknown = sorted(map(str, counts.keys() - set(self.domains)))
        if unknown:
            raise InvalidArgument(f"the mixture has the domains {list(self.domains)}, asked for {unknown}")
        numbers = {domain: _count(n, f"the count of {domain!r}") for domain, n in counts.items()}
        by_leaf = {leaf: numbers[domain] for leaf, domain in enumerate(self.domains) if domain in numbers}
        for place, end in enumerate([*self._starts[1:], self.end]):
            found = self._segments[place].first_after(by_leaf)
            if found is not None and (end is None or found.draw < end):
                return found.draw, self.domains[found.leaf]
        return None

    def _taken(self, n: int) -> list[Taken]:
        n = _count(n, "a number of draws")
        if n < self.start:
            raise InvalidArgument(f"the first {self.start} draws were made by another mixture; asked for {n} of them")
        if self.end is not None and n > self.end:
            raise MixtureEnded(f"this mixture ends after {self.end} draws; asked for the first {n}; {_LATER}")
        return self._segment(max(n - 1, self.start)).taken(n)

    def _draw(self, g: int) -> int:
        g = _count(g, "a draw")
        if g < self.start:
            raise InvalidArgument(f"draw {g} was made by another mixture; this one begins with draw {self.start}")
        if self.end is not None and g >= self.end:
            raise MixtureEnded(f"there is no draw {g}: this mixture ends after {self.end} draws; {_LATER}")
        return g

    def _place(self, g: int) -> int:
        return bisect_right(self._starts, g) - 1

    def _segment(self, g: int) -> Segment:
        return self._segments[self._place(g)]

    @cached_property
    def _segments(self) -> Segments:
        marks = {**self.marks, 0: self.before}
        return Segments(self.schedule, self.domains, marks, seed=self.seed, window=self.window, end=self.end)

    @cached_property
    def _starts(self) -> list[int]:
        return [start for start, _ in self.schedule]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mixture) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __reduce__(self) -> tuple[Any, ...]:
        options: dict[str, Any] = {"seed": self.seed, "window": self.window, "before": self.before, "end": self.end}
        known = {"allocation": self.allocation, "marks": dict(self._segments.marks)}
        return partial(Mixture, **options), (self.schedule,), known

    def __repr__(self) -> str:
        parts = []
        for start, shares in self.schedule:
            named = ", ".join(f"{domain}: {share:.3g}" for domain, share in shares.items() if share)
            parts.append(f"from {start} {named}" if start else named)
        end = "" if self.end is None else f", end={self.end}"
        return f"Mixture({'; '.join(parts)}; seed={self.seed}, window={self.window}{end})"


def _allocation(shares: Any) -> str:
    last = shares if isinstance(shares, Mapping) or not shares else shares[-1][1]
    return fingerprint({"shares": check_shares(last)})


def _count(value: int, what: str) -> int:
    value = whole_number(value, what)
    if value < 0:
        raise InvalidArgument(f"{what} must be at least 0, got {value}")
    return value

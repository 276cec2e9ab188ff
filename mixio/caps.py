"""Caps: what becomes of a mixture when a domain has been drawn as often as it may be.

The draw at which that happens is worked out ahead, from the tree and the window that it falls in, so a mixture with
caps is a mixture as any other: open at any place, with no counter that is kept while it is drawn from. Redistributing
is one more segment from that draw on, in which the domain has no share and the others have theirs in proportion.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from mixio.allocation import fingerprint
from mixio.mixture import Mixture
from mixio.schedule import Schedule, Shares, normalised
from mixio.segment import Segment
from mixio.segments import MARKED
from mixio.taken import Before, Taken, plain


def capped(mixture: Mixture, limits: Mapping[str, int], *, redistribute: bool) -> Mixture:
    """The mixture in which a domain is drawn at most as often as `limits` says.

    Where the others take over what a domain no longer gets, the mixture ends when none is left; else it ends with the
    first domain that reaches its limit. Draws that `mixture.before` counts are counted.
    """
    domains = mixture.domains
    before = [Taken.of(mixture.before.get(domain, 0), domain) for domain in domains]
    plan = _Plan(mixture, {leaf: limits[domain] for leaf, domain in enumerate(domains) if domain in limits}, before)
    ends = [*(start for start, _ in mixture.schedule[1:]), mixture.end]
    for (first, shares), end in zip(mixture.schedule, ends, strict=True):
        start: int | None = first
        while start is not None and (end is None or start < end):
            left = _without(shares, plan.spent)
            if left is None:
                return plan.mixture(start)
            reached = plan.extend(start, left, end)
            if reached is not None and not redistribute:
                return plan.mixture(reached)
            start = reached
    return plan.mixture(mixture.end)


@dataclass
class _Plan:
    """The segments that are settled, what they have taken, and the domains that are spent.

    `limits` are by place in the mixture's domains, `taken` is in their order. `last` are the last shares before they
    were normalised, `marks` are those of `mixio.segments`.
    """

    given: Mixture
    limits: Mapping[int, int]
    taken: list[Taken]
    parts: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    last: Shares | None = None
    marks: dict[int, Before] = field(default_factory=dict)
    spent: set[str] = field(default_factory=set)

    def extend(self, start: int, shares: Shares, end: int | None) -> int | None:
        """One segment more, up to the draw at which a domain is spent, which is returned, or else to `end`."""
        given, exact = self.given, normalised(shares)
        its = [exact.get(domain, 0.0) for domain in given.domains]
        segment = Segment(start, its, self.taken, seed=given.seed, window=given.window)
        found = segment.first_after(self.limits)
        if found is not None and end is not None and found.draw >= end:
            found = None
        stop = end if found is None else found.draw
        if stop != start:
            if len(self.parts) % MARKED == 0:
                self.marks[len(self.parts)] = plain(given.domains, self.taken)
            self.parts.append((start, exact))
            self.last = shares
        if found is not None:
            self.spent.add(given.domains[found.leaf])
            self.taken = segment.counted(found.counts)
        elif end is not None:
            self.taken = segment.ended(end)
        return None if found is None else found.draw

    def mixture(self, end: int | None) -> Mixture:
        """All of it; a mixture of which nothing is left has the shares that were given."""
        given = self.given
        schedule = Schedule(self.parts or given.schedule[:1])
        mixture = Mixture(schedule, seed=given.seed, window=given.window, before=given.before, end=end)
        mixture.allocation = fingerprint({"shares": self.last or given.schedule[0][1]})
        mixture.marks = self.marks
        return mixture


def _without(shares: Shares, spent: set[str]) -> Shares | None:
    """The shares of the domains that are left, in proportion; None if none has any."""
    left = {domain: 0.0 if domain in spent else share for domain, share in shares.items()}
    total = math.fsum(left.values())
    return {domain: share / total for domain, share in left.items()} if total else None

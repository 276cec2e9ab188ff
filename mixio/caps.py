"""Caps: what becomes of a mixture when a domain has been drawn as often as it may be.

The draw at which that happens is worked out ahead, from the tree and the window that it falls in, so a mixture with
caps is a mixture as any other: open at any place, with no counter that is kept while it is drawn from. Redistributing
is one more segment from that draw on, in which the domain has no share and the others have theirs in proportion.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from mixio.mixture import Before, Mixture, Shares


def capped(mixture: Mixture, limits: Mapping[str, int], *, redistribute: bool) -> Mixture:
    """The mixture in which a domain is drawn at most as often as `limits` says.

    Where the others take over what a domain no longer gets, the mixture ends when none is left; else it ends with the
    first domain that reaches its limit. Draws that `mixture.before` counts are counted.
    """
    plan = _Plan(mixture, mixture.before)
    ends = [*(start for start, _ in mixture.schedule[1:]), mixture.end]
    for (first, shares), end in zip(mixture.schedule, ends, strict=True):
        start: int | None = first
        while start is not None and (end is None or start < end):
            left = _without(shares, plan.spent)
            if left is None:
                return plan.mixture(start)
            reached = plan.extend(start, left, limits, end)
            if reached is not None and not redistribute:
                return plan.mixture(reached)
            start = reached
    return plan.mixture(mixture.end)


@dataclass
class _Plan:
    """The segments that are settled, what they have taken, and the domains that are spent."""

    given: Mixture
    before: Before
    schedule: list[tuple[int, Shares]] = field(default_factory=list)
    spent: set[str] = field(default_factory=set)

    def extend(self, start: int, shares: Shares, limits: Mapping[str, int], end: int | None) -> int | None:
        """One segment more, up to the draw at which a domain is spent, which is returned, or else to `end`."""
        left = {domain: limit for domain, limit in limits.items() if shares.get(domain)}
        found = self._segment(shares).first_after(left)
        reached = None
        if found is not None and (end is None or found[0] < end):
            reached, domain = found
            self.spent.add(domain)
        stop = end if reached is None else reached
        if stop != start:
            self.schedule.append((start, shares))
        if stop is not None:
            self.before = self._segment(shares, stop).taken(stop)
        return reached

    def mixture(self, end: int | None) -> Mixture:
        """All of it; a mixture of which nothing is left has the shares that were given."""
        given = self.given
        schedule = self.schedule or [given.schedule[0]]
        return Mixture(schedule, seed=given.seed, window=given.window, before=given.before, end=end)

    def _segment(self, shares: Shares, end: int | None = None) -> Mixture:
        return Mixture(shares, seed=self.given.seed, window=self.given.window, before=self.before, end=end)


def _without(shares: Shares, spent: set[str]) -> Shares | None:
    """The shares of the domains that are left, in proportion; None if none has any."""
    left = {domain: 0.0 if domain in spent else share for domain, share in shares.items()}
    total = math.fsum(left.values())
    return {domain: share / total for domain, share in left.items()} if total else None

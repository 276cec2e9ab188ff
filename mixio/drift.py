"""How far a mixture may be from its shares, and what is wrong with a run that is not as planned.

Lemma. After any n draws, at the end of a window or within one, a domain of share w has been drawn n*w times to within
B + W*w*(1 - w), where W is the window's length and B = ceil(log2 K)/2 the bound at its end (see `mixio.mixture`).
Proof. Let d and e be the deviations at the two ends of the window around n; it holds c = W*w + e - d draws of the
domain. Of its first r draws at most min(r, c) are among them, so the deviation at n is at most d + c - c*w, whatever r.
That is d*w + e*(1 - w) + W*w*(1 - w), and both d and e are at most B. The negative is the same for the draws of all
other domains.
"""

from collections.abc import Mapping

from mixio.consumed import Consumed
from mixio.mixture import Mixture

_NAMED = 5
"""Domains that a message names."""


def bounds(mixture: Mixture) -> dict[str, float]:
    """By how many draws each domain may be off n times its share, whatever n is; every segment adds its own."""
    allowed = dict.fromkeys(mixture.domains, 0.0)
    for _, shares in mixture.schedule:
        drawn = {domain: share for domain, share in shares.items() if share}
        at_ends = (len(drawn) - 1).bit_length() / 2
        for domain, share in drawn.items():
            allowed[domain] += at_ends + mixture.window * share * (1 - share)
    return allowed


def intended(mixture: Mixture, n: int, first: int = 0) -> Mapping[str, float]:
    """The share of each domain in the draws from `first` up to n.

    Where shares change, or other mixtures drew before, as it is planned.
    """
    if len(mixture.schedule) == 1 and not mixture.start:
        return mixture.shares
    first = first if first >= mixture.start else 0
    n = max(n, mixture.start) if mixture.end is None else min(max(n, mixture.start), mixture.end)
    before = mixture.counts(first) if first else {}
    return {domain: (count - before.get(domain, 0)) / max(n - first, 1) for domain, count in mixture.counts(n).items()}


def stretch(seen: Consumed, draws: int) -> tuple[int, int]:
    """From which draw to which one a ledger reaches that counted so many, of which `seen` had their number.

    Exact where draws follow each other. Those of one rank of several are taken for an even part of a run's first ones.
    """
    if row := seen.as_row():
        return row[0], row[0] + row[1]
    return 0, max(draws, 2 * seen.total // seen.count + 1 if seen.count > 0 else 0)


def named_differences(realised: Mapping[str, int], planned: Mapping[str, int]) -> str:
    """The domains whose draws are not as many as planned, those farthest off first; empty if there is none."""
    off = {domain: realised.get(domain, 0) - planned.get(domain, 0) for domain in {*realised, *planned}}
    worst = sorted((domain for domain in off if off[domain]), key=lambda domain: (-abs(off[domain]), domain))
    parts = [
        f"{domain!r} {realised.get(domain, 0)} draws of {planned.get(domain, 0)} planned" for domain in worst[:_NAMED]
    ]
    return ", ".join(parts) + (f" and {len(worst) - _NAMED} more domains" if len(worst) > _NAMED else "")


def likely_cause(seen: Consumed, planned: Consumed) -> str:
    """Why other draws were consumed than planned, as far as the numbers tell."""
    missing, surplus = planned - seen, seen - planned
    if row := missing.as_row():
        return f"{_draws(row)} never counted: a loader that drops a batch, or a step without observe"
    if row := surplus.as_row():
        return f"{_draws(row)} counted once too often: a loader that repeats a batch, or a plan that ends before"
    if missing.count > 0:
        return f"{_part(missing, planned)} never counted: a rank that is missing, or a loader that drops batches"
    if surplus.count > 0:
        return f"{_part(surplus, planned)} one too many times: a rank counted twice, or a loader that repeats batches"
    if surplus != Consumed():
        return "as many draws as planned, but others: another sampler, or a loader that drops some and repeats others"
    return "the draws are the planned ones: the batches come from another mixture than the ledger's"


def _draws(row: tuple[int, int]) -> str:
    first, count = row
    return f"draw {first} was" if count == 1 else f"draws {first} to {first + count - 1} were"


def _part(some: Consumed, planned: Consumed) -> str:
    """How many draws, and if they are a whole part, which: that of one rank is one."""
    whole, rest = divmod(planned.count, some.count)
    return f"{some.count} draws" + (f", 1/{whole} of the plan's," if whole > 1 and not rest else "") + " were"

"""How far a sequence of domains is from its shares: pure functions of what was delivered."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Integers = NDArray[np.integer]


def window_deviations(domains: Integers, weights: ArrayLike, window: int = 64) -> tuple[Integers, NDArray[np.float64]]:
    """The number of draws n at each window's end, and the largest |count - n w| of any domain there.

    Draws after the last whole window do not count.
    """
    shares = np.asarray(weights, np.float64)
    windows = len(domains) // window
    whole = np.asarray(domains[: windows * window], np.int64)
    cells = np.arange(len(whole)) // window * len(shares) + whole
    counts = np.bincount(cells, minlength=windows * len(shares)).reshape(windows, len(shares)).cumsum(axis=0)
    ends = window * np.arange(1, windows + 1)
    return ends, np.abs(counts - ends[:, None] * shares).max(axis=1)


def guaranteed(domains: int) -> float:
    """The bound of nested floors at window ends: half a draw for each level of the tree."""
    return (domains - 1).bit_length() / 2


def longest_gap(domains: Integers, domain: int) -> int:
    """Draws from one of a domain to its next; the waits before the first and after the last count too."""
    places = np.flatnonzero(np.asarray(domains) == domain)
    return int(np.diff(places, prepend=-1, append=len(domains)).max())


def standard_errors(domains: Integers, weights: ArrayLike, least: float = 0.0) -> float:
    """The largest |count - n w| of any rank and domain, in units of sqrt(n w (1 - w)).

    `domains` is (ranks, n). Domains of which a rank expects fewer than `least` draws are left out: so few are far from
    normally distributed.
    """
    shares, n = np.asarray(weights, np.float64), domains.shape[1]
    counts = np.array([np.bincount(rank, minlength=len(shares)) for rank in domains])
    errors = np.abs(counts - n * shares) / np.sqrt(n * shares * (1 - shares))
    return float(errors[:, n * shares >= least].max())

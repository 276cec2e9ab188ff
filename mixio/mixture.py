"""Which domain is draw g, and the how-manyth of that domain: a pure function of integers.

The K domains of positive share are the leaves, in order of name, of a balanced binary tree. A node whose
left half has the share a of what arrives there sends floor(m*a + 1/2) of its first m arrivals to the left.
Arrival m goes left exactly when that number steps between m and m + 1, and the number is its number there.
So one walk from the root to a leaf answers both questions, with no state and no random generator.

Nested floors alone are periodic, and a stride of ranks could see one domain only. So g first changes
places inside its window of draws, by a bijection keyed with the seed and the window's number.

Theorem. After any whole number of windows, n draws in all, each domain of share w was drawn n*w times to
within ceil(log2 K)/2; for K <= 64 that is less than 3, however large n.
Proof. A window is permuted within itself, so n draws are the tree's first n arrivals. Let e be the
distance of a node's arrivals m from n times its share; e = 0 at the root. Its left child, of share a, gets
m*a + d with |d| <= 1/2, which is within a*e + 1/2 of its due; its right child gets m*(1-a) - d, within
(1-a)*e + 1/2. Each level adds at most 1/2, and there are ceil(log2 K). Below the first level a whole 1/2 is
never added: either a < 1, or a = 1 and d = 0. So from two levels on the bound is not reached.

Inside a window a domain may stray further, by what that window holds of it. Shares are held to 62 binary
places: at n = 10^12 that moves n*w by less than 10^-6.

    >>> mixture = Mixture({"abdomen-ct": 0.6, "brain-t1": 0.4})
    >>> mixture.counts(640)
    {'abdomen-ct': 384, 'brain-t1': 256}
"""

import operator
import os
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import TypeAlias

from mixio.allocation import Allocation, check_shares, fingerprint
from mixio.draws import key_of, permute
from mixio.errors import InvalidArgument

_BITS = 62
_HALF = 1 << (_BITS - 1)

# A leaf is a domain; a node is the left share in units of 2^-62, then its two halves.
_Node: TypeAlias = "str | tuple[int, _Node, _Node]"


@dataclass(frozen=True, repr=False)
class Mixture:
    """An endless sequence of draws from domains in given shares, open at any place.

    `shares` sum to 1 within 1e-6 and are then normalised; a domain of share 0 is never drawn. `seed` moves
    the order inside each window of `window` draws, never its composition. A window of 1 is not shuffled;
    one of at least the global batch lets no rank see a pattern.
    """

    shares: Mapping[str, float]
    _: KW_ONLY
    seed: int = 0
    window: int = 64
    _tree: _Node = field(init=False, compare=False)

    def __post_init__(self) -> None:
        for option in ("seed", "window"):
            object.__setattr__(self, option, operator.index(getattr(self, option)))
        if self.window < 1:
            raise InvalidArgument(f"window must be at least 1 draw, got {self.window}; 1 means no shuffle")
        exact = {domain: Fraction(share) for domain, share in check_shares(self.shares).items()}
        total = sum(exact.values())
        drawn = [(domain, share) for domain, share in exact.items() if share]
        object.__setattr__(self, "shares", {domain: float(share / total) for domain, share in exact.items()})
        object.__setattr__(self, "_tree", _tree(drawn))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, seed: int = 0, window: int = 64) -> "Mixture":
        """The mixture of an allocation.json."""
        return cls(Allocation.load(path).shares, seed=seed, window=window)

    @property
    def domains(self) -> tuple[str, ...]:
        """All domains by name, those of share 0 included."""
        return tuple(self.shares)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex characters; two mixtures of one fingerprint draw the same sequence."""
        return fingerprint({"shares": self.shares, "seed": self.seed, "window": self.window})

    def locate(self, g: int) -> tuple[str, int]:
        """The domain of draw g and the number of earlier draws from it; O(log K)."""
        g = _count(g, "a draw")
        window, place = divmod(g, self.window)
        m = g - place + permute(place, self.window, key_of(self.seed, "window", "", window))
        node = self._tree
        while not isinstance(node, str):
            share, left, right = node
            before = m * share + _HALF
            goes_left = (before + share) >> _BITS > before >> _BITS
            node, m = (left, before >> _BITS) if goes_left else (right, m - (before >> _BITS))
        return node, m

    def counts(self, n: int) -> dict[str, int]:
        """How often each domain is among the first n draws; O(K) plus a walk through the last window."""
        n = _count(n, "a number of draws")
        whole = n - n % self.window
        counts = dict.fromkeys(self.shares, 0)
        halves = [(self._tree, whole)]
        while halves:
            node, m = halves.pop()
            if isinstance(node, str):
                counts[node] = m
            else:
                share, left, right = node
                to_left = (m * share + _HALF) >> _BITS
                halves += [(left, to_left), (right, m - to_left)]
        for g in range(whole, n):
            counts[self.locate(g)[0]] += 1
        return counts

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        shares = ", ".join(f"{domain}: {share:.3g}" for domain, share in self.shares.items() if share)
        return f"Mixture({shares}; seed={self.seed}, window={self.window})"


def _tree(leaves: Sequence[tuple[str, Fraction]]) -> _Node:
    """Halve the leaves until one is left; depth ceil(log2 K)."""
    if len(leaves) == 1:
        return leaves[0][0]
    middle = len(leaves) // 2
    left, right = leaves[:middle], leaves[middle:]
    left_share = sum(share for _, share in left) / sum(share for _, share in leaves)
    return round(left_share * 2**_BITS), _tree(left), _tree(right)


def _count(value: int, what: str) -> int:
    """As a Python integer, which does not overflow as NumPy's do."""
    value = operator.index(value)
    if value < 0:
        raise InvalidArgument(f"{what} must be at least 0, got {value}")
    return value

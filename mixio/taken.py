"""Which draws of a domain have been made: all below a number, and a few after it.

Draws leave a window in shuffled order, so where a mixture changes inside a window a domain's numbers have holes: 13 may
have been drawn and 11 not. What comes after the change takes the free numbers in their order, so that none is skipped
and none drawn twice.

    >>> taken = Taken(10, 0b1010)  # 0 to 9, 11 and 13
    >>> [taken.number(k) for k in range(4)]
    [10, 12, 14, 15]
    >>> taken.plus(2, [3])
    Taken(whole=14, mask=2)
"""

import operator
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from mixio.errors import InvalidArgument, brief

Plain = int | Sequence[int | str]
Before = Mapping[str, Plain]
"""What has been taken of each domain."""


@dataclass(frozen=True)
class Taken:
    """Numbers below `whole`, and `whole + i` for each bit i of `mask`; bit 0 is never set."""

    whole: int = 0
    mask: int = 0

    @classmethod
    def of(cls, plain: Plain, domain: str) -> "Taken":
        """From plain values."""
        try:
            first, bits = (plain, "0") if not isinstance(plain, Sequence) or isinstance(plain, str) else plain
            whole, mask = operator.index(first), int(bits, 16)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            whole = mask = -1
        if min(whole, mask) < 0 or mask & 1:
            raise InvalidArgument(
                f"what is drawn of {domain!r} must be as `Mixture.taken` gives it, got {brief(plain)}"
            )
        return cls(whole, mask)

    @property
    def plain(self) -> Plain:
        """The same in plain values: how many, or [`whole`, `mask` in hexadecimal]."""
        return [self.whole, f"{self.mask:x}"] if self.mask else self.whole

    @property
    def count(self) -> int:
        """How many numbers are taken."""
        return self.whole + self.mask.bit_count()

    @cached_property
    def holes(self) -> tuple[int, ...]:
        """The free numbers below the last that is taken."""
        return tuple(self.whole + i for i in range(self.mask.bit_length()) if not self.mask >> i & 1)

    def number(self, k: int) -> int:
        """The k-th free number."""
        return self.holes[k] if k < len(self.holes) else self.count + k

    def plus(self, first: int, others: Collection[int] = ()) -> "Taken":
        """What is taken after the first so many free numbers are, and of the free numbers the ones in these places."""
        if not self.mask and not others:  # as nearly always
            return Taken(self.whole + first)
        whole = self.number(first)
        mask = self.mask >> (whole - self.whole)
        for k in others:
            mask |= 1 << (self.number(k) - whole)
        filled = (~mask & (mask + 1)).bit_length() - 1  # ones at the end of the mask
        return Taken(whole + filled, mask >> filled)


def plain(domains: Sequence[str], taken: Sequence[Taken]) -> dict[str, Plain]:
    """What has been taken of each domain, in plain values."""
    return {domain: one.plain for domain, one in zip(domains, taken, strict=True)}


def all_taken(before: Mapping[str, Plain]) -> dict[str, Taken]:
    """What is taken of each domain, by name in order, from plain values; `InvalidArgument` for what is no such."""
    if not isinstance(before, Mapping) or not all(isinstance(domain, str) for domain in before):
        raise InvalidArgument(
            f"what is drawn before is a dictionary by domain, as `Mixture.taken` gives it, got {brief(before)}"
        )
    return {domain: Taken.of(before[domain], domain) for domain in sorted(before)}

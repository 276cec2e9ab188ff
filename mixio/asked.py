"""From the mixture that was asked for to the draws that there are: shares in patches, and caps on repeats."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from mixio.allocation import fingerprint
from mixio.caps import capped
from mixio.errors import InvalidArgument, MixtureEnded, as_float
from mixio.mixture import Mixture
from mixio.pools import Pools, refuse_unknown, whole
from mixio.taken import Before
from mixio.units import in_patches

OnCap = Literal["raise", "stop", "redistribute"]
MaxRepeats = float | Mapping[str, float] | None


@dataclass(frozen=True)
class Asked:
    """What is asked for, and what decides how much of it there is.

    `amounts` is how much of what the shares are of a patch of each domain brings, `limits` the number of draws that a
    domain may have.
    """

    given: Mixture
    amounts: Mapping[str, float]
    limits: Mapping[str, int]
    on_cap: OnCap

    def mixture(self, before: Before | None = None) -> Mixture:
        """The mixture that is drawn, of patches; after what others have drawn of a run."""
        mixture = self._uncapped(before)
        return capped(mixture, self.limits, redistribute=self.on_cap == "redistribute") if self.limits else mixture

    @property
    def fingerprint(self) -> str | None:
        """16 hex characters over units and caps; None where there are none."""
        if not self.limits and not self._uneven:
            return None
        most = max(self.amounts.values(), default=1.0)
        amounts = {domain: amount / most for domain, amount in self.amounts.items()} if self._uneven else None
        redistribute = self.on_cap == "redistribute"
        return fingerprint({"amounts": amounts, "limits": self.limits, "redistribute": redistribute})

    @property
    def _uneven(self) -> bool:
        return len(set(self.amounts.values())) > 1

    def available(self, mixture: Mixture, num_samples: int) -> int:
        """How many of so many draws there are; `MixtureEnded` where fewer are not what was asked for."""
        if mixture.end is None or num_samples <= mixture.end:
            return num_samples
        if self.on_cap == "stop":
            return mixture.end
        uncapped = self._uncapped(mixture.before)
        if mixture.end == uncapped.end:
            raise MixtureEnded(
                f"{num_samples} draws are asked for, but the mixture ends after {mixture.end}; ask for fewer, or give "
                "it a later end"
            )
        first, _ = uncapped.locate(mixture.end)
        spent = "every domain" if self.on_cap == "redistribute" else repr(first)
        raise MixtureEnded(
            f"{num_samples} draws are asked for, but after {mixture.end} of them max_repeats is reached for {spent}; "
            'ask for fewer, raise max_repeats, or let on_cap be "stop" or "redistribute"'
        )

    def _uncapped(self, before: Before | None) -> Mixture:
        mixture = self.given.after(before) if before else self.given
        return in_patches(mixture, self.amounts) if self._uneven else mixture


def checked_on_cap(on_cap: str) -> OnCap:
    """The option, or `InvalidArgument`."""
    if on_cap not in ("raise", "stop", "redistribute"):
        raise InvalidArgument(f'on_cap must be "raise", "stop" or "redistribute", got {on_cap!r}')
    return on_cap  # type: ignore[return-value]


def limits_of(max_repeats: MaxRepeats, pools: Pools, domains: Sequence[str]) -> dict[str, int]:
    """The number of draws that each domain may have: so many passes over its volumes; `domains` are all there are."""
    if max_repeats is None:
        return {}
    passes: Mapping[str, Any] = (
        max_repeats if isinstance(max_repeats, Mapping) else dict.fromkeys(pools.members, max_repeats)
    )
    refuse_unknown("max_repeats", passes, domains)
    limits = {}
    for domain, number in passes.items():
        if not as_float(number) > 0:
            raise InvalidArgument(f"max_repeats of {domain!r} must be a number of passes above 0, got {number!r}")
        if domain in pools.members and as_float(number) < math.inf:
            limits[domain] = int(Fraction(str(number)) * len(pools.members[domain]) * pools.patches[domain])
    return limits


def patches_of(
    patches_per_volume: int | Mapping[str, int], drawn: Mapping[str, Any], domains: Sequence[str]
) -> dict[str, int]:
    """How many patches of each volume a pass reads, of each domain that is drawn; `domains` are all there are."""
    if not isinstance(patches_per_volume, Mapping):
        patches_per_volume = dict.fromkeys(drawn, patches_per_volume)
    refuse_unknown("patches_per_volume", patches_per_volume, domains)
    numbers = {domain: whole("patches_per_volume", domain, n) for domain, n in patches_per_volume.items()}
    return {domain: numbers.get(domain, 1) for domain in drawn}

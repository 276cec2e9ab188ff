"""Which volumes each domain draws from: those of a split, or a part of them in a keyed order."""

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import islice
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from mixio.draws import key_of, permute, permute_many, volume_of
from mixio.errors import AllocationError, InvalidArgument, brief, expect, listed

_SPELLED_TOGETHER = 65_536


class Volumes(Protocol):
    """A store, as far as its names go."""

    @property
    def domains(self) -> tuple[str, ...]: ...
    def volumes(self, domain: str | None = None, split: str | None = None) -> Sequence[str]: ...


class Shapes(Protocol):
    """A store, as far as the shapes of its volumes go."""

    def shapes(self, names: Sequence[str]) -> NDArray[np.int64]: ...


class Chosen(Sequence[Any]):
    """The first `count` of some members in the order of a key; more of them hold these. Nothing is listed."""

    def __init__(self, members: Sequence[Any], count: int, key: int) -> None:
        self.members, self._count, self._key = members, count, key

    def __repr__(self) -> str:
        return f"Chosen({self._count}, {self._key})"

    def __len__(self) -> int:
        return self._count

    @property
    def places(self) -> NDArray[np.int64]:
        """Where they are among the members."""
        return permute_many(len(self.members), np.array([self._key], np.uint64))[0, : self._count]

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        return self.members[permute(range(self._count)[index], len(self.members), self._key)]


@dataclass(frozen=True)
class Pools:
    """What each domain draws from: names of a store's volumes, or indices into the data set of that name.

    `patches` of each volume are read in a pass, within `window` of the domain's draws.
    """

    members: Mapping[str, Sequence[Any]]
    seed: int
    patches: Mapping[str, int]
    window: int

    def volume(self, domain: str, n: int, *, later: int = 0) -> Any:
        """The volume of the n-th draw of a domain, or the one that comes so many places later in its pass."""
        members, patches = self.members[domain], self.patches[domain]
        place = volume_of(self.seed, domain, n, len(members), patches=patches, window=self.window, later=later)
        return members[place]

    def shapes(self, store: Shapes, domain: str) -> NDArray[np.int64]:
        """The shapes of the volumes of a domain (V, 3), as the store has them."""
        members = self.members[domain]
        return store.shapes(members.members)[members.places] if isinstance(members, Chosen) else store.shapes(members)

    def __len__(self) -> int:
        return sum(map(len, self.members.values()))

    @cached_property
    def digest(self) -> str:
        """16 hex characters over all members of all domains, in their order."""
        digest = blake2b(digest_size=8)
        for piece in spelled(self.members):
            digest.update(piece.encode())
        return digest.hexdigest()


def domains_of(source: Volumes | Mapping[str, Any]) -> tuple[str, ...]:
    """All domains that there are."""
    if not isinstance(source, Mapping):
        return source.domains
    for domain in source:
        expect(domain, str, "a dictionary of data sets has the names of domains as its keys")
    return tuple(sorted(source))


def members_of(
    source: Volumes | Mapping[str, Any],
    drawn: Mapping[str, float],
    split: str,
    *,
    subsets: Mapping[str, int],
    seed: int,
) -> dict[str, Sequence[Any]]:
    """The volumes of a split, of each domain that is drawn from; `drawn` has their shares.

    `subsets` has how many volumes a domain draws from, where not all. Raises `AllocationError` where a domain has none,
    `InvalidArgument` for subsets that cannot be.
    """
    domains = domains_of(source)
    if not isinstance(subsets, Mapping):
        raise InvalidArgument(f"subsets maps domains to numbers of volumes, got {subsets!r}")
    refuse_unknown("subsets", subsets, domains)
    found: dict[str, Sequence[Any]] = {}
    for domain, share in drawn.items():
        if domain not in domains:
            raise AllocationError(
                f"{domain!r} has share {share:.6g} but the data has only {listed(domains)}; "
                "add volumes of it, or give it share 0"
            )
        members: Sequence[Any]
        if isinstance(source, Mapping):
            members, nothing = range(_length(source[domain], domain)), "its data set is empty"
        else:
            members, nothing = source.volumes(domain, split), f"no volume in split {split!r}"
        if not members:
            raise AllocationError(
                f"{domain!r} has share {share:.6g} but {nothing}; add volumes of it, or give it share 0"
            )
        found[domain] = _chosen(domain, members, subsets[domain], seed) if domain in subsets else members
    return found


def _length(member: Any, domain: str) -> int:
    if isinstance(member, str | bytes | Set) or (isinstance(member, Mapping) and 0 not in member):
        raise InvalidArgument(
            f"the data set of {domain!r} is map-style, with items by number from 0 on, got the {type(member).__name__} "
            f"{brief(member)}; give a list or a data set that is read already"
        )
    try:
        return len(member)
    except TypeError as error:
        raise InvalidArgument(
            f"the data set of {domain!r} has no length; a domain is map-style, with len() and items by number, so that "
            "draws can be planned; a stream has none"
        ) from error


def whole(option: str, domain: str, value: Any) -> int:
    """A number from 1 on, or `InvalidArgument` that names the option and the domain."""
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise InvalidArgument(f"{option} of {domain!r} must be a whole number from 1, got {value!r}")
    return number


def refuse_unknown(option: str, named: Iterable[str], domains: Sequence[str]) -> None:
    """`InvalidArgument` where an option names a domain that the data do not have."""
    for domain in named:
        if domain not in domains:
            raise InvalidArgument(
                f"{option} names {domain!r}, which is none of {listed(domains)}; a misspelled domain?"
            )


def _chosen(domain: str, members: Sequence[Any], count: int, seed: int) -> Chosen:
    count = whole("subsets", domain, count)
    if count > len(members):
        raise InvalidArgument(f"subsets asks for {count} volumes of {domain!r}, which has {len(members)}")
    return Chosen(members, count, key_of(seed, "subset", domain, 0))


def spelled(members: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    """`repr(sorted(members.items()))`, every sequence but a range as a list, bit by bit: they may be millions."""
    yield "["
    for number, (domain, its) in enumerate(sorted(members.items())):
        yield f"{', ' if number else ''}({domain!r}, "
        if isinstance(its, range):
            yield repr(its)
        elif isinstance(its, Chosen):  # naming them one by one takes a permutation each
            yield f"{its} of "
            yield from spelled({domain: its.members})
        else:
            each, comma = map(repr, its), ""
            yield "["
            while some := ", ".join(islice(each, _SPELLED_TOGETHER)):
                yield comma + some
                comma = ", "
            yield "]"
        yield ")"
    yield "]"

"""From (seed, domain, draw number) to a volume, an augmentation seed and the key of a corner; pure functions.

Every random choice is a hash of the seed, of what it is for, and of a counter. So a draw depends on
nothing that was read before it, and any process can compute any draw. Orders are keyed bijections of
[0, size): by hash where they are short, else a generalised Feistel network over Z_a x Z_b (Black and Rogaway,
"Ciphers with Arbitrary Finite Domains", CT-RSA 2002) with cycle walking, so that no long one is ever stored. Well
mixed, not secret.

    >>> sorted(permute(index, 5, 42) for index in range(5))
    [0, 1, 2, 3, 4]
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from math import isqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixio.volume import Shape

GOLDEN = 0x9E3779B97F4A7C15
"""2^64 over the golden ratio: steps of it spread evenly."""
LISTED = 256
"""Orders of so many or fewer are listed and kept; longer ones are worked out place by place."""
_SHORT = 32  # sorting so few takes less time than calling numpy
_ROUNDS = 6  # with 4, neighbours still come next to each other by 1 % too often; with 2 by 80 %
_MASK = 2**64 - 1

Flip = tuple[bool, bool, bool]
NO_FLIP: Flip = (False, False, False)


class Draw(NamedTuple):
    """What draw `g` of a run is: the `n`-th draw of `domain`, a patch of `volume` that begins at `corner`.

    `volume` is a name in the store, or an index into the domain's own data set; that has no `corner`. `seed` is for
    augmentations, `flip` says along which axes the patch is flipped.
    """

    g: int
    domain: str
    n: int
    volume: Any
    corner: Shape | None
    seed: int
    flip: Flip = NO_FLIP


def mix64(value: int) -> int:
    """A bijection of the 64-bit integers in which every input bit reaches every output bit.

    The output function of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    """
    value = (value + GOLDEN) & _MASK
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _MASK
    return value ^ (value >> 31)


def key_of(seed: int, purpose: str, domain: str, counter: int) -> int:
    """64 bits for one choice. Different purposes, domains or counters give independent streams."""
    text = f"{seed}/{purpose}/{counter}/{domain}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


kept_key_of = lru_cache(4096)(key_of)
"""The same for choices that many draws share."""


def permute(index: int, size: int, key: int) -> int:
    """Where `index` goes in the order of [0, size) that `key` names.

    Up to `LISTED` places all are in an order by hash, every order equally likely, which is kept for a while. Above, a
    network permutes [0, a*b) with a*b barely above `size`, in O(1) time and memory; an image outside [0, size) is sent
    through again, which ends inside because the walk is along a cycle that began inside.
    """
    if size <= LISTED:
        return _order(size, key)[index]
    a = isqrt(size - 1) + 1
    b = -(-size // a)
    while True:
        right, left = divmod(index, a)
        for offset in range(key, key + _ROUNDS * 2 * GOLDEN, 2 * GOLDEN):
            left = (left + mix64(offset + right)) % a
            right = (right + mix64(offset + GOLDEN + left)) % b
        index = right * a + left
        if index < size:
            return index


@lru_cache(256)
def _order(size: int, key: int) -> list[int]:
    if size <= _SHORT:
        return sorted(range(size), key=[mix64(key + index * GOLDEN) for index in range(size)].__getitem__)
    order: list[int] = permute_many(size, np.array([key], np.uint64))[0].tolist()
    return order


def permute_many(size: int, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """All of [0, size) in the order of each key, (len(keys), size), as `permute` gives them."""
    index = np.arange(size, dtype=np.uint64)
    if size <= LISTED:
        return _mixed(keys[:, None] + index * np.uint64(GOLDEN)).argsort(axis=1, kind="stable")
    a = isqrt(size - 1) + 1
    b = -(-size // a)
    index = np.broadcast_to(index, (len(keys), size)).copy()
    key = np.broadcast_to(keys[:, None], index.shape)
    index = _fed(index, key, a, b)
    while (outside := index >= size).any():
        index[outside] = _fed(index[outside], key[outside], a, b)
    return index.astype(np.int64)


def _fed(index: NDArray[np.uint64], key: NDArray[np.uint64], a: int, b: int) -> NDArray[np.uint64]:
    """Once through the network; sums of 64 bits wrap around, which `mix64` does as well."""
    golden, rows = np.uint64(GOLDEN), np.uint64(a)
    right, left = index // rows, _modulo(index, a)
    for number in range(_ROUNDS):
        offset = key + np.uint64(2 * number * GOLDEN & _MASK)
        left = _modulo(left + _modulo(_mixed(offset + right), a), a)
        right = _modulo(right + _modulo(_mixed(offset + golden + left), b), b)
    return right * rows + left


def _modulo(value: NDArray[np.uint64], number: int) -> NDArray[np.uint64]:
    return value & np.uint64(number - 1) if number & (number - 1) == 0 else value % np.uint64(number)


def _mixed(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = value + np.uint64(GOLDEN)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def volume_of(
    seed: int, domain: str, n: int, volumes: int, *, patches: int = 1, window: int = 64, later: int = 0
) -> int:
    """Which of a domain's volumes its n-th draw reads: passes over all, each in an order of its own.

    A pass reads `patches` of each volume. Those of a volume lie within `window` of the domain's draws, mixed with those
    of the volumes that are its neighbours in the pass. With `later`, the volume that comes so many places later in that
    pass, round from its end to its beginning.
    """
    number, rest = divmod(n, volumes * patches)
    position = rest if patches == 1 else _visit(seed, domain, number, rest, volumes, patches, window)
    return permute((position + later) % volumes, volumes, kept_key_of(seed, "volume", domain, number))


def _visit(seed: int, domain: str, number: int, rest: int, volumes: int, patches: int, window: int) -> int:
    """The place in its pass of the volume that the pass's `rest`-th draw reads."""
    group = max(1, window // patches)  # volumes whose patches are mixed with each other
    block, place = divmod(rest, group * patches)
    members = min(group, volumes - block * group)
    key = kept_key_of(seed, "visit", domain, number * -(-volumes // group) + block)
    return block * group + permute(place, members * patches, key) % members


def augmentation_seed(seed: int, domain: str, n: int) -> int:
    """A seed for the n-th draw's augmentations; 32 bits, which every random generator accepts."""
    return key_of(seed, "augmentation", domain, n) >> 32


def flip_of(seed: int, domain: str, n: int, axes: Sequence[int]) -> Flip:
    """Along which of `axes` the n-th draw's patch is flipped: along each with probability 1/2."""
    if not axes:
        return NO_FLIP
    bits = key_of(seed, "flip", domain, n)
    x, y, z = (axis in axes and bool(bits >> axis & 1) for axis in range(3))
    return x, y, z

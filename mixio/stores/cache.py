"""A place elsewhere, read through a folder on this machine that keeps aligned blocks of its objects.

A block's name is a hash of the object's url, its size and tag, and the block's number, so blocks of two versions of an
object never meet: bytes are asked for with the tag they must have. Size and tag are asked for once and kept in the
folder too, for as long as the store's `manifest.json` is the same. Who wants a block that another process or thread is
bringing waits for it, half a minute at most. Writing goes straight to the place.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from hashlib import blake2b
from pathlib import Path

from mixio.errors import InvalidArgument, StoreError, whole_number
from mixio.stores.blocks import BlockFolder
from mixio.stores.names import Pieces, Write
from mixio.stores.ranges import Range
from mixio.stores.storage import Storage

BLOCK = 2**19
"""A megabyte brings a third more bytes for the first patch of a volume, a quarter makes twice as many files."""
_AT_ONCE = 32
"""Blocks that one call has claimed at a time; each claim is an open file."""
_WAIT_SECONDS, _LOOK_SECONDS = 30.0, 0.005
_KNOWN = 65_536
"""Objects whose size and tag a process remembers, at about 300 bytes each."""
_MANIFEST = "manifest.json"

Identity = tuple[int, str]


class CachedStorage:
    """`inner`, what is read of it being kept in `folder`, at most `limit_bytes` of it; safe for threads and forks."""

    def __init__(self, inner: Storage, folder: str | Path, limit_bytes: int) -> None:
        if whole_number(limit_bytes, "cache_bytes") < 1:
            raise InvalidArgument(f"a cache needs room, got cache_bytes={limit_bytes}; or leave the cache out")
        self.inner = inner
        self._blocks = BlockFolder(Path(folder).absolute(), limit_bytes)
        self._known: dict[str, Identity] = {}
        self._generation: str | None = None

    @property
    def url(self) -> str:
        """That of the place itself."""
        return self.inner.url

    def read(self, name: str) -> bytes:
        """The whole object; metadata, which is small and says what the rest is, always from the place itself."""
        if name.endswith(".json"):
            return self.inner.read(name)
        return self._through(name, None, fresh=False, tag=None)[0]

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`."""
        return self.read_ranges(name, [(offset, length)])[0]

    def read_ranges(
        self, name: str, ranges: Sequence[Range], *, fresh: bool = False, tag: str | None = None
    ) -> list[bytes]:
        """The bytes of each range, out of blocks; those that are not here are brought together."""
        return self._through(name, ranges, fresh=fresh, tag=tag)

    def _through(self, name: str, ranges: Sequence[Range] | None, *, fresh: bool, tag: str | None) -> list[bytes]:
        identity = self._identity(name, fresh=fresh)
        try:
            return self._of_version(name, identity, ranges, fresh=fresh, tag=tag)
        except StoreError:
            now = self._identity(name, fresh=True)
            if now == identity:
                raise
        return self._of_version(name, now, ranges, fresh=fresh, tag=tag)

    def _of_version(
        self, name: str, identity: Identity, ranges: Sequence[Range] | None, *, fresh: bool, tag: str | None
    ) -> list[bytes]:
        size, its = identity
        if tag not in (None, its):
            raise StoreError(f"{self.url}/{name}: the object was replaced; open the store again")
        wanted = [(0, size)] if ranges is None else ranges
        for offset, length in wanted:
            if offset + length > size:
                raise StoreError(
                    f"{self.url}/{name}: expected {length} bytes at {offset}, the object has {size}; it was cut short"
                )
        numbers = sorted({n for offset, length in wanted for n in _numbers(offset, length)})
        blocks = self._found(name, identity, numbers, fresh=fresh)
        return [_joined(blocks, offset, length) for offset, length in wanted]

    def _found(self, name: str, identity: Identity, numbers: Sequence[int], *, fresh: bool) -> dict[int, bytes]:
        """Blocks by number: those that are here, then the others."""
        keys = {number: self._key(name, str(identity), str(number)) for number in numbers}
        found = {}
        for number, key in keys.items():
            if fresh:
                self._blocks.drop(key)
            elif (data := self._blocks.get(key)) is not None and len(data) == _length(number, identity):
                found[number] = data
        missing = [number for number in numbers if number not in found]
        for start in range(0, len(missing), _AT_ONCE):
            group = missing[start : start + _AT_ONCE]
            found |= self._brought(name, identity, {number: keys[number] for number in group})
        return found

    def _brought(self, name: str, identity: Identity, keys: dict[int, str]) -> dict[int, bytes]:
        """Blocks that were not here: brought by us, or by who is already bringing them."""
        found: dict[int, bytes] = {}
        end = time.monotonic() + _WAIT_SECONDS
        while True:
            found |= self._claimed(name, identity, {n: key for n, key in keys.items() if n not in found})
            left = [number for number in keys if number not in found]
            if not left:
                return found
            if time.monotonic() > end:  # its bringer hangs
                return found | self._fetched(name, identity, left)
            time.sleep(_LOOK_SECONDS)

    def _claimed(self, name: str, identity: Identity, keys: dict[int, str]) -> dict[int, bytes]:
        """Those of the blocks that are here by now, and those that nobody else is bringing, which we bring."""
        claims: dict[int, int] = {}
        found: dict[int, bytes] = {}
        try:
            for number, key in keys.items():
                if (claim := self._blocks.claim(key)) is not None:
                    claims[number] = claim
                    if (data := self._blocks.get(key)) is not None:
                        found[number] = data
            for number, data in self._fetched(name, identity, [n for n in claims if n not in found]).items():
                found[number] = data
                self._blocks.keep(keys[number], claims[number], data)
        finally:
            for number, claim in claims.items():
                self._blocks.release(keys[number], claim)
        return found

    def _fetched(self, name: str, identity: Identity, numbers: Sequence[int]) -> dict[int, bytes]:
        if not numbers:
            return {}
        ranges = [(number * BLOCK, _length(number, identity)) for number in numbers]
        return dict(zip(numbers, self.inner.read_ranges(name, ranges, tag=identity[1]), strict=True))

    def _identity(self, name: str, *, fresh: bool) -> Identity:
        """Size and tag of an object: as this process knows them, or this machine, or, if `fresh`, as they are now."""
        if not fresh and name in self._known:
            return self._known[name]
        key = self._identity_key(name)
        told = None if fresh or key is None else self._blocks.get(key)
        if told is None:
            found = self.inner.identity(name)
            if found is None:
                raise FileNotFoundError(f"{self.url.rstrip('/')}/{name}: no such object")
            self._note(key, found)
        else:
            size, tag = json.loads(told)
            found = int(size), str(tag)
        if len(self._known) >= _KNOWN:
            self._known.clear()
        self._known[name] = found
        return found

    def _note(self, key: str | None, identity: Identity) -> None:
        if key is not None and (claim := self._blocks.claim(key)) is not None:
            self._blocks.keep(key, claim, json.dumps(identity).encode())
            self._blocks.release(key, claim)

    def _identity_key(self, name: str) -> str | None:
        """Where size and tag of an object are kept; nowhere if no manifest tells one state of a place from the next."""
        if self._generation is None:
            try:
                self._generation = blake2b(self.inner.read(_MANIFEST)).hexdigest()
            except FileNotFoundError:
                self._generation = ""
        return self._key(name, self._generation, "identity") if self._generation else None

    def _key(self, *parts: str) -> str:
        return blake2b(json.dumps([self.url, *parts]).encode(), digest_size=20).hexdigest()

    def size(self, name: str) -> int | None:
        """As it is now."""
        return self.inner.size(name)

    def tag(self, name: str) -> str | None:
        """As it is now."""
        return self.inner.tag(name)

    def identity(self, name: str) -> Identity | None:
        """As they are now."""
        return self.inner.identity(name)

    def write(self, name: str, pieces: Pieces) -> None:
        """To the place itself."""
        self.inner.write(name, pieces)
        self._known.pop(name, None)

    def batch(self) -> AbstractContextManager[Write]:
        """To the place itself."""
        self._known.clear()
        return self.inner.batch()

    def create(self, name: str, data: bytes) -> bool:
        """To the place itself."""
        return self.inner.create(name, data)

    def delete(self, *names: str) -> None:
        """From the place itself; blocks that nobody asks for any more are the first to go."""
        self.inner.delete(*names)
        for name in names:
            self._known.pop(name, None)

    def sweep(self) -> None:
        """The place itself."""
        self.inner.sweep()

    def __reduce__(self) -> tuple[type["CachedStorage"], tuple[Storage, Path, int]]:
        return CachedStorage, (self.inner, self._blocks.folder, self._blocks.limit_bytes)


def _numbers(offset: int, length: int) -> Iterator[int]:
    yield from range(offset // BLOCK, -(-(offset + length) // BLOCK) if length else offset // BLOCK)


def _length(number: int, identity: Identity) -> int:
    return min(BLOCK, identity[0] - number * BLOCK)


def _joined(blocks: dict[int, bytes], offset: int, length: int) -> bytes:
    pieces = []
    for number in _numbers(offset, length):
        start = number * BLOCK
        pieces.append(blocks[number][max(offset - start, 0) : offset + length - start])
    return b"".join(pieces)

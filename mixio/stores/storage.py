"""Where stores and sources lie: one small interface over a folder, a place in an object store, and one on the web.

A name is a relative path with "/" below the place's url. Whatever `write` returns from is whole and durable; what it
fails in leaves what was there before. Nothing here lists a place: who needs to know what is there asks for names.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from mixio.errors import InvalidArgument
from mixio.stores.local import LocalStorage
from mixio.stores.names import Pieces, Write
from mixio.stores.objects import ObjectStorage
from mixio.stores.ranges import Range
from mixio.stores.website import WebStorage

OBJECT_SCHEMES = ("s3", "gs")


class Storage(Protocol):
    """A place for named objects; picklable, and opened anew in each process.

    A missing object raises `FileNotFoundError` with its full url, whatever else goes wrong `StoreError`.
    """

    @property
    def url(self) -> str:
        """The place as it was given."""

    def read(self, name: str) -> bytes:
        """The whole object."""

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`; `StoreError` if the object ends before."""

    def read_ranges(
        self, name: str, ranges: Sequence[Range], *, fresh: bool = False, tag: str | None = None
    ) -> list[bytes]:
        """The bytes of each (offset, length), in the order asked; `StoreError` if the object ends before.

        `fresh` passes over any cache, and replaces what the cache had: for bytes that failed their checksum. With
        `tag`, `StoreError` if that is not the object's any more.
        """

    def write(self, name: str, pieces: Pieces) -> None:
        """Put the object there, or replace it: all of it or nothing, durable on return."""

    def batch(self) -> AbstractContextManager[Write]:
        """A `write` for objects that belong together, cheaper than one by one.

        They are durable when the context ends; until then each is there already or not yet, but never half of it.
        """

    def create(self, name: str, data: bytes) -> bool:
        """Put the object there only if none is; whether it was."""

    def size(self, name: str) -> int | None:
        """Bytes of the object, None if it is missing."""

    def delete(self, *names: str) -> None:
        """Take objects away, for good on return; those that are missing are passed over."""

    def sweep(self) -> None:
        """Take away what killed writers left half done; for who holds the lease, so that nobody else writes."""

    def tag(self, name: str) -> str | None:
        """A word that changes when the object does, None if it is missing."""

    def identity(self, name: str) -> tuple[int, str] | None:
        """Size and tag at one time, None if the object is missing."""


def storage_of(location: str | Path) -> Storage:
    """The place named by a path or by a url: `s3://bucket/...`, `gs://bucket/...`, or `https://...` to read from."""
    text = str(location)
    scheme, found, _ = text.partition("://")
    if isinstance(location, Path) or not found:
        return LocalStorage(text)
    if scheme in ("http", "https"):
        return WebStorage(text)
    if scheme in OBJECT_SCHEMES and urlsplit(text).netloc:
        return ObjectStorage(text)
    raise InvalidArgument(
        f"{text}: not a place for a store; give a path, s3://bucket/... or gs://bucket/..., or https://... to read"
    )

"""Where the files of a store lie: a folder here, or a bucket elsewhere."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol


class Storage(Protocol):
    """Named byte strings; names are relative, with slashes."""

    @property
    def url(self) -> str:
        """The place, as given."""
        ...

    def read(self, name: str) -> bytes: ...
    def read_range(self, name: str, offset: int, length: int) -> bytes: ...
    def write(self, name: str, pieces: bytes | Iterable[bytes]) -> None: ...
    def create(self, name: str, data: bytes) -> bool: ...
    def size(self, name: str) -> int | None: ...
    def delete(self, name: str) -> None: ...


def storage_of(location: str | Path) -> Storage:
    """The storage at a path."""
    from mixio.stores.local import LocalStorage

    return LocalStorage(location)

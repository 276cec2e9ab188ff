"""Files behind a web server as a place to read from: `https://host/folder`, by obstore.

Any server of static files will do that knows byte ranges and HEAD. Redirects are followed, from https to https only.
Nothing can be written there. Without an etag, size and time of change tell one version of a file from the next.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import urlsplit

from mixio.errors import InvalidArgument, StoreError
from mixio.stores.names import Pieces, Write
from mixio.stores.objects import ObjectStorage
from mixio.stores.ranges import Range


@dataclass(frozen=True)
class WebStorage:
    """The files below the address `url`."""

    url: str

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
            raise InvalidArgument(f"{self.url}: not the address of a store; expected https://host/folder and no more")

    @property
    def _files(self) -> ObjectStorage:
        return ObjectStorage(self.url)

    def read(self, name: str) -> bytes:
        """The whole file, by one GET."""
        return self._files.read(name)

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`, by one GET."""
        return self._files.read_range(name, offset, length)

    def read_ranges(
        self, name: str, ranges: Sequence[Range], *, fresh: bool = False, tag: str | None = None
    ) -> list[bytes]:
        """The bytes of each range, as of a bucket."""
        return self._files.read_ranges(name, ranges, fresh=fresh, tag=tag)

    def size(self, name: str) -> int | None:
        """Bytes of the file, by one HEAD."""
        return self._files.size(name)

    def tag(self, name: str) -> str | None:
        """The etag; size and time of change where the server has none."""
        return self._files.tag(name)

    def identity(self, name: str) -> tuple[int, str] | None:
        """Size and tag, by one HEAD."""
        return self._files.identity(name)

    def write(self, name: str, pieces: Pieces) -> None:
        """Refused."""
        self._refuse()

    def batch(self) -> AbstractContextManager[Write]:
        """Refused."""
        self._refuse()

    def create(self, name: str, data: bytes) -> bool:
        """Refused."""
        self._refuse()

    def delete(self, *names: str) -> None:
        """Refused."""
        self._refuse()

    def sweep(self) -> None:
        """Refused."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise StoreError(f"{self.url}: a store on the web can only be read; write to a path, s3:// or gs://")

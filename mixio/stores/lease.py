"""One converter at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mixio.errors import StoreError
from mixio.stores.storage import Storage


@contextmanager
def held(storage: Storage, name: str) -> Iterator[None]:
    """Hold the store for one converter; a second one is refused."""
    path = Path(storage.url) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(f"{storage.url}: another conversion is writing here; wait for it to end") from error
        yield

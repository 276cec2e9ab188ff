"""Brings a remote source to a temporary folder for as long as it is read.

A url that ends in "/" is a prefix of an object store, and all objects below it come (a DICOM series); any other is one
file, kept under its own name, by which readers know its format.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

from mixio.errors import InvalidArgument, StoreError
from mixio.stores import web
from mixio.stores.names import checked
from mixio.stores.objects import ObjectStorage

AT_ONCE = 32
_BATCH = 10_000
_PREFIX = "mixio-fetched-"
_SECONDS = 60


def is_remote(location: str) -> bool:
    """Whether a source lies elsewhere than in a folder."""
    return location.partition("://")[0] in ("s3", "gs", "http", "https")


@contextmanager
def fetched(url: str, folder: Path, *, limit: int | None = None) -> Iterator[Path]:
    """The file, or folder, that `url` names, below `folder` until the context ends.

    Raises `FileNotFoundError` if nothing is there, `StoreError` if it is more than `limit` bytes, changed
    meanwhile or cannot be brought whole.
    """
    with _spool(folder) as temporary:
        before = stamp(url)
        if before is None:
            raise FileNotFoundError(f"{url}: no such source")
        path = _brought(url, temporary, limit)
        if stamp(url) != before:
            raise StoreError(f"{url}: it changed while it was read; run again when nobody writes there")
        yield path


@contextmanager
def _spool(folder: Path) -> Iterator[Path]:
    """A temporary folder; those of killed processes, which hold no lock on theirs any more, are taken away first."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _SECONDS:  # a younger one may not be locked yet
                with _locked(left):
                    rmtree(left, ignore_errors=True)
    with (
        TemporaryDirectory(prefix=_PREFIX, dir=folder, ignore_cleanup_errors=True) as temporary,
        _locked(Path(temporary)),
    ):
        yield Path(temporary)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _brought(url: str, temporary: Path, limit: int | None) -> Path:
    if _on_the_web(url):
        path = temporary / (unquote(Path(urlsplit(url).path).name) or "source")
        web.download(url, path, limit)
        return path
    if url.endswith("/"):
        storage, names = ObjectStorage(url), ObjectStorage(url).names()
        target = temporary / Path(urlsplit(url).path or "/source").name
    else:
        storage, name = _split(url)
        names, target = [(name, storage.size(name) or 0)], temporary
    total = sum(size for _, size in names)
    if limit is not None and total > limit:
        raise StoreError(f"{url}: {total} bytes are more than the limit of {limit}; raise the limit")
    for name, size in names:
        path = target / checked(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if storage.download(name, path) != size:
            raise StoreError(f"{url}: {name} came short of its {size} bytes; run again")
    return target if url.endswith("/") else target / names[0][0]


def stamp(url: str) -> str | None:
    """A word that changes when the source does, None if it is missing."""
    seen: str | None
    if _on_the_web(url):
        seen = web.head(url)
    elif url.endswith("/"):
        storage = ObjectStorage(url)
        seen = " ".join(f"{name} {storage.modified(name)}" for name, _ in storage.names()) or None
    else:
        storage, name = _split(url)
        seen = storage.modified(name)
    return None if seen is None else hashlib.sha256(seen.encode()).hexdigest()[:32]


def stamps(urls: Sequence[str]) -> list[str | None]:
    """The stamps of many sources, 32 asked for at once; None also where no answer came: fetching says why."""
    found: list[str | None] = []
    if urls:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for start in range(0, len(urls), _BATCH):  # a million futures at once would take a gigabyte
                found += pool.map(_stamp_if_answered, urls[start : start + _BATCH])
    return found


def _stamp_if_answered(url: str) -> str | None:
    try:
        return stamp(url)
    except StoreError:
        return None


def _on_the_web(url: str) -> bool:
    if not is_remote(url):
        raise InvalidArgument(f"{url}: not a remote source; expected s3://, gs://, https:// or http://")
    web_address = url.startswith("http")
    if web_address and url.endswith("/"):
        raise InvalidArgument(f"{url}: a web server does not list its folders; name each file, or an archive")
    return web_address


def _split(url: str) -> tuple[ObjectStorage, str]:
    place, _, name = url.rpartition("/")
    return ObjectStorage(place), name

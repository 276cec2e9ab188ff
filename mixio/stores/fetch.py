"""Brings a remote source to a temporary folder for as long as it is read.

A url that ends in "/" is a prefix of an object store, and all objects below it come (a DICOM series); any other is one
file, kept under its own name, by which readers know its format.
"""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mixio.errors import InvalidArgument, StoreError
from mixio.stores import web
from mixio.stores.names import checked
from mixio.stores.objects import Found, ObjectStorage
from mixio.stores.spool import spool

AT_ONCE, _FILES_AT_ONCE = 32, 8
_BATCH = 10_000


def is_remote(location: str) -> bool:
    """Whether a source lies elsewhere than in a folder."""
    return location.partition("://")[0] in ("s3", "gs", "http", "https")


@contextmanager
def fetched(url: str, folder: Path, *, limit: int | None = None) -> Iterator[Path]:
    """The file, or folder, that `url` names, below `folder` until the context ends.

    Raises `FileNotFoundError` if nothing is there, `StoreError` if it is more than `limit` bytes, changed
    meanwhile or cannot be brought whole.
    """
    with spool(folder) as temporary:
        before = stamp(url)
        if before is None:
            raise FileNotFoundError(f"{url}: no such source")
        path = _brought(url, temporary, limit)
        if stamp(url) != before:
            raise StoreError(f"{url}: it changed while it was read; run again when nobody writes there")
        yield path


def _brought(url: str, temporary: Path, limit: int | None) -> Path:
    if _on_the_web(url):
        path = temporary / (unquote(Path(urlsplit(url).path).name) or "source")
        web.download(url, path, limit)
        return path
    if url.endswith("/"):
        storage, found = ObjectStorage(url), ObjectStorage(url).below()
        target = temporary / Path(urlsplit(url).path or "/source").name
    else:
        storage, name = _split(url)
        found, target = [one for one in [storage.found(name)] if one], temporary
    total = sum(one.size for one in found)
    if limit is not None and total > limit:
        raise StoreError(f"{url}: {total} bytes are more than the limit of {limit}; raise the limit")

    def bring(one: Found) -> None:
        path = target / checked(one.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if storage.download(one.name, path) != one.size:
            raise StoreError(f"{url}: {one.name} came short of its {one.size} bytes; run again")

    with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
        list(pool.map(bring, found))
    return target if url.endswith("/") else target / name


def stamp(url: str) -> str | None:
    """A word that changes when the source does, None if it is missing."""
    seen: str | None
    if _on_the_web(url):
        seen = web.head(url)
    elif url.endswith("/"):
        seen = " ".join(map(str, ObjectStorage(url).below())) or None
    else:
        storage, name = _split(url)
        seen = str(storage.found(name) or "") or None
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

"""An object store as a place for objects: `s3://bucket/prefix` and `gs://bucket/prefix`, by obstore.

Credentials and endpoints come from the usual environment variables. Requests are tried again with growing pauses while
the server fails or the line drops, for two minutes in all (`patience.py`). obstore does that by itself except for an
answer that breaks off and has no etag, or that is shorter than the server says. Refusals (403, 404) are told at once.
An object appears when its upload is complete: one PUT, or a multipart upload.

obstore's threads do not survive a fork: used in a forked child of a process that used them, it hangs the child and may
hang the parent too. So a forked child sends its requests to a helper, a fresh Python process of its own (`forked.py`).
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from io import FileIO
from itertools import chain
from pathlib import Path
from tempfile import gettempdir
from threading import current_thread, main_thread
from typing import Any, NamedTuple

from mixio.errors import StoreError, require
from mixio.stores import patience
from mixio.stores.forked import ask
from mixio.stores.names import Pieces, Write, checked
from mixio.stores.ranges import Range, fetched
from mixio.stores.spool import spool

PART = 16 * 2**20
"""Bytes of one part of a multipart upload; S3 takes 10,000 parts, so 160 GB in all."""
_SMALL, _AT_ONCE = 2**20, 8
_CLIENT = {"connect_timeout": "10s", "read_timeout": "60s", "timeout": "1h"}
# What obstore says where an answer broke off or was not what was asked for, a refusal by the server being none.
_PASSING = re.compile(r"response body error|decoding response|kind: (Interrupted|Timeout|Decode)|Requested \d")
_VARIABLES = {"s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", "gs": "GOOGLE_APPLICATION_CREDENTIALS"}
_stores: dict[str, Any] = {}
_owner: int | None = None
"""The process whose obstore threads these are; a forked child inherits the number, not the threads."""


class Found(NamedTuple):
    """An object as the server tells of it: any change of its content changes this."""

    name: str
    size: int
    tag: str
    modified: str


@dataclass(frozen=True)
class ObjectStorage:
    """The objects below the prefix `url`."""

    url: str

    def read(self, name: str) -> bytes:
        """The whole object, by one GET."""
        return bytes(self._ask("read", name))

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`, by one GET."""
        return self.read_ranges(name, [(offset, length)])[0]

    def read_ranges(
        self, name: str, ranges: Sequence[Range], *, fresh: bool = False, tag: str | None = None
    ) -> list[bytes]:
        """The bytes of each range; by few GETs, side by side, whose answers are all of one version of the object."""
        return list(self._ask("read_ranges", name, list(ranges), tag))

    def write(self, name: str, pieces: Pieces) -> None:
        """One PUT of up to 16 MiB; what is larger goes up in parts, at most four in flight."""
        if isinstance(pieces, bytes):
            pieces = (pieces,)
        source = iter(pieces)
        head, size = [], 0
        for piece in source:
            head.append(piece)
            size += len(piece)
            if size > PART:
                self._write_parts(name, chain(head, source))
                return
        self._ask("put", name, b"".join(head))

    def _write_parts(self, name: str, pieces: Iterable[bytes]) -> None:
        # The pieces go through a file, so that an error of their maker comes before the upload begins: no part of a
        # failed object is left to pay for, and the upload can be sent from a helper process.
        with spool(Path(gettempdir())) as folder:
            path = folder / "whole"
            with path.open("wb", buffering=0) as file:
                for piece in pieces:
                    _write_all(file, piece)
            self._ask("put_file", name, str(path))

    @contextmanager
    def batch(self) -> Iterator[Write]:
        """Objects given bit by bit go at once; those given whole, small ones, side by side when the context ends."""
        whole: dict[str, bytes] = {}

        def write(name: str, pieces: Pieces) -> None:
            if isinstance(pieces, bytes) and len(pieces) <= _SMALL:
                whole[checked(name)] = pieces
            else:
                self.write(name, pieces)

        yield write
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(self.write, whole.keys(), whole.values()))

    def create(self, name: str, data: bytes) -> bool:
        """A PUT with If-None-Match; one whose answer was lost and that was sent again says False though it is ours."""
        return bool(self._ask("create", name, data))

    def replace(self, name: str, data: bytes, tag: str) -> bool:
        """A PUT that happens only if the object still has this tag; whether it did."""
        return bool(self._ask("replace", name, data, tag))

    def size(self, name: str) -> int | None:
        """Bytes of the object, by one HEAD."""
        found = self._ask("head", name)
        return None if found is None else int(found["size"])

    def delete(self, *names: str) -> None:
        """Delete the objects, up to 1,000 by one request."""
        if names:
            self._ask("delete", *map(checked, names))

    def sweep(self) -> None:
        """Nothing: half an upload is no object. A lifecycle rule of the bucket is what ends abandoned ones."""

    def tag(self, name: str) -> str | None:
        """The etag, and with gs:// the generation."""
        found = self._ask("head", name)
        return None if found is None else _tag_of(found)

    def identity(self, name: str) -> tuple[int, str] | None:
        """Size and tag, by one HEAD."""
        found = self._ask("head", name)
        return None if found is None else (int(found["size"]), _tag_of(found))

    def found(self, name: str) -> Found | None:
        """What a HEAD says of the object; None if it is missing."""
        found = self._ask("head", name)
        return None if found is None else _found(found, name)

    def below(self) -> list[Found]:
        """All objects below, sorted, by listing; for sources only."""
        # "folder/", which consoles make, is listed as an empty "folder", and nothing is found under that name.
        return [one for one in self._ask("list", "") if one.size or (one.name and self.found(one.name))]

    def download(self, name: str, path: Path) -> int:
        """Stream the object into a file; bytes written."""
        return int(self._ask("download", name, str(path)))

    def _ask(self, operation: str, name: str, *values: Any) -> Any:
        global _owner
        if operation != "list":
            checked(name)
        if _owner is None:
            _owner = os.getpid()
        if _owner != os.getpid():
            return ask(self.url, operation, name, *values)
        return perform(self.url, operation, name, *values)


class _Unfit(Exception):
    """An answer that came whole and is not what was asked for."""


def perform(url: str, operation: str, name: str, *values: Any) -> Any:
    """Do one operation in this process; the errors of obstore become ours.

    obstore tries again for two minutes without looking at signals, so the main thread has another one wait for it.
    """
    place = f"{url.rstrip('/')}/{name}"

    def work() -> Any:
        with _told(place, url, operation):
            return _OPERATIONS[operation](_opened(url), name, *values)

    return patience.interruptibly(work, place) if current_thread() is main_thread() else work()


def _obstore() -> Any:
    try:
        import obstore
        import obstore.exceptions
        import obstore.store
    except ImportError as error:
        raise require("obstore", "cloud") from error
    return obstore


def _opened(url: str) -> Any:
    if url not in _stores:
        endpoint, config = _endpoint_of(url)
        # An endpoint given as http:// was chosen with open eyes, a test server or one in the same rack.
        client = {**_CLIENT, "allow_http": True} if endpoint.startswith("http://") else _CLIENT
        pauses = {
            "init_backoff": timedelta(seconds=patience.FIRST_PAUSE),
            "max_backoff": timedelta(seconds=patience.LONGEST_PAUSE),
            "base": 3,  # a pause is drawn between the first and this times the last; 2 would hardly grow
        }
        limit = timedelta(seconds=patience.SECONDS)
        retry = {"max_retries": 1000, "retry_timeout": limit, "backoff": pauses}
        _stores[url] = _obstore().store.from_url(url, config=config, client_options=client, retry_config=retry)
    return _stores[url]


def _endpoint_of(url: str) -> tuple[str, dict[str, str]]:
    """The server that the environment names instead of the vendor's, and what obstore must be told of it."""
    if url.startswith("http"):
        return url, {}
    if url.startswith("s3:"):
        return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "", {}
    host = os.environ.get("STORAGE_EMULATOR_HOST", "")
    if not host:
        return "", {}
    host = host if "://" in host else f"http://{host}"
    nobody = {"disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
    return host, {"service_account_key": json.dumps({"gcs_base_url": host, **nobody})}


@contextmanager
def _told(place: str, url: str, operation: str) -> Iterator[None]:
    errors = _obstore().exceptions
    try:
        yield
    except FileNotFoundError as error:
        if operation in ("put", "put_file", "create"):
            raise StoreError(f"{place}: there is no such bucket; make it, or mend the address") from error
        raise FileNotFoundError(f"{place}: no such object") from error
    except (errors.PermissionDeniedError, errors.UnauthenticatedError) as error:
        way_out = f"set {_VARIABLES[url[:2]]}, or " if url[:2] in _VARIABLES else ""
        raise StoreError(f"{place}: the server refused us; {way_out}ask for access") from error
    except errors.NotSupportedError as error:
        raise StoreError(
            f"{place}: the server does not answer requests for byte ranges, which reading patches needs; serve the "
            "store by one that does (nginx, Apache, Caddy), or copy it here"
        ) from error
    except _Unfit as error:
        raise StoreError(f"{place}: {error}") from error
    except errors.BaseError as error:
        reason = str(error).partition("\n")[0][:300]
        raise StoreError(f"{place}: {reason}; check the network, the endpoint and the credentials") from error


def _tag_of(found: Any) -> str:
    if found["e_tag"] is None:  # some web servers have none
        return f"{found['size']}-{found['last_modified'].isoformat()}"
    return f"{found['e_tag']} {found['version'] or ''}".strip()


def _write_all(file: FileIO, piece: bytes) -> None:
    rest = memoryview(piece)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise StoreError(f"{file.name!s}: {error.strerror}; set TMPDIR to a folder with more space") from error


def _put(store: Any, name: str, data: bytes) -> None:
    _obstore().put(store, name, data, use_multipart=False)


def _put_file(store: Any, name: str, path: str) -> None:
    _obstore().put(store, name, Path(path), use_multipart=True, chunk_size=PART, max_concurrency=4)


def _create(store: Any, name: str, data: bytes) -> bool:
    try:
        _obstore().put(store, name, data, mode="create")
    except _obstore().exceptions.AlreadyExistsError:
        return False
    return True


def _replace(store: Any, name: str, data: bytes, tag: str) -> bool:
    etag, _, version = tag.partition(" ")
    mode = {"e_tag": etag, **({"version": version} if version else {})}
    try:
        _obstore().put(store, name, data, mode=mode)
    except (_obstore().exceptions.PreconditionError, FileNotFoundError):
        return False
    return True


def _head(store: Any, name: str) -> Any:
    try:
        return _obstore().head(store, name)
    except FileNotFoundError:
        return None


def _delete(store: Any, *names: str) -> None:
    try:
        _obstore().delete(store, list(names))
    except FileNotFoundError:  # of several, the first that is missing ends the request
        for name in names if len(names) > 1 else ():
            _delete(store, name)


def _list(store: Any, _: str) -> list[Found]:
    return sorted(_found(one, one["path"]) for batch in _obstore().list(store) for one in batch)


def _found(told: Any, name: str) -> Found:
    return Found(str(name), int(told["size"]), _tag_of(told), told["last_modified"].isoformat())


def _download(store: Any, name: str, path: str) -> int:
    written = 0
    with open(path, "wb") as file:
        for piece in _obstore().get(store, name).stream(min_chunk_size=4 * 2**20):
            written += file.write(piece)
    return written


def _read(store: Any, name: str) -> bytes:
    return _patiently(lambda: bytes(_obstore().get(store, name).bytes()))


def _read_ranges(store: Any, name: str, ranges: Sequence[Range], tag: str | None) -> list[bytes]:
    seen: list[str] = [] if tag is None else [tag]

    def once(start: int, stop: int) -> bytes:
        answer = _obstore().get(store, name, options={"range": (start, stop)})
        its = _tag_of(answer.meta)
        seen.append(its)
        if its != seen[0]:
            raise _Unfit("the object was replaced while it was read; open the store again")
        return bytes(answer.bytes())

    def get(start: int, stop: int) -> bytes:
        data = _patiently(lambda: once(start, stop))
        if len(data) != stop - start:
            raise _Unfit(f"expected {stop - start} bytes at {start}, got {len(data)}; the object was cut short")
        return data

    return fetched(ranges, get)


def _patiently(work: Callable[[], bytes]) -> bytes:
    return patience.patiently(work, lambda error: bool(_PASSING.search(str(error))), _obstore().exceptions.BaseError)


_OPERATIONS: dict[str, Any] = {
    "read": _read,
    "read_ranges": _read_ranges,
    "put": _put,
    "put_file": _put_file,
    "create": _create,
    "replace": _replace,
    "head": _head,
    "delete": _delete,
    "list": _list,
    "download": _download,
}

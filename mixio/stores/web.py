"""Sources on the web: one address, one file, by the standard library; nothing is written there.

An answer counts only if it is whole: as long as its Content-Length says, or chunked to its last chunk. One that gives
neither cannot be told from a torn one and is refused. Redirects are followed.
"""

import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path

from mixio.errors import StoreError

TRIES = 5
_PIECE = 2**20
_SECONDS = 60.0


def head(url: str) -> str | None:
    """Etag, length and time of change as the server says them; None if there is no such file."""
    try:
        with _opened(url, "HEAD") as answer:
            return " ".join(str(answer.headers.get(name)) for name in ("ETag", "Content-Length", "Last-Modified"))
    except FileNotFoundError:
        return None


def download(url: str, path: Path, limit: int | None) -> None:
    """Stream the file at `url` to `path`, from the start again when the line drops."""
    for attempt in range(TRIES):
        try:
            with _opened(url, "GET") as answer, path.open("wb") as file:
                _copied(url, answer, file, limit)
            return
        except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
            if attempt == TRIES - 1:
                raise StoreError(f"{url}: the download broke off {TRIES} times ({error!r}); try later") from error
            time.sleep(0.2 * 2**attempt)


def _copied(url: str, answer: http.client.HTTPResponse, file: object, limit: int | None) -> None:
    length = answer.headers.get("Content-Length")
    if length is None and not answer.chunked:
        raise StoreError(
            f"{url}: the server does not say how long the file is, so a torn one would pass; copy it by hand"
        )
    if limit is not None and length is not None and int(length) > limit:
        raise StoreError(f"{url}: {length} bytes are more than the limit of {limit}; raise the limit")
    done = 0
    while piece := answer.read(_PIECE):
        done += len(piece)
        if limit is not None and done > limit:
            raise StoreError(f"{url}: more bytes than the limit of {limit}; raise the limit")
        file.write(piece)  # type: ignore[attr-defined]
    if length is not None and done != int(length):
        raise http.client.IncompleteRead(b"", int(length) - done)


def _opened(url: str, method: str) -> http.client.HTTPResponse:
    for attempt in range(TRIES):
        try:
            answer: http.client.HTTPResponse = urllib.request.urlopen(
                urllib.request.Request(url, method=method, headers={"Accept-Encoding": "identity"}), timeout=_SECONDS
            )
            return answer
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in (404, 410):
                raise FileNotFoundError(f"{url}: no such file") from error
            if (error.code < 500 and error.code != 429) or attempt == TRIES - 1:
                raise StoreError(f"{url}: the server answers {error.code} {error.reason}; check the address") from error
        except (OSError, http.client.HTTPException) as error:
            if attempt == TRIES - 1:
                raise StoreError(f"{url}: no answer after {TRIES} tries ({error}); check the network") from error
        time.sleep(0.2 * 2**attempt)
    raise AssertionError("the last try returns or raises")

"""A web server of static files that knows byte ranges, in this process; and a store put where it can be read from."""

import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from mixio.stores.storage import Storage


class Website(ThreadingHTTPServer):
    """The files of `folder`; `asked` has method, path and range of every request."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _File)
        self.folder, self.asked = folder, list[tuple[str, str, str]]()
        self.has_ranges, self.has_etags, self.status, self.moved_to, self.latency = True, True, 200, "", 0.0
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _File(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Website

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "") if self.server.has_ranges else ""
        self.server.asked.append((self.command, self.path, asked))
        time.sleep(self.server.latency)
        path = self.server.folder / unquote(self.path).lstrip("/")
        if self.server.moved_to:
            return self._say(302, b"", Location=self.server.moved_to + self.path)
        if self.server.status != 200 or not path.is_file():
            return self._say(self.server.status if self.server.status != 200 else 404, b"")
        data = path.read_bytes()
        about = {"Last-Modified": formatdate(path.stat().st_mtime, usegmt=True)}
        if self.server.has_etags:
            about["ETag"] = f'"{md5(data).hexdigest()}"'
        if not asked:
            return self._say(200, data, **about)
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last or len(data)) + 1, len(data))
        if start >= len(data):
            return self._say(416, b"", **{"Content-Range": f"bytes */{len(data)}"})
        about["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        return self._say(206, data[start:stop], **about)

    do_HEAD = do_GET

    def _say(self, status: int, data: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


@pytest.fixture
def website(tmp_path: Path) -> Iterator[Website]:
    """A server of the files in a new folder."""
    folder = tmp_path / "www"
    folder.mkdir()
    server = Website(folder)
    yield server
    server.shutdown()
    server.server_close()


def put_store(folder: Path, place: Storage) -> None:
    """Copy every file of a store on this machine."""
    with place.batch() as write:
        for path in folder.rglob("*"):
            if path.is_file() and ".mixio" not in path.parts:
                write(str(path.relative_to(folder)), path.read_bytes())

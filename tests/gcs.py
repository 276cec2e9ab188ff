"""A small server that speaks the XML protocol of Google Cloud Storage, as much of it as obstore asks for.

Objects have a generation that counts up with each write and is never used twice, as the documentation says
(cloud.google.com/storage/docs/xml-api/reference-headers: x-goog-generation, x-goog-if-generation-match).
"""

import threading
from collections.abc import Iterator
from email.utils import formatdate
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from urllib.parse import parse_qs, unquote, urlsplit

import pytest


class GoogleServer(ThreadingHTTPServer):
    """Objects by path, in memory; `asked` has method and path of every request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.objects: dict[str, tuple[bytes, int]] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.asked: list[str] = []
        self.numbers, self.lock = count(1), threading.Lock()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: GoogleServer

    def log_message(self, *_: object) -> None:
        pass

    def handle_one_request(self) -> None:
        super().handle_one_request()

    def _told(self) -> tuple[str, dict[str, list[str]]]:
        parts = urlsplit(self.path)
        self.server.asked.append(f"{self.command} {parts.path}")
        return unquote(parts.path), parse_qs(parts.query, keep_blank_values=True)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _about(self, path: str) -> dict[str, str]:
        data, generation = self.server.objects[path]
        return {
            "ETag": f'"{md5(data).hexdigest()}"',
            "Last_Modified": formatdate(generation, usegmt=True),
            "x_goog_generation": str(generation),
        }

    def _keep(self, path: str, data: bytes) -> None:
        with self.server.lock:
            wanted = self.headers.get("x-goog-if-generation-match")
            if wanted is not None and int(wanted) != self.server.objects.get(path, (b"", 0))[1]:
                return self._say(412)
            self.server.objects[path] = data, next(self.server.numbers)
        return self._say(200, **self._about(path))

    def do_PUT(self) -> None:
        path, query = self._told()
        data = self._body()
        if "uploadId" in query:
            self.server.uploads[query["uploadId"][0]][int(query["partNumber"][0])] = data
            return self._say(200, ETag=f'"{md5(data).hexdigest()}"')
        return self._keep(path, data)

    def do_POST(self) -> None:
        path, query = self._told()
        self._body()
        if "uploads" in query:
            upload = str(next(self.server.numbers))
            self.server.uploads[upload] = {}
            body = f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
            return self._say(200, body.encode())
        parts = self.server.uploads.pop(query["uploadId"][0])
        with self.server.lock:
            self.server.objects[path] = b"".join(parts[n] for n in sorted(parts)), next(self.server.numbers)
        about = self._about(path)
        body = f"<CompleteMultipartUploadResult><ETag>{about['ETag']}</ETag></CompleteMultipartUploadResult>"
        return self._say(200, body.encode(), **about)

    def do_GET(self) -> None:
        path, _ = self._told()
        if path not in self.server.objects:
            return self._say(404)
        data, about = self.server.objects[path][0], self._about(path)
        asked = self.headers.get("Range", "")
        if not asked or self.command == "HEAD":
            return self._say(200, data, **about)
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last or len(data)) + 1, len(data))
        if start >= len(data):
            return self._say(416)
        return self._say(206, data[start:stop], Content_Range=f"bytes {start}-{stop - 1}/{len(data)}", **about)

    do_HEAD = do_GET

    def do_DELETE(self) -> None:
        path, query = self._told()
        if "uploadId" in query:
            self.server.uploads.pop(query["uploadId"][0], None)
            return self._say(204)
        return self._say(204 if self.server.objects.pop(path, None) else 404)


@pytest.fixture(scope="session")
def google() -> Iterator[GoogleServer]:
    """The server, with the environment variable by which Google's clients find one for tests."""
    server = GoogleServer()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        yield server
    server.shutdown()
    server.server_close()

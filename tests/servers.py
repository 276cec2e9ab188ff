"""Real servers for tests: an S3-speaking one in its own process, and a proxy in front of it that fails on purpose."""

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random

import pytest

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def s3_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the S3 server writes a line for each request that it gets."""
    return tmp_path_factory.mktemp("s3") / "log"


@pytest.fixture(scope="session")
def s3_server(s3_log: Path) -> Iterator[str]:
    """The address of a moto server with the bucket `bucket`."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with s3_log.open("w") as log:
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(urllib.request.Request(f"{address}/bucket", method="PUT"), timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        server.kill()
        server.wait()


@pytest.fixture(scope="session")
def s3(s3_server: str) -> Iterator[str]:
    """`s3://bucket`, with the environment that finds the server."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": s3_server}.items():
            patch.setenv(name, value)
        yield "s3://bucket"


class Proxy(ThreadingHTTPServer):
    """Hands requests on to `target`; the next ones meet the faults in `faults`: 503, drop or truncate.

    After them `odds` has the share of requests that meet a fault, drawn from `rng`, and until `out_until` all meet 503.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Hand)
        self.target, self.faults, self.seen, self.latency = target, list[str](), 0, 0.0
        self.odds, self.rng, self.out_until = dict[str, float](), Random(0), 0.0
        self.met: Counter[str] = Counter()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def fault(self) -> str:
        """What the next request meets, "" for nothing."""
        if time.monotonic() < self.out_until:
            fault = "503"
        elif self.faults:
            fault = self.faults.pop(0)
        else:
            draw = self.rng.random()
            fault = next((name for name, odds in self.odds.items() if (draw := draw - odds) < 0), "")
        self.met[fault] += 1
        return fault


class _Hand(BaseHTTPRequestHandler):
    server: Proxy

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _hand_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen += 1
        fault = self.server.fault()
        time.sleep(self.server.latency)
        self.close_connection = True
        if fault == "drop":
            return
        if fault == "503":
            self.send_error(503)
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        headers.setdefault("Content-Type", "application/octet-stream")  # else urllib says it is a form
        headers["Host"] = self.server.target.removeprefix("http://")
        request = urllib.request.Request(self.server.target + self.path, body or None, headers, method=self.command)
        try:
            answer = urllib.request.urlopen(request, timeout=20)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            data = answer.read()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in ("transfer-encoding", "connection", "server", "date"):
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if fault == "truncate" else data)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _hand_on


@pytest.fixture
def proxy(s3_server: str) -> Iterator[Proxy]:
    """A proxy in front of the S3 server."""
    server = Proxy(s3_server)
    yield server
    server.shutdown()
    server.server_close()


def forked(work: object) -> int:
    """Run `work` in a forked child with a time limit; its exit status, 0 when it returned."""
    child = os.fork()
    if child == 0:
        try:
            import signal

            signal.alarm(60)
            work()  # type: ignore[operator]
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


class WebServer(ThreadingHTTPServer):
    """Files of `content`; the first part of the path says how they are sent."""

    daemon_threads = True
    content = bytes(range(256)) * 20_000

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Page)
        self.faults, self.seen = list[str](), 0
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Page(BaseHTTPRequestHandler):
    server: WebServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        self.server.seen += 1
        self.close_connection = True
        fault = self.server.faults.pop(0) if self.server.faults else ""
        kind, data = self.path.split("/")[1], self.server.content
        if fault == "drop":
            return
        if fault == "503" or kind == "missing":
            self.send_error(503 if fault else 404)
            return
        self.send_response(302 if kind == "moved" else 200)
        self.send_header("Connection", "close")
        if kind == "moved":
            self.send_header("Location", self.path.replace("moved", "plain"))
            data = b""
        if kind == "changing":
            self.send_header("ETag", f'"{self.server.seen}"')
        if kind == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
            data = b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)
        elif kind != "endless":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data[: len(data) // 2] if fault == "truncate" else data)

    do_GET = do_HEAD = _answer


@pytest.fixture
def web() -> Iterator[WebServer]:
    """A small web server."""
    server = WebServer()
    yield server
    server.shutdown()
    server.server_close()

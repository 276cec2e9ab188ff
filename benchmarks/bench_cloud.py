"""Random patches from a store on the web: ranges brought together or chunk by chunk, threads, the cache.

    python -m benchmarks.bench_cloud

One CT-like volume of 320 x 320 x 256 is converted and served by a process of its own, which waits 20 ms before each
answer, as a bucket in the same region does. Every way to read takes the same patches, in turn; every patch is compared
with the one read from the disk. Prints the median rate of the turns, requests and megabytes per patch, and ratios.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import rmtree
from statistics import median
from urllib.request import urlopen

import numpy as np
from numpy.typing import NDArray

from benchmarks.corpus import write_volume
from mixio.convert import convert
from mixio.settings import Settings
from mixio.store import Store, open_store
from mixio.stores import ranges

SHAPE, SIZE = (320, 320, 256), (96, 96, 96)
LATENCY = 0.020
TURNS = 3
PATCHES = 32
THREADS = (1, 4, 16)
Corner = tuple[int, int, int]


class Server(ThreadingHTTPServer):
    """Files of a folder, by ranges, each answer late; `/count` tells and resets requests and bytes sent."""

    daemon_threads = True
    request_queue_size = 256
    root = Path()
    requests = sent = 0


class Hand(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """A file, or a range of it."""
        if self.path == "/count":
            self._say(200, f"{self.server.requests} {self.server.sent}".encode())
            self.server.requests = self.server.sent = 0
            return
        time.sleep(LATENCY)
        path = self.server.root / self.path.lstrip("/")
        if not path.is_file():
            self._say(404, b"")
            return
        size = path.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        start, stop = (int(asked[1]), min(int(asked[2]) + 1, size)) if asked else (0, size)
        with path.open("rb") as file:
            data = os.pread(file.fileno(), stop - start, start) if self.command == "GET" else b""
        self._say(206 if asked else 200, data, stop - start, f"bytes {start}-{stop - 1}/{size}")
        self.server.requests, self.server.sent = self.server.requests + 1, self.server.sent + len(data)

    do_HEAD = do_GET

    def _say(self, status: int, data: bytes, length: int | None = None, place: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.send_header("ETag", '"1"')
        if status == 206:
            self.send_header("Content-Range", place)
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def served(root: Path) -> Iterator[str]:
    """The address of a server of this folder, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.bench_cloud", "--serve", str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


@dataclass
class Way:
    """A way to read, and what its turns came to."""

    name: str
    threads: int
    gap: int = ranges.GAP
    cache: str = ""
    rates: list[float] = field(default_factory=list)
    requests: float = 0
    megabytes: float = 0


def ways() -> list[Way]:
    """All that are compared."""
    return [
        way
        for threads in THREADS
        for way in (
            Way("one request a chunk", threads, gap=-1),
            Way("ranges together", threads),
            Way("cache, cold", threads, cache="cold"),
            Way("cache, warm", threads, cache="warm"),
        )
    ]


def turn(way: Way, url: str, folder: Path, corners: list[Corner], expected: list[NDArray[np.int16]]) -> None:
    """Read all patches once, the store opened before."""
    cache = folder / "cache" if way.cache else None
    if way.cache == "cold":
        rmtree(folder / "cache", ignore_errors=True)
    store: Store = open_store(url, cache=cache)
    (name,) = store.names()
    store.row(name)
    ranges.GAP = way.gap
    urlopen(f"{url}/count").close()

    def read(corner: Corner) -> NDArray[np.int16]:
        return store.read_patch(name, corner=corner, size=SIZE)

    started = time.perf_counter()
    with ThreadPoolExecutor(way.threads) as pool:
        patches = list(pool.map(read, corners))
    way.rates.append(len(corners) / (time.perf_counter() - started))
    with urlopen(f"{url}/count") as answer:
        requests, sent = map(int, answer.read().split())
    way.requests, way.megabytes = requests / len(corners), sent / len(corners) / 1e6
    assert all(np.array_equal(ours, its) for ours, its in zip(patches, expected, strict=True)), way.name


def measure(folder: Path) -> list[Way]:
    """Make the store, read it in all ways."""
    sources = folder / "in" / "abdomen-ct"
    sources.mkdir(parents=True)
    write_volume(sources / "case.nii.gz", 0, SHAPE)
    convert(folder / "in", folder / "store", settings=Settings(val_fraction=0), jobs=1)
    local, rng, found = open_store(folder / "store"), np.random.default_rng(1), ways()
    (name,) = local.names()
    with served(folder / "store") as url:
        for _ in range(TURNS):
            x, y, z = (rng.integers(n - s + 1, size=PATCHES) for n, s in zip(SHAPE, SIZE, strict=True))
            corners = [(int(a), int(b), int(c)) for a, b, c in zip(x, y, z, strict=True)]
            expected = [local.read_patch(name, corner=corner, size=SIZE) for corner in corners]
            for way in found:
                turn(way, url, folder, corners, expected)
    return found


def main() -> None:
    """Serve, or measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    root = parser.parse_args().serve
    if root is not None:
        server = Server(("127.0.0.1", 0), Hand)
        server.root = root
        print(server.server_port, flush=True)
        server.serve_forever()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    print(f"random {SIZE[0]} cubed patches, {LATENCY * 1000:.0f} ms a request, {TURNS} turns of {PATCHES}")
    print("| threads | way | patches/s | lowest-highest | ratio | requests a patch | MB a patch |\n|" + "---|" * 7)
    for way in found:
        base = next(median(one.rates) for one in found if one.threads == way.threads)
        rate, low, high = median(way.rates), min(way.rates), max(way.rates)
        print(f"| {way.threads} | {way.name} | {rate:.1f} | {low:.1f}-{high:.1f} | {rate / base:.1f}x ", end="")
        print(f"| {way.requests:.1f} | {way.megabytes:.2f} |")


if __name__ == "__main__":
    main()

"""The reader alone: processes that read patches one by one as stored integers, and hand nothing on.

The processes are started once, each with a list of patches of its own. For a turn of n, the first n of them are told to
get ready and then set off together.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from types import TracebackType
from typing import Any

from mixio.errors import StoreError
from tools.bench_system import deaf_children, drop, fetched, memory_of
from tools.bench_turns import Spread, in_turns, percentile, spread_of
from tools.bench_work import Weight, Work

_LISTED = 128


@dataclass(frozen=True)
class Part:
    """What one process did in a turn; `fetched` is bytes from a disk, None where the system does not say."""

    patches: int
    seconds: float
    cpu: float
    latencies: tuple[float, ...]
    fetched: int | None
    memory: int | None


@dataclass(frozen=True)
class Reading:
    """The reader with this many processes: patches a second, seconds that one takes, MB a second, and what it costs.

    `disk_share` is the bytes fetched from a disk, as a share of the stored bytes read; None where nobody counts them.
    """

    processes: int
    is_cold: bool
    patches: Spread
    p50: float
    p99: float
    voxel_megabytes: float
    stored_megabytes: float
    cpu_seconds: float
    memory: int | None
    disk_share: float | None


class Readers:
    """A context with `count` reading processes."""

    def __init__(self, work: Work, count: int) -> None:
        self._work, self._weight = work, work.weigh()
        context = get_context("spawn")
        self._go = context.Event()
        self._pipes: list[Connection] = []
        self._processes = []
        with deaf_children():
            for number in range(count):
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs, self._go, work, number, count), daemon=True)
                process.start()
                theirs.close()
                self._pipes.append(ours)
                self._processes.append(process)

    def __enter__(self) -> "Readers":
        try:
            for number in range(len(self._pipes)):
                self._hear(number)
        except BaseException:
            self._end()
            raise
        return self

    def warm(self, counts: list[int], *, seconds: float) -> list[Reading]:
        """With each of these numbers of processes, in turns, from the page cache as far as it holds the store."""
        turns = in_turns({str(n): self._turn(n) for n in counts}, seconds=seconds)
        return [_reading(int(n), parts, self._weight, is_cold=False) for n, parts in turns.items()]

    def cold(self, *, seconds: float) -> Reading | None:
        """With all processes, each turn after the page cache was asked to forget the files; None if it cannot be."""
        count, files = len(self._pipes), self._work.files()
        if not files or not drop(files):
            return None
        turn = self._turn(count, most=max(1, self._work.cold_patches() // count))

        def dropped(limit: float) -> list[Part]:
            drop(files)
            return turn(limit)

        turns = in_turns({"cold": dropped}, seconds=seconds)
        return _reading(count, turns["cold"], self._weight, is_cold=True)

    def _turn(self, count: int, *, most: int = 10**9) -> Callable[[float], list[Part]]:
        def turn(limit: float) -> list[Part]:
            for number in range(count):
                self._pipes[number].send((limit, most))
            for number in range(count):
                self._hear(number)
            self._go.set()
            parts = [self._hear(number) for number in range(count)]
            self._go.clear()
            return parts

        return turn

    def _hear(self, number: int) -> Any:
        try:
            said = self._pipes[number].recv()
        except (EOFError, ConnectionResetError) as error:
            process = self._processes[number]
            process.join(1)
            raise StoreError(f"a reading process died with exit code {process.exitcode}; is memory short?") from error
        if isinstance(said, Exception):
            raise said
        return said

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.terminate()
            process.join()


def _serve(pipe: Connection, go: Event, work: Work, number: int, count: int) -> None:
    """Read turns as they are ordered until the pipe closes; what goes wrong is sent as it is."""
    try:
        requests = work.requests(number, _LISTED, count)
        for request in requests:
            work.store.read_patches([request], size=work.dataset.patch_size)
        pipe.send("warmed up")
        place = 0
        while True:
            limit, most = pipe.recv()
            pipe.send("ready")
            go.wait()
            part, place = _read(work, requests, place, limit, most)
            pipe.send(part)
    except EOFError:
        return
    except Exception as error:
        pipe.send(error)


def _read(work: Work, requests: list[Any], place: int, limit: float, most: int) -> tuple[Part, int]:
    store, size, latencies = work.store, work.dataset.patch_size, []
    before, cpu, started = fetched(), time.process_time(), time.perf_counter()
    now = started
    while not latencies or (now - started < limit and len(latencies) < most):
        store.read_patches([requests[place % len(requests)]], size=size)
        then, now = now, time.perf_counter()
        latencies.append(now - then)
        place += 1
    cpu, after = time.process_time() - cpu, fetched()
    disk = None if before is None or after is None else after - before
    return Part(len(latencies), now - started, cpu, tuple(latencies), disk, memory_of([os.getpid()])), place


def _reading(processes: int, turns: list[list[Part]], weight: Weight, *, is_cold: bool) -> Reading:
    rates = spread_of([sum(part.patches / part.seconds for part in parts) for parts in turns])
    parts = [part for each in turns for part in each]
    patches = sum(part.patches for part in parts)
    latencies = [latency for part in parts for latency in part.latencies]
    disk, memory = [part.fetched for part in parts], [[part.memory for part in each] for each in turns]
    stored = weight.stored * patches
    return Reading(
        processes,
        is_cold,
        rates,
        percentile(latencies, 0.5),
        percentile(latencies, 0.99),
        rates.median * weight.voxels / 1e6,
        rates.median * weight.stored / 1e6,
        sum(part.cpu for part in parts) / patches,
        None if any(None in each for each in memory) else max(sum(m for m in each if m) for each in memory),
        None if None in disk or not stored else sum(n for n in disk if n) / stored,
    )

"""Who does the work: this process, processes beside it, or a Dask cluster.

Each runs a function over tasks, a few ahead of what was taken, and yields every task with its result or with what
was raised. A worker that dies, killed for its memory or crashed inside a C library, costs the task it had.
"""

import ctypes
import os
import resource
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from mixio.errors import InvalidArgument, SourceError, StoreError, require

T = TypeVar("T")
R = TypeVar("R")
Outcomes = Iterator[tuple[T, R | BaseException]]

_DIE_WITH_PARENT = 1  # prctl's PR_SET_PDEATHSIG
_SHARE_OF_MEMORY = 0.8
_OVERHEAD = 2**29
"""Bytes that a worker takes for code and libraries, beside the volume it has."""
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Workers:
    """How many processes (0: none but this one), how many bytes all volumes in flight may take, which cluster."""

    jobs: int
    memory: int
    dask: str | None = None

    def __post_init__(self) -> None:
        if self.jobs < 0:
            raise InvalidArgument(f"jobs must be at least 1, or 0 to work in this process, got {self.jobs}")

    @property
    def memory_each(self) -> int:
        """Bytes that one volume in flight may take."""
        return self.memory // max(1, self.jobs)

    def run(self, function: Callable[[T], R], tasks: Iterable[T]) -> Outcomes[T, R]:
        """Every task with what `function`, which must pickle, made of it; in the order in which they end."""
        if self.dask is not None:
            return on_dask(function, tasks, self)
        if self.jobs == 0:
            return here(function, tasks)
        return in_processes(function, tasks, self)


class WorkerDied(SourceError):
    """The process that had this task was killed."""


def available_memory() -> int:
    """Bytes that may be taken now: four fifths of what the machine, or this control group, has free."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 2**10
    limit, used = _read("/sys/fs/cgroup/memory.max").strip(), _read("/sys/fs/cgroup/memory.current").strip()
    if limit.isdecimal() and used.isdecimal():
        free = min(free, max(0, int(limit) - int(used)))
    return int(free * _SHARE_OF_MEMORY)


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def parse_bytes(text: str) -> int:
    """`512M`, `16GB`, `1GiB` or plain bytes to a number; K, M, G and T are powers of 1024."""
    digits = text.strip().upper().removesuffix("B").removesuffix("I")
    unit = digits[-1:] if digits[-1:] in _UNITS else ""
    try:
        value = float(digits.removesuffix(unit)) * _UNITS[unit]
    except ValueError:
        raise InvalidArgument(f"expected a number of bytes such as 512M or 16GB, got {text!r}") from None
    if not 1 <= value < 2**62:
        raise InvalidArgument(f"expected a number of bytes such as 512M or 16GB, got {text!r}")
    return int(value)


def here(function: Callable[[T], R], tasks: Iterable[T]) -> Outcomes[T, R]:
    """One after the other, in this process."""
    for task in tasks:
        yield task, _outcome(function, task)


def _outcome(function: Callable[[T], R], task: T) -> R | BaseException:
    try:
        return function(task)
    except (Exception, MemoryError) as error:  # handed to the caller, as a future would
        return error


def in_processes(function: Callable[[T], R], tasks: Iterable[T], workers: Workers) -> Outcomes[T, R]:
    """In worker processes, an executor of one process each, so that a death breaks one only."""
    queue = iter(tasks)
    executors = [_executor(workers) for _ in range(workers.jobs)]
    running: dict[Future[R], tuple[T, int]] = {}
    try:
        for slot in range(workers.jobs):
            _submit(function, queue, executors, slot, running)
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            ended = [(future, *running.pop(future)) for future in done]
            for future, _, slot in ended:
                if isinstance(future.exception(), BrokenExecutor):
                    executors[slot].shutdown(wait=False)
                    executors[slot] = _executor(workers)
                _submit(function, queue, executors, slot, running)
            for future, task, _ in ended:
                yield task, _told(future)
    finally:
        for executor in executors:
            executor.shutdown(wait=False, cancel_futures=True)


def _submit(
    function: Callable[[T], R],
    queue: Iterator[T],
    executors: list[ProcessPoolExecutor],
    slot: int,
    running: dict[Future[R], tuple[T, int]],
) -> None:
    for task in queue:
        running[executors[slot].submit(function, task)] = task, slot
        return


def _told(future: Future[Any]) -> R | BaseException:
    error = future.exception()
    if isinstance(error, BrokenExecutor):
        return WorkerDied("the process that converted it died, for want of memory or by a crash in a library")
    return future.result() if error is None else error


def _executor(workers: Workers) -> ProcessPoolExecutor:
    context = get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(os.getpid(), workers.memory_each))


def _begin(parent: int, memory: int) -> None:
    """In a worker: die with the converter, leave Ctrl-C to it, and take no more memory than was given."""
    if hasattr(ctypes, "CDLL") and os.uname().sysname == "Linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = memory + _OVERHEAD
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def on_dask(function: Callable[[T], R], tasks: Iterable[T], workers: Workers) -> Outcomes[T, R]:
    """On the Dask cluster at an address, or on one started here for `local`.

    What a lost worker had goes to another; a task that kills several is given up, as the scheduler is configured.
    """
    with _client(workers) as client:
        ahead = 2 * max(1, sum(client.nthreads().values()))
        queue, running = iter(tasks), {}
        finished = distributed().as_completed()
        for task in islice(queue, ahead):
            running[future := client.submit(function, task, pure=False)] = task
            finished.add(future)
        for future in finished:
            task, error = running.pop(future), future.exception()
            for following in islice(queue, 1):
                running[another := client.submit(function, following, pure=False)] = following
                finished.add(another)
            if isinstance(error, distributed().KilledWorker):
                yield task, WorkerDied("the Dask workers that converted it died, for want of memory or by a crash")
            else:
                yield task, future.result() if error is None else error
            future.release()


def distributed() -> Any:
    """Dask's distributed, which is imported when it is asked for only."""
    try:
        return import_module("distributed")
    except ImportError as error:
        raise require("distributed", "dask") from error


@contextmanager
def _client(workers: Workers) -> Iterator[Any]:
    """A client of the cluster, and for `local` the cluster itself, while the context lasts."""
    dask = distributed()
    with ExitStack() as stack:
        address = workers.dask
        if address == "local":
            jobs = max(1, workers.jobs)
            address = stack.enter_context(
                dask.LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=None)
            )
        try:
            yield stack.enter_context(dask.Client(address, timeout="30s"))
        except (TimeoutError, ConnectionError, ValueError) as error:
            raise StoreError(
                f"{workers.dask}: no Dask scheduler answers there ({error}); or use --dask local"
            ) from error

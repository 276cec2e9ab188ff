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
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from mixio.dask import on_dask
from mixio.errors import InvalidArgument, WorkerDied

T = TypeVar("T")
R = TypeVar("R")
Outcomes = Iterator[tuple[T, R | BaseException]]

_DIE_WITH_PARENT = 1  # prctl's PR_SET_PDEATHSIG
_SHARE_OF_MEMORY = 0.8
_OVERHEAD = 2**29
"""Bytes that a worker takes for code and libraries, beside the volume it has."""
_STARTS = 3
"""Processes that may die in turn before they took a task, until it is taken for the machine's fault."""
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Workers:
    """How many processes (0: none but this one), how many bytes all volumes in flight may take, which cluster.

    `is_alone` gives a cluster one task at a time.
    """

    jobs: int
    memory: int
    dask: str | None = None
    is_alone: bool = False

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
            return on_dask(function, tasks, address=self.dask, jobs=self.jobs, ahead=1 if self.is_alone else None)
        if self.jobs == 0:
            return here(function, tasks)
        return in_processes(function, tasks, self)


def available_memory() -> int:
    """Bytes that may be taken now: four fifths of what the machine, or this control group, has free."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 2**10
    limit, used = _read("/sys/fs/cgroup/memory.max").strip(), _read("/sys/fs/cgroup/memory.current").strip()
    if limit.isdecimal() and used.isdecimal():
        cached = sum(
            int(line.split()[1])
            for line in _read("/sys/fs/cgroup/memory.stat").splitlines()
            if line.startswith(("inactive_file ", "active_file "))  # the kernel gives it back when it is needed
        )
        free = min(free, max(0, int(limit) - int(used) + cached))
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
    """In worker processes; whoever leaves early, or is interrupted, leaves none behind at work."""
    queue = iter(tasks)
    processes = [_Process(workers.memory_each) for _ in range(workers.jobs)]
    running: dict[Future[R], tuple[T, _Process]] = {}
    try:
        for process in processes:
            running |= {process.submit(function, task): (task, process) for task in islice(queue, 1)}
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            ended = []
            for future in done:
                task, process = running.pop(future)
                is_over = process.has_started or not _is_broken(future)
                if is_over:
                    ended.append((task, _told(future)))
                following = islice(queue, 1) if is_over else [task]
                running |= {process.submit(function, task): (task, process) for task in following}
            yield from ended
    finally:
        for process in processes:
            process.close(kill=bool(running))


class _Process:
    """A process for one task at a time, another one if it died; an executor each, so that a death breaks one only."""

    def __init__(self, memory: int) -> None:
        self._memory, self._failures = memory, 0
        self._executor: ProcessPoolExecutor | None = None

    def submit(self, function: Callable[[T], R], task: T) -> Future[R]:
        """Hand it a task; raises `WorkerDied` if several in turn have died before they could take one."""
        try:
            return self._started().submit(function, task)
        except BrokenExecutor:  # by its last task, or since
            self._failures = 0 if self.has_started else self._failures + 1
            if self._failures == _STARTS:
                raise WorkerDied(
                    f"{_STARTS} worker processes in turn died as they started; a script that converts needs "
                    "`if __name__ == '__main__':`, or use jobs=0"
                ) from None
            self.close()
            return self._started().submit(function, task)

    def _started(self) -> ProcessPoolExecutor:
        if self._executor is None:
            start = (os.getpid(), self._memory)
            self._executor = ProcessPoolExecutor(1, get_context("spawn"), initializer=_begin, initargs=start)
            self._pid = self._executor.submit(os.getpid)
        return self._executor

    @property
    def has_started(self) -> bool:
        """Whether it came as far as to take a task."""
        return self._pid.done() and not _is_broken(self._pid)

    def close(self, *, kill: bool = False) -> None:
        """End it: when it has done what it has, or at once, for all it writes is whole or not there."""
        if self._executor is None:
            return
        if kill:
            with suppress(BrokenExecutor, ProcessLookupError):
                os.kill(self._pid.result(), signal.SIGKILL)
        self._executor.shutdown(cancel_futures=True)
        self._executor = None


def _is_broken(future: Future[Any]) -> bool:
    return isinstance(future.exception(), BrokenExecutor)


def _told(future: Future[Any]) -> R | BaseException:
    if _is_broken(future):
        return WorkerDied("the process that converted it died, for want of memory or by a crash in a library")
    return future.exception() or future.result()


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

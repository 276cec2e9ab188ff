"""Loaders end to end: normalised float32 batches as a training loop gets them, and how long it waits for each.

All loaders are opened once and take turns; before its turn a loader hands over what it had prefetched, untimed. A step
of a model is emulated by sleeping, which takes no processor from the loader, as a step on a GPU takes little.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader

from mixio.loader import MixtureLoader
from mixio.sampler import MixtureSampler
from tools.bench_system import cpu_of, deaf_children, drop, memory_of
from tools.bench_turns import Spread, in_turns, percentile, spread_of
from tools.bench_work import Work

PROCESSES, THREADS = "DataLoader", "MixtureLoader"
_MANY = 10**9


@dataclass(frozen=True)
class Turn:
    """What a training loop got in a turn, and the seconds that it waited for each batch."""

    patches: int
    seconds: float
    waits: tuple[float, ...]
    cpu: float | None
    memory: int | None


@dataclass(frozen=True)
class Loading:
    """A loader with so many workers or threads: patches a second, and the waits of a loop whose step takes `step` s.

    `waiting` is the share of the time that the loop waited for data; memory is that of this process and its workers.
    """

    kind: str
    count: int
    is_cold: bool
    step: float
    patches: Spread
    waiting: float
    p50: float
    p99: float
    cpu_seconds: float | None
    memory: int | None

    @property
    def name(self) -> str:
        """As the tables call it."""
        return f"{self.kind} {self.count}"


@dataclass(frozen=True)
class Contestant:
    """A loader that is open: its batches, its worker processes, and the batches it may have prefetched."""

    kind: str
    count: int
    batches: Iterator[dict[str, Any]]
    processes: tuple[int, ...]
    ahead: int


def measure_loaders(
    work: Work, workers: Sequence[int], threads: Sequence[int], *, step: float, seconds: float
) -> list[Loading]:
    """Each loader without a step and, if `step` is not 0, with one; the largest of each kind also cold.

    There is no cold row of a kind that prefetches an eighth of the store or more, nor for a store elsewhere.
    """
    with ExitStack() as stack:
        loaders = [stack.enter_context(_processes(work, count)) for count in workers]
        loaders += [stack.enter_context(_threads(work, count)) for count in threads]
        places = {
            f"{number} {pause}": (loader, pause)
            for number, loader in enumerate(loaders)
            for pause in sorted({0.0, step})
        }
        turns = in_turns({name: _turn(*place) for name, place in places.items()}, seconds=seconds)
        rows = [_loading(*places[name], each, is_cold=False) for name, each in turns.items()]
        return rows + _cold(work, loaders, seconds)


def _cold(work: Work, loaders: Sequence[Contestant], seconds: float) -> list[Loading]:
    files = work.files()
    batches = work.cold_patches() // work.batch_size
    largest = {loader.kind: loader for loader in loaders if batches > 2 * loader.ahead}
    if not files or not largest:
        return []

    def dropped(loader: Contestant) -> Callable[[float], Turn]:
        turn = _turn(loader, 0.0, most=batches - loader.ahead)

        def run(limit: float) -> Turn:
            drop(files)
            return turn(limit)

        return run

    turns = in_turns({kind: dropped(loader) for kind, loader in largest.items()}, seconds=seconds)
    return [_loading(largest[kind], 0.0, each, is_cold=True) for kind, each in turns.items()]


@contextmanager
def _processes(work: Work, count: int) -> Iterator[Contestant]:
    sampler = MixtureSampler(work.dataset, num_samples=_MANY, batch_size=work.batch_size, rank=0, num_replicas=1)
    loader = DataLoader(
        work.dataset,
        batch_size=work.batch_size,
        sampler=sampler,
        num_workers=count,
        multiprocessing_context="spawn" if count else None,
    )
    with deaf_children():
        batches = iter(loader)
    workers = tuple(worker.pid for worker in getattr(batches, "_workers", ()))
    try:
        next(batches)
        yield Contestant(PROCESSES, count, batches, workers, 2 * count)
    finally:
        if count:
            batches._shutdown_workers()


@contextmanager
def _threads(work: Work, count: int) -> Iterator[Contestant]:
    loader = MixtureLoader(work.dataset, num_samples=_MANY, batch_size=work.batch_size, threads=count)
    batches = iter(loader)
    try:
        next(batches)
        yield Contestant(THREADS, count, batches, (), 2 * count)
    finally:
        batches.close()


def _turn(loader: Contestant, step: float, *, most: int = _MANY) -> Callable[[float], Turn]:
    everyone = (os.getpid(), *loader.processes)

    def turn(limit: float) -> Turn:
        for _ in range(loader.ahead):
            next(loader.batches)
        for _ in range(loader.ahead if step else 0):  # so that it is as far ahead as in the middle of a run
            next(loader.batches)
            time.sleep(step)
        cpu, patches, waits = cpu_of(everyone), 0, []
        started = now = time.perf_counter()
        while not waits or (now - started < limit and len(waits) < most):
            asked = time.perf_counter()
            batch = next(loader.batches)
            waits.append(time.perf_counter() - asked)
            patches += len(batch["image"])
            time.sleep(step)
            now = time.perf_counter()
        spent = cpu_of(everyone)
        used = None if cpu is None or spent is None else spent - cpu
        return Turn(patches, now - started, tuple(waits), used, memory_of(everyone))

    return turn


def _loading(loader: Contestant, step: float, turns: Sequence[Turn], *, is_cold: bool) -> Loading:
    waits = [wait for turn in turns for wait in turn.waits]
    cpu, memory = [turn.cpu for turn in turns], [turn.memory for turn in turns]
    return Loading(
        loader.kind,
        loader.count,
        is_cold,
        step,
        spread_of([turn.patches / turn.seconds for turn in turns]),
        sum(waits) / sum(turn.seconds for turn in turns),
        percentile(waits, 0.5),
        percentile(waits, 0.99),
        None if None in cpu else sum(used for used in cpu if used) / sum(turn.patches for turn in turns),
        None if None in memory else max(nbytes for nbytes in memory if nbytes),
    )

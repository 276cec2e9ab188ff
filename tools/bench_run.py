"""One benchmark: everything measured in its order, no two things at once."""

import platform
from dataclasses import dataclass
from pathlib import Path

from mixio import native
from mixio.workers import available_memory
from tools.bench_disk import Disk, measure_disk
from tools.bench_limits import Pipe, measure_memory, measure_pipe
from tools.bench_loaders import Loading, measure_loaders
from tools.bench_peers import Peer, measure_peers
from tools.bench_readers import Readers, Reading
from tools.bench_report import Results
from tools.bench_steps import Steps
from tools.bench_system import cores, processor
from tools.bench_verdict import Circumstances
from tools.bench_work import Work, stored_bytes

_MOST = 32
_COPYING = 0.3
"""Of the seconds of a row, for what is copied in memory: it hardly varies."""


@dataclass(frozen=True)
class Plan:
    """What to try, and for how long each; None for `workers` and `threads` is by the number of cores.

    `step` is seconds that a step of the model takes, 0 if that is not known; `need` the patches a second of it.
    """

    workers: tuple[int, ...] | None = None
    threads: tuple[int, ...] | None = None
    seconds: float = 3.0
    step: float = 0.0
    need: float | None = None
    with_peers: bool = False


def run(work: Work, plan: Plan, steps: Steps) -> Results:
    """Measure it all."""
    counts = powers(cores())
    workers = (0, *counts) if plan.workers is None else plan.workers
    threads = counts if plan.threads is None else plan.threads
    left_out: list[str] = []
    weight, rows = work.weigh(), work.rows()
    stored, free = stored_bytes(rows) * len(work.dataset) // len(rows), available_memory()
    disk, pipe = _disk(work, weight.chunk, plan, steps), _pipe(work, max(workers, default=0), plan, steps)
    if pipe is None:
        left_out.append("the pipe between processes was not measured: no worker processes were asked for")
    steps.begin("copying in memory")
    memory = measure_memory(work.dataset.patch_size, seconds=plan.seconds * _COPYING)
    return Results(
        work.store.path,
        work.dataset.patch_size,
        work.batch_size,
        plan.need,
        {"processor": processor(), "cores": cores(), "memory_free": free, "system": platform.system()}
        | {"compiled": native.why_not() is None},
        weight,
        stored,
        stored < free,
        not work.is_local,
        disk,
        memory,
        pipe,
        _reader(work, counts, plan, steps, left_out),
        _loaders(work, workers, threads, plan, steps, left_out),
        _peers(work, plan, steps, left_out),
        left_out,
    )


def circumstances(work: Work) -> Circumstances:
    """What decides the advice besides rates."""
    fast = native.compiled()
    return Circumstances(
        tuple(sorted({row.codec for row in work.rows()})),
        native.why_not(),
        fast is None or fast.unshuffles,
    )


def powers(count: int) -> tuple[int, ...]:
    """1, 2, 4, .. up to `count`, which is the last, and 32 at most.

    >>> powers(6)
    (1, 2, 4, 6)
    """
    most = min(count, _MOST)
    return tuple(sorted({2**n for n in range(most.bit_length())} | {most}))


def _disk(work: Work, chunk: float, plan: Plan, steps: Steps) -> Disk:
    if not work.is_local:
        return Disk("left out: the store is not on this machine")
    steps.begin("the disk, past the page cache")
    return measure_disk([Path(path) for path in work.files()], chunk, seconds=plan.seconds)


def _pipe(work: Work, workers: int, plan: Plan, steps: Steps) -> Pipe | None:
    if not workers:
        return None
    steps.begin(f"a DataLoader without work, {workers} workers")
    size = work.dataset.patch_size
    return measure_pipe(size, batch_size=work.batch_size, workers=workers, seconds=plan.seconds)


def _reader(work: Work, counts: tuple[int, ...], plan: Plan, steps: Steps, left_out: list[str]) -> list[Reading]:
    steps.begin(f"the reader in 1 to {counts[-1]} processes")
    with Readers(work, counts[-1]) as readers:
        rows = readers.warm(list(counts), seconds=plan.seconds)
        steps.begin("the reader, cold")
        cold = readers.cold(seconds=plan.seconds)
    if cold is None:
        why = "this system has no posix_fadvise" if work.is_local else "a store elsewhere has no page cache here"
        left_out.append(f"no cold rows: {why}")
        return rows
    if cold.disk_share is not None and cold.disk_share < 0.5:
        left_out.append(
            f"the cold reader got only {cold.disk_share:.0%} of its bytes from a disk: the page cache was not emptied, "
            "or the file system does not count them"
        )
    return [*rows, cold]


def _loaders(
    work: Work, workers: tuple[int, ...], threads: tuple[int, ...], plan: Plan, steps: Steps, left_out: list[str]
) -> list[Loading]:
    steps.begin(f"loaders with {', '.join(map(str, workers))} workers and {', '.join(map(str, threads))} threads")
    rows = measure_loaders(work, workers, threads, step=plan.step, seconds=plan.seconds)
    kinds = dict.fromkeys(row.kind for row in rows)
    for kind in kinds if work.is_local else ():
        if not any(row.is_cold for row in rows if row.kind == kind):
            left_out.append(f"no {kind} was measured cold: what it prefetches is an eighth of this store or more")
    return rows


def _peers(work: Work, plan: Plan, steps: Steps, left_out: list[str]) -> list[Peer]:
    if not plan.with_peers:
        return []
    steps.begin("other readers of the store")
    peers, why = measure_peers(work, seconds=plan.seconds)
    left_out += why
    return peers

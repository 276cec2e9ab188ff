"""Sources to a store: the one composer of readers, preprocessing, blobs and the manifest.

Each volume is read, oriented, described, encoded and written by a worker process on its own, into a folder that
is renamed into place when it is complete. A source that cannot be trusted goes to `quarantine.jsonl` with its
reason, and the rest goes on. The manifest is written last.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path

from mixio.errors import InvalidArgument, StoreError
from mixio.journal import FOLDER, Journal, locked
from mixio.manifest import NAME as MANIFEST
from mixio.manifest import SCHEMA_VERSION, Row, write_manifest
from mixio.settings import Settings, settings_of
from mixio.sources import Names, Source, read_sources
from mixio.splits import choose_seed, explicit_splits, split_of
from mixio.stores.zarr import write_group
from mixio.writer import Task, write_volume

QUARANTINE = "quarantine.jsonl"


@dataclass(frozen=True)
class Fault:
    """A source that was put in quarantine, and why."""

    source: str
    reason: str


@dataclass
class Summary:
    """What a conversion did; `found` volumes were in the store already."""

    store: str
    converted: int = 0
    found: int = 0
    faults: list[Fault] = field(default_factory=list)
    source_bytes: int = 0
    stored_bytes: int = 0


Progress = Callable[[Summary, int], None]
"""Called after each volume with the summary so far and the number of sources in all."""


def convert(
    sources: str | Path,
    store: str | Path,
    *,
    settings: Settings | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Convert a table or folder of sources into the store; goes on where an interrupted conversion was.

    `settings=None` takes those of the store if it exists, else the defaults. `jobs` worker processes (default: one
    a core). Raises `InvalidArgument` for wrong sources or settings, before anything is written.
    """
    root = Path(store)
    listed = read_sources(Path(sources))
    if jobs is not None and jobs < 1:
        raise InvalidArgument(f"jobs must be at least 1, got {jobs}")
    made_with = settings_of(root, salt=settings.salt if settings else "")
    settled = _settle(root, made_with, settings, listed)
    tasks = _tasks(listed, settled)
    with locked(root):
        if settings_of(root, salt=settled.salt) not in (None, settled):
            raise StoreError(f"{root}: another conversion has made this store meanwhile; run again")
        journal = Journal(root)
        journal.refuse_clashes([task.claim for task in tasks])
        if made_with is None:
            write_group(root, {"mixio": {"schema_version": SCHEMA_VERSION, "settings": settled.recorded()}})
        pending = [task for task in tasks if not journal.finished(task.claim)]
        summary = Summary(str(root), found=len(tasks) - len(pending))
        if any(journal.row(task.source_id) for task in pending):
            (root / MANIFEST).unlink(missing_ok=True)  # it must not describe volumes that are being replaced
        _run(pending, root, journal, summary, jobs=jobs or cpu_count() or 1, progress=progress)
        _finish(root, journal, summary)
    return summary


def _settle(root: Path, made_with: Settings | None, wanted: Settings | None, sources: list[Source]) -> Settings:
    """The settings of the store: decided now, or checked against those it was made with."""
    if made_with is not None:
        if wanted is None:
            return made_with
        if wanted.split_seed is None:
            wanted = replace(wanted, split_seed=made_with.split_seed)
        differing = sorted(name for name, value in asdict(made_with).items() if value != getattr(wanted, name))
        if differing:
            raise StoreError(
                f"{root}: was made with another {', '.join(differing)}; leave that out to add to it, or use a new store"
            )
        return made_with
    settings = wanted or Settings()
    if settings.split_seed is not None:
        return settings
    return replace(settings, split_seed=choose_seed(sources, val_fraction=settings.val_fraction))


def _tasks(sources: list[Source], settings: Settings) -> list[Task]:
    splits = explicit_splits(sources)
    seed = settings.split_seed or 0
    names = Names(settings.salt, settings.keep_names)
    tasks: dict[str, Task] = {}
    for source in sources:
        split = splits.get(source.subject) or split_of(source.subject, seed=seed, val_fraction=settings.val_fraction)
        task = Task(
            source=source,
            key=source.key or names.key(source.name, source.domain),
            subject=names.subject(source.subject),
            source_id=names.source(source.name),
            split=split,
            chunk=settings.chunk,
            settings=settings.identity,
        )
        if task.name in tasks:
            raise InvalidArgument(f"{source.name} and {tasks[task.name].source.name} would both be {task.name}")
        tasks[task.name] = task
    return list(tasks.values())


def _run(
    tasks: list[Task], root: Path, journal: Journal, summary: Summary, *, jobs: int, progress: Progress | None
) -> None:
    total = len(tasks) + summary.found
    for task, future in _as_completed(tasks, root, min(jobs, len(tasks))):
        error = future.exception()
        if error is None:
            row, source_bytes = future.result()
            before = journal.row(row.source)
            journal.add(row, task.claim)
            if before and before.path != row.path:
                shutil.rmtree(root / before.path, ignore_errors=True)
            summary.converted += 1
            summary.source_bytes += source_bytes
            summary.stored_bytes += sum(blob.nbytes for blob in row.blobs)
        elif isinstance(error, BrokenExecutor):
            raise StoreError(
                f"{root}: a worker process was killed, perhaps for want of memory; run again with fewer --jobs, "
                "it goes on where it was"
            ) from error
        elif isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            raise StoreError(f"{root}: cannot be written ({error}); free some space and run again") from error
        else:
            summary.faults.append(Fault(str(task.source.path), _reason(error)))
        if progress:
            progress(summary, total)


def _reason(error: BaseException) -> str:
    return str(error) if type(error).__module__.startswith("mixio") else f"{type(error).__name__}: {error}"


def _as_completed(tasks: Iterable[Task], root: Path, jobs: int) -> Iterator[tuple[Task, Future[tuple[Row, int]]]]:
    """Run tasks in worker processes, a few ahead of what was taken; in this process where there is one job."""
    if jobs < 1:
        return
    queue = iter(tasks)
    with _executor(jobs) as executor:
        running: dict[Future[tuple[Row, int]], Task] = {}
        while True:
            for task in queue:
                running[executor.submit(write_volume, root, task)] = task
                if len(running) >= 2 * jobs:
                    break
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future


def _executor(jobs: int) -> Executor:
    if jobs == 1:
        return ThreadPoolExecutor(1)
    return ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))


def _finish(root: Path, journal: Journal, summary: Summary) -> None:
    rows = journal.rows()
    partial = root / FOLDER / "partial"
    if partial.exists():
        shutil.rmtree(partial)
    lines = [json.dumps(asdict(fault)) for fault in summary.faults]
    quarantine = root / QUARANTINE
    if lines:
        quarantine.write_text("\n".join(lines) + "\n")
    elif quarantine.exists():
        quarantine.unlink()
    if not rows:
        raise StoreError(f"{root}: not one source could be converted; the first fault: {summary.faults[0].reason}")
    for domain in sorted({row.domain for row in rows}):
        write_group(root / domain, {})
    write_manifest(root, rows)

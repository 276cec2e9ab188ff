"""One conversion under way: what is pending, who does it, what came of it.

plan    what is new, changed, lost or torn, by the journal and the stamps of files
work    workers convert what is pending; the journal is told of each as it is answered
finish  tars, quarantine, manifest; what no row speaks of any more goes
"""

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from mixio.errors import InvalidArgument, MixioError, SourceTooLarge, StoreError, WorkerDied
from mixio.journal import Claim, Entry, Journal
from mixio.manifest import remove_manifest, write_manifest
from mixio.packing import Packer
from mixio.quarantine import Fault, entry_of, write_quarantine
from mixio.row import Row
from mixio.settings import Settings
from mixio.stores.lease import Lease
from mixio.stores.storage import Storage
from mixio.stores.tar import is_tar
from mixio.stores.zarr import ROOT, group_bytes
from mixio.tasks import claims_of, may_be_part_of
from mixio.workers import Workers
from mixio.writer import STAGED, Task, Written, mark_of, room_for, write_volumes

logger = logging.getLogger("mixio")


@dataclass
class Summary:
    """What a conversion did: `done` sources were seen to, `found` sources were in the store already.

    `faults` are those of this conversion's sources; the quarantine has `older_faults` too, of sources not listed now.
    """

    store: str
    done: int = 0
    converted: int = 0
    found: int = 0
    faults: list[Fault] = field(default_factory=list)
    older_faults: int = 0
    source_bytes: int = 0
    stored_bytes: int = 0


Progress = Callable[[Summary, int], None]
"""Called after each source with the summary so far and the number of sources in all."""


class Conversion:
    """Plan, work, finish, once each, by whom `lease` says that nobody else is at it."""

    def __init__(
        self, storage: Storage, settings: Settings, workers: Workers, progress: Progress | None, lease: Lease
    ) -> None:
        self._storage, self._settings, self._workers, self._progress = storage, settings, workers, progress
        self._lease = lease
        self._journal = Journal(storage)
        self._packer = Packer(storage, self._journal, settings) if settings.container == "webdataset" else None
        self._told: dict[str, list[dict[str, str]]] = {}
        self._claims: dict[str, Claim] = {}
        self._pending: list[Task] = []
        self._total = 0
        self.summary = Summary(storage.url)

    def plan(self, tasks: list[Task]) -> None:
        """Find out which sources are to be converted; refuses those that would overwrite others."""
        self._total = len(tasks)
        if self._journal.damaged:
            logger.warning("%d lines of the journal were damaged; what they said is done again", self._journal.damaged)
        self._claims = {claim.source: claim for claim in claims_of(tasks, known=self._journal.entry)}
        self._journal.refuse_clashes(list(self._claims.values()))
        self._refuse_parts_of_others({task.name: task for task in tasks})
        entries = self._entries_of(tasks)
        lost = {path for path in {path for entry in entries for path in entry.paths} if self._is_lost(path)}
        torn = {source for source in self._journal.unsettled if self._is_overwritten(source)}
        torn |= {entry.claim.source for entry in entries if lost & set(entry.paths)}
        torn |= self._never_packed({task.source_id for task in tasks})
        self._journal.remove(*sorted(torn))
        self._pending = [task for task in map(self._recognised, tasks) if task is not None]
        self.summary.found = self.summary.done = len(tasks) - len(self._pending)
        if any(self._journal.entry(task.source_id) for task in self._pending):
            remove_manifest(self._storage)  # it must not describe volumes that are being replaced
        pending = {task.source_id for task in self._pending}
        for task in tasks:
            entry = self._journal.entry(task.source_id)
            if entry and task.source_id not in pending:
                self._tell_refused(task, entry.refused)
                self._journal.fail(task.source_id, self._told.get(task.source_id, []))
        if self._packer:
            self._packer.expect(self._pending)

    def _refuse_parts_of_others(self, tasks: dict[str, Task]) -> None:
        for name in self._journal.names():
            whole = may_be_part_of(name, tasks)
            if whole and self._journal.owner_of(name) != whole.source_id:
                raise InvalidArgument(
                    f"{name} is in the store already, and may be a part of {whole.source.name} too; choose another key"
                )

    def _never_packed(self, listed: set[str]) -> set[str]:
        """Sources that are not listed now, whose volumes waited to be packed and are lost."""
        gone = {
            entry.claim.source
            for entry in self._journal.entries()
            if self._packer and entry.claim.source not in listed
            if any(not is_tar(path) and self._is_lost(path) for path in entry.paths)
        }
        if gone:
            logger.warning("%d sources of other tables have lost their volumes; convert those tables again", len(gone))
        return gone

    def _entries_of(self, tasks: Sequence[Task]) -> list[Entry]:
        return [entry for task in tasks if (entry := self._journal.entry(task.source_id))]

    def _is_lost(self, path: str) -> bool:
        """Whether somebody has deleted a volume; only a folder is looked into, a bucket is trusted."""
        root = Path(self._storage.url)
        return root.is_dir() and not (root / path).exists() and not (root / STAGED / path).exists()

    def _recognised(self, task: Task) -> Task | None:
        """The task, with what is known of its source; None if it is finished."""
        entry, claim = self._journal.entry(task.source_id), self._claims[task.source_id]
        if entry is None:
            return task
        is_retold, is_moved = entry.claim.told != claim.told, entry.claim.place != claim.place
        if not is_retold and not is_moved and claim.stamp is not None and entry.claim.stamp == claim.stamp:
            return None
        return replace(task, replaces=True, known=entry.digest, retold=is_retold, moved=is_moved)

    def _is_overwritten(self, source: str) -> bool:
        """Whether a volume of a source was being replaced when its conversion ended, with or without an answer."""
        return self._storage.size(mark_of(source)) is not None

    def _begun(self, tasks: Iterable[Task]) -> Iterator[Task]:
        """The tasks, the journal told of each that may replace something before it goes to a worker."""
        for task in tasks:
            if task.replaces:
                self._storage.delete(mark_of(task.source_id))
                self._journal.begin(task.source_id)
            yield task

    def work(self) -> None:
        """Convert what is pending; volumes too large to share the memory come last, one at a time."""
        large: list[Task] = []
        function = partial(write_volumes, self._storage.url)
        for task, outcome in self._workers.run(function, self._begun(self._pending)):
            if isinstance(outcome, SourceTooLarge | MemoryError) and self._may_fit_alone(task, outcome):
                large.append(replace(task, memory=self._workers.memory))
            else:
                self._take(task, outcome)
        alone = replace(self._workers, jobs=min(1, self._workers.jobs), is_alone=True)
        for task, outcome in alone.run(function, large) if large else ():
            self._take(task, outcome)

    def _may_fit_alone(self, task: Task, refusal: SourceTooLarge | MemoryError) -> bool:
        most = self._workers.memory
        needed = room_for(refusal.needed) if isinstance(refusal, SourceTooLarge) else 0
        return task.memory is not None and task.memory < most and needed <= most

    def _take(self, task: Task, outcome: Written | BaseException) -> None:
        self._lease.check()
        if isinstance(outcome, Written):
            self._add(task, outcome)
        elif isinstance(outcome, StoreError):
            raise StoreError(
                f"{self._storage.url}: cannot be written ({outcome}); mend that and run again"
            ) from outcome
        elif isinstance(outcome, Exception):
            entry = self._journal.entry(task.source_id)
            if entry and (self._is_overwritten(task.source_id) or entry.claim.split != task.split):
                self._journal.remove(task.source_id)  # replaced in part, or of a split that its subject has left
            self._fault(task, _reason(task, outcome))
        else:
            raise outcome
        self._journal.fail(task.source_id, self._told.get(task.source_id, []))
        self.summary.done += 1
        if task.replaces:
            self._storage.delete(mark_of(task.source_id))
        if self._packer:
            self._packer.settle(task)
        if self._progress:
            self._progress(self.summary, self._total)

    def _add(self, task: Task, written: Written) -> None:
        claim = replace(self._claims[task.source_id], stamp=written.stamp)
        if written.is_unchanged:
            self._journal.see(claim)
            self.summary.found += 1
            entry = self._journal.entry(task.source_id)
            self._tell_refused(task, entry.refused if entry else {})
            return
        rows = written.rows
        self._refuse_unseen(rows)
        entry = Entry(claim, written.digest, tuple(r.name for r in rows), tuple(r.path for r in rows), written.refused)
        self._journal.add(entry, rows)
        self._tell_refused(task, written.refused)
        self.summary.converted += len(rows)
        self.summary.source_bytes += written.source_bytes
        self.summary.stored_bytes += sum(blob.nbytes for row in rows for blob in row.blobs)

    def _refuse_unseen(self, rows: Sequence[Row]) -> None:
        """A worker of a cluster may have written where it alone can see it."""
        for row in rows if self._workers.dask else ():
            if self._storage.size(row.blobs[0].path) != row.blobs[0].nbytes:
                raise StoreError(
                    f"{self._storage.url}: what a Dask worker wrote there is not seen here; the store must be at a "
                    "path, or in a bucket, that is the same for all"
                )

    def _tell_refused(self, task: Task, refused: dict[str, str]) -> None:
        for part, reason in refused.items():
            self._fault(task, reason, part=part)

    def _fault(self, task: Task, reason: str, *, part: str = "") -> None:
        place = task.source.url or str(task.source.path)
        item = part or task.source.item
        fault = Fault(f"{place}#{item}" if item else place, reason)
        self._told.setdefault(task.source_id, []).append(entry_of(task, fault))
        self.summary.faults.append(fault)

    def finish(self) -> None:
        """Pack what is left, write quarantine and manifest, and remove what no row speaks of any more."""
        if self._packer:
            self._packer.finish()
        self._lease.check()
        faults = self._journal.faults()
        self.summary.older_faults = sum(fault["id"] not in self._claims for fault in faults)
        write_quarantine(self._storage, faults, self._settings)
        names = self._journal.names()
        if not names:
            first = self.summary.faults[0].reason
            raise StoreError(f"{self._storage.url}: not one source could be converted; the first fault: {first}")
        if self._settings.container == "zarr":
            for domain in sorted({name.partition("/")[0] for name in names}):
                self._storage.write(f"{domain}/{ROOT}", group_bytes({}))
        write_manifest(self._storage, self._journal.rows())
        live = {path for entry in self._journal.entries() for path in entry.paths}
        self._storage.delete(*sorted(self._journal.superseded - live))
        shutil.rmtree(Path(self._storage.url) / STAGED, ignore_errors=True)


def _reason(task: Task, error: Exception) -> str:
    if isinstance(error, MemoryError):
        return (
            f"{task.source.path.name}: needs more memory than it may have; run again with fewer --jobs or more --memory"
        )
    if isinstance(error, SourceTooLarge):
        return f"{error}; run again with fewer --jobs or more --memory"
    if isinstance(error, WorkerDied):
        return f"{task.source.path.name}: {error}; run again with fewer --jobs or more --memory"
    return str(error) if isinstance(error, MixioError) else f"{task.source.path.name}: {type(error).__name__}: {error}"

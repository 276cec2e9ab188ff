"""Volumes into tars, in an order that no interruption changes.

The volumes of a domain are packed in the order of their names, a tar at a time, as soon as every volume before them is
settled; a tar is closed when it has reached the shard size. So what is packed is always the beginning of what an
uninterrupted conversion packs, and going on ends in the same bytes. Volumes that are added later go into tars of
their own; a tar that holds a volume which has since been replaced is packed again without it.
"""

from collections import deque
from collections.abc import Iterable, Iterator

from mixio.journal import Journal
from mixio.row import Blob, Row
from mixio.settings import Settings
from mixio.stores.storage import Storage
from mixio.stores.tar import is_tar, packed_bytes, placed, tar_path, tar_pieces
from mixio.writer import Task

_PIECE = 2**24


class Packer:
    """Packs what is settled; `settle` is called once for every task, however it ended."""

    def __init__(self, storage: Storage, journal: Journal, settings: Settings) -> None:
        self._storage, self._journal, self._settings = storage, journal, settings
        self._numbers = _next_numbers(journal)
        self._waiting: dict[str, deque[tuple[str, str]]] = {}
        self._settled: set[str] = set()
        self._open: dict[str, list[str]] = {}
        self._bytes: dict[str, int] = {}

    def expect(self, tasks: Iterable[Task]) -> None:
        """Say what will be settled; volumes that an interrupted conversion left unpacked are settled already."""
        expected = {task.source_id: task.name for task in tasks}
        for entry in self._journal.entries():
            if any(not is_tar(path) for path in entry.paths) and entry.claim.source not in expected:
                expected[entry.claim.source] = entry.claim.name
                self._settled.add(entry.claim.source)
        for source, name in sorted(expected.items(), key=lambda item: item[1]):
            self._waiting.setdefault(name.partition("/")[0], deque()).append((name, source))
        for domain in self._waiting:
            self._advance(domain)

    def settle(self, task: Task) -> None:
        """Take note that a task is done, or failed."""
        self._settled.add(task.source_id)
        self._advance(task.source.domain)

    def finish(self) -> None:
        """Pack what is left, and again the tars that hold volumes of the past."""
        for domain in sorted(self._open):
            self._close(domain)
        live = {path for entry in self._journal.entries() for path in entry.paths}
        dirty = sorted(path for path in self._journal.superseded & live if is_tar(path))
        kept: dict[str, list[Row]] = {path: [] for path in dirty}
        for name in self._journal.names() if dirty else ():
            row = self._journal.row(name)
            if row.path in kept:
                kept[row.path].append(row)
        for path, rows in kept.items():
            self._pack(path.partition("/")[0], rows)

    def _advance(self, domain: str) -> None:
        waiting = self._waiting[domain]
        while waiting and waiting[0][1] in self._settled:
            _, source = waiting.popleft()
            entry = self._journal.entry(source)
            for name, path in zip(entry.names, entry.paths, strict=True) if entry else ():
                if not is_tar(path):
                    self._add(domain, name)

    def _add(self, domain: str, name: str) -> None:
        self._open.setdefault(domain, []).append(name)
        self._bytes[domain] = self._bytes.get(domain, 0) + packed_bytes(self._journal.row(name))
        if self._bytes[domain] >= self._settings.shard_size:
            self._close(domain)

    def _close(self, domain: str) -> None:
        names, self._open[domain], self._bytes[domain] = self._open[domain], [], 0
        if names:
            self._pack(domain, [self._journal.row(name) for name in names])

    def _pack(self, domain: str, rows: list[Row]) -> None:
        path = tar_path(domain, self._numbers.get(domain, 0))
        self._numbers[domain] = self._numbers.get(domain, 0) + 1
        self._storage.write(path, tar_pieces(rows, self._read))
        self._journal.pack(path, placed(rows, path))
        self._storage.delete(*(blob.path for row in rows for blob in row.blobs if not is_tar(blob.path)))

    def _read(self, blob: Blob) -> Iterator[bytes]:
        end = blob.offset + blob.nbytes
        for start in range(blob.offset, end, _PIECE):
            yield self._storage.read_range(blob.path, start, min(_PIECE, end - start))


def _next_numbers(journal: Journal) -> dict[str, int]:
    paths = {path for entry in journal.entries() for path in entry.paths} | journal.superseded
    numbers: dict[str, int] = {}
    for path in filter(is_tar, paths):
        domain, _, file = path.partition("/")
        numbers[domain] = max(numbers.get(domain, 0), int(file.removesuffix(".tar")) + 1)
    return numbers

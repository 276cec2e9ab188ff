"""What a conversion has finished, so that an interrupted one goes on where it was.

One line of JSON per finished volume, appended and flushed when the volume is in its place. A last line torn by a
crash is ignored, and its volume converted again; so is one whose source or label files changed in size or time,
whose row of the table says something else, or whose shards are gone.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mixio.errors import InvalidArgument, StoreError
from mixio.manifest import Blob, Row, row_from_dict, row_to_dict

FOLDER = ".mixio"


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the store at `root` for one converter; a second one is refused."""
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(f"{root}: another conversion is writing here; wait for it to end") from error
        yield


@dataclass(frozen=True)
class Claim:
    """A volume to be: `stamp` tells whether its source changed (None: a file is missing), `place` where that lies."""

    source: str
    name: str
    subject: str
    split: str
    place: str
    stamp: str | None


class Journal:
    """The finished volumes of the store at `root`, by source name hash."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path = root / FOLDER / "journal.jsonl"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._rows: dict[str, Row] = {}
        self._stamps: dict[str, str] = {}
        self._places: dict[str, str] = {}
        self._drop_torn_line()
        for line in self._path.read_text().splitlines():
            entry = json.loads(line)
            row = row_from_dict(entry["row"])
            self._keep(row, entry["stamp"], entry["place"])

    def _drop_torn_line(self) -> None:
        self._path.touch()
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(self._path, len(whole))

    def _keep(self, row: Row, stamp: str, place: str) -> None:
        self._rows[row.source], self._stamps[row.source], self._places[row.source] = row, stamp, place

    def row(self, source: str) -> Row | None:
        """The volume that this source became, if it was converted."""
        return self._rows.get(source)

    def finished(self, claim: Claim) -> bool:
        """Whether this source was converted, has not changed since, and its shards are there."""
        row = self._rows.get(claim.source)
        return row is not None and self._stamps[claim.source] == claim.stamp and all(map(self._is_there, row.blobs))

    def _is_there(self, blob: Blob) -> bool:
        path = self._root / blob.path
        return path.is_file() and path.stat().st_size == blob.nbytes

    def add(self, row: Row, claim: Claim) -> None:
        """Record a volume that is in its place."""
        with self._path.open("a") as file:
            file.write(json.dumps({"stamp": claim.stamp, "place": claim.place, "row": row_to_dict(row)}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._keep(row, claim.stamp or "", claim.place)

    def rows(self) -> list[Row]:
        """All rows so far, the latest of each source."""
        return list(self._rows.values())

    def refuse_clashes(self, claims: list[Claim]) -> None:
        """Refuse volumes that would take another source's place, or tear a subject apart.

        Sources among the claims may themselves move to another name or split.
        """
        moving = {claim.source for claim in claims}
        owners = {row.name: row.source for row in self._rows.values()}
        splits = {row.subject: row.split for row in self._rows.values() if row.source not in moving}
        for claim in claims:
            if owners.get(claim.name, claim.source) != claim.source:
                raise InvalidArgument(f"{claim.name} is in the store already, from another source; choose another key")
            if splits.get(claim.subject, claim.split) != claim.split:
                raise InvalidArgument(
                    f"{claim.name}: its subject is in the split {splits[claim.subject]!r} of the store, "
                    f"not in {claim.split!r}; a subject's scans belong to one split"
                )
            moved = self._places.get(claim.source, claim.place) != claim.place
            if moved and self._stamps[claim.source] != claim.stamp:
                raise InvalidArgument(
                    f"{claim.name}: its path in the table is that of another file, converted before from another "
                    "folder; make the paths of the two tables differ, or use a new store"
                )


def stamp_of(paths: list[Path], told: str) -> str:
    """What tells that files, and what the table says of them, are as they were: sizes, times, words, hashed."""
    seen = [[status.st_size, status.st_mtime_ns] for status in (path.stat() for path in paths)]
    return hashlib.sha256(json.dumps([seen, told]).encode()).hexdigest()[:32]

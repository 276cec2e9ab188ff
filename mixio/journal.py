"""What a conversion has finished, so that an interrupted one goes on where it was.

One line of JSON per finished source, durable before anything relies on it; another per tar that was packed, and one
before a source that was converted before is converted again. The latest line of a source counts. Only what decides
about going on is kept in memory; rows are read back line by line when the manifest is written.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any

from mixio.errors import InvalidArgument
from mixio.row import Row, row_from_dict, row_to_dict
from mixio.settings import FOLDER
from mixio.stores.log import Position, open_log
from mixio.stores.storage import Storage
from mixio.stores.tar import is_tar
from mixio.stores.zarr import metadata_files

NAME = f"{FOLDER}/journal.jsonl"


@dataclass(frozen=True, slots=True)
class Claim:
    """A source that is to be converted: `told` hashes what the table says of it, `stamp` tells cheaply whether its
    files changed (None: one is missing), `place` where they lie."""

    source: str
    name: str
    subject: str
    split: str
    told: str
    place: str
    stamp: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A finished source: its claim, the checksum of its files, its volumes, and the parts that were refused."""

    claim: Claim
    digest: str
    names: tuple[str, ...]
    paths: tuple[str, ...]
    refused: dict[str, str] = field(default_factory=dict)


class Journal:
    """The finished sources of a store, by the hash of their name."""

    def __init__(self, storage: Storage) -> None:
        self._log = open_log(storage, NAME)
        self._entries: dict[str, Entry] = {}
        self._where: dict[str, tuple[Position, int]] = {}
        self._owners: dict[str, str] = {}
        self.superseded: set[str] = set()
        """Files that held a volume which now lies elsewhere, or nowhere; a tar among them may hold others still."""
        self._faults: dict[str, list[dict[str, str]]] = {}
        self._uncommitted: list[tuple[dict[str, Any], Position]] = []
        self.unsettled: set[str] = set()
        """Sources that were being converted again, of which nothing has been heard: their files may be replaced."""
        self._line = lru_cache(4)(self._decoded)
        for position, line in self._log:
            self._take(json.loads(line), position)
        if self._uncommitted:  # a packing that was cut short: its rows must not be counted with those of the next
            self._append({"void": len(self._uncommitted)})

    def _take(self, line: dict[str, Any], position: Position) -> None:
        if "row" in line:
            self._uncommitted.append((line["row"], position))
            return
        if "claim" in line:
            self._replace(_entry(line))
            for index, row in enumerate(line["rows"]):
                self._where[_name(row)] = position, index
                self.superseded -= files_of_volume(row_from_dict(row)) if self.superseded else set()
        elif "packed" in line:
            self._commit(int(line["packed"]))
        elif "seen" in line:
            self._see(Claim(**line["seen"]))
        elif "begun" in line:
            self.unsettled.add(line["begun"])
        elif "gone" in line:
            self._remove(line["gone"])
        elif "faults" in line:
            self._faults[line["of"]] = line["faults"]
        self._uncommitted.clear()

    def _commit(self, count: int) -> None:
        """Take note that volumes lie in a tar, unless a line of them is missing: then they are packed once more."""
        if len(self._uncommitted) != count:
            self.superseded |= {row["path"] for row, _ in self._uncommitted}
            return
        for row, position in self._uncommitted:
            name = _name(row)
            if self._owners.get(name) != row["source"]:
                self.superseded.add(row["path"])  # the line of its source was damaged: the tar holds one too many
                continue
            self._where[name] = position, 0
            self._move(row["source"], name, row["path"])

    def _see(self, claim: Claim) -> None:
        self.unsettled.discard(claim.source)
        if entry := self._entries.get(claim.source):  # it has none if its line was damaged
            self._entries[claim.source] = replace(entry, claim=claim)

    def _replace(self, entry: Entry) -> None:
        self._remove(entry.claim.source)
        self._entries[entry.claim.source] = entry
        self._owners.update(dict.fromkeys(entry.names, entry.claim.source))

    def _remove(self, source: str) -> None:
        self.unsettled.discard(source)
        before = self._entries.pop(source, None)
        for name in before.names if before else ():
            self.superseded |= files_of_volume(self.row(name))
            self._drop([name])

    def _drop(self, names: Iterable[str]) -> None:
        for name in names:
            self._where.pop(name, None)
            self._owners.pop(name, None)

    def _move(self, source: str, name: str, path: str) -> None:
        entry = self._entries[source]
        paths = tuple(path if known == name else old for known, old in zip(entry.names, entry.paths, strict=True))
        self.superseded |= {old for old in set(entry.paths) - set(paths) if is_tar(old)}
        self._entries[source] = replace(entry, paths=paths)

    @property
    def damaged(self) -> int:
        """Lines that did not match their checksum; their sources are converted again."""
        return self._log.damaged

    def entry(self, source: str) -> Entry | None:
        """What is known of a source that was converted."""
        return self._entries.get(source)

    def entries(self) -> Iterable[Entry]:
        """All finished sources."""
        return self._entries.values()

    def names(self) -> list[str]:
        """All volumes, sorted."""
        return sorted(self._where)

    def row(self, name: str) -> Row:
        """The row of a volume."""
        position, index = self._where[name]
        return row_from_dict(self._line(position)["rows"][index])

    def rows(self) -> Iterator[Row]:
        """All rows, in the order of their names."""
        return map(self.row, self.names())

    def owner_of(self, name: str) -> str | None:
        """The source that a volume came from."""
        return self._owners.get(name)

    def _decoded(self, position: Position) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(self._log.read(position))
        return {"rows": [line["row"]]} if "row" in line else line

    def add(self, entry: Entry, rows: Sequence[Row]) -> None:
        """Record a source whose volumes are written."""
        claim = asdict(entry.claim)
        self._append({"claim": claim, "digest": entry.digest, "refused": entry.refused, "rows": _dicts(rows)})

    def see(self, claim: Claim) -> None:
        """Record that a source is what it was, although its stamp or place changed."""
        self._append({"seen": asdict(claim)})

    def pack(self, rows: Sequence[Row]) -> None:
        """Record that volumes lie in the tar that their rows name; a line each, which the last line makes valid."""
        self._append(*({"row": row} for row in _dicts(rows)), {"packed": len(rows)})

    def fail(self, source: str, faults: list[dict[str, str]]) -> None:
        """Record what is wrong with a source now, or that nothing is."""
        if self._faults.get(source, []) != faults:
            self._append({"of": source, "faults": faults})

    def faults(self) -> list[dict[str, str]]:
        """What is wrong with any source that was ever converted here, as it was told last."""
        return [fault for faults in self._faults.values() for fault in faults]

    def _append(self, *lines: dict[str, Any]) -> None:
        positions = self._log.append([json.dumps(line).encode() for line in lines])
        for line, position in zip(lines, positions, strict=True):
            self._take(line, position)

    def begin(self, source: str) -> None:
        """Record that a source is about to be converted again."""
        self._append({"begun": source})

    def remove(self, *sources: str) -> None:
        """Record that the volumes of these sources are lost, or not to be trusted any more."""
        lines = [{"gone": source} for source in sources]
        if lines:
            self._log.append([json.dumps(line).encode() for line in lines])
        for source in sources:
            self._remove(source)

    def refuse_clashes(self, claims: Sequence[Claim]) -> None:
        """Refuse volumes that would take another source's place, or tear a subject apart.

        Sources among the claims may themselves move to another name or split.
        """
        moving = {claim.source for claim in claims}
        splits = {e.claim.subject: e.claim.split for e in self._entries.values() if e.claim.source not in moving}
        for claim in claims:
            if self._owners.get(claim.name, claim.source) != claim.source:
                raise InvalidArgument(f"{claim.name} is in the store already, from another source; choose another key")
            if splits.get(claim.subject, claim.split) != claim.split:
                raise InvalidArgument(
                    f"{claim.name}: its subject is in the split {splits[claim.subject]!r} of the store, "
                    f"not in {claim.split!r}; a subject's scans belong to one split"
                )


def _entry(line: dict[str, Any]) -> Entry:
    rows = line["rows"]
    names = tuple(map(_name, rows))
    return Entry(Claim(**line["claim"]), line["digest"], names, tuple(row["path"] for row in rows), line["refused"])


def files_of_volume(row: Row) -> set[str]:
    """Every file of the store that holds a part of this volume."""
    if is_tar(row.path):
        return {row.path}
    return {blob.path for blob in row.blobs} | set(metadata_files(row))


def _name(row: dict[str, Any]) -> str:
    return f"{row['domain']}/{row['key']}"


def _dicts(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [row_to_dict(row) for row in rows]

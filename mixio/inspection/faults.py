"""The quarantine of a store, read back and grouped by kind of reason.

A conversion over a hospital's disk may put thousands of files in quarantine for a handful of reasons. Reasons are
of one kind if they differ in file names and numbers alone; a kind names no file. The quarantine is read line by
line and a few examples of each kind are kept, so that its length does not matter.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from mixio.quarantine import NAME
from mixio.stores.storage import Storage

EXAMPLES = 10
"""Sources kept of each kind of reason."""

MAX_KINDS = 200
OTHER = "other reasons"

_NUMBER = re.compile(r"(?<!\w)\d+(\.\d+)?(?!\w)")
_FILE = re.compile(r"^[^:]{1,255}\.\w{1,6}: ")


@dataclass(frozen=True)
class Example:
    """One source in quarantine, and the reason in full."""

    source: str
    reason: str


@dataclass
class Kind:
    """Sources that are in quarantine for the same kind of reason; the first `EXAMPLES` of them by name."""

    reason: str
    count: int = 0
    examples: list[Example] = field(default_factory=list)


@dataclass(frozen=True)
class Quarantine:
    """What is in quarantine: how many sources, by kind of reason, the most frequent first.

    `unreadable` counts lines of the file that are not what the converter writes.
    """

    count: int
    kinds: tuple[Kind, ...]
    unreadable: int


def read_quarantine(storage: Storage) -> Quarantine:
    """The quarantine of a store; empty where it has none."""
    kinds: dict[str, Kind] = {}
    count = unreadable = 0
    try:
        lines = storage.read(NAME).decode("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        lines = []
    for line in filter(str.strip, lines):
        example = _parse(line)
        if example is None:
            unreadable += 1
            continue
        count += 1
        _add(kinds, example)
    for kind in kinds.values():
        if kind.count == 1:
            kind.reason = _without_name(kind.examples[0])
    ordered = sorted(kinds.values(), key=lambda kind: (-kind.count, kind.reason))
    return Quarantine(count, tuple(ordered), unreadable)


def _parse(line: str) -> Example | None:
    try:
        entry: Any = json.loads(line)
        return Example(str(entry["source"]), str(entry["reason"]))
    except (ValueError, TypeError, KeyError):
        return None


def _add(kinds: dict[str, Kind], example: Example) -> None:
    reason = _kind_of(example)
    if reason not in kinds and len(kinds) >= MAX_KINDS:
        reason = OTHER
    kind = kinds.setdefault(reason, Kind(reason))
    kind.count += 1
    kind.examples = sorted([*kind.examples, example], key=lambda e: (e.source, e.reason))[:EXAMPLES]


def _kind_of(example: Example) -> str:
    return _NUMBER.sub("…", _without_name(example))


def _without_name(example: Example) -> str:
    """The reason without the file that it begins with: the source, or one of its label maps."""
    name = re.split(r"[/\\]", example.source)[-1]
    text = example.reason.removeprefix(f"{name}: ")
    return _FILE.sub("", text).replace(name, "…") if name else text

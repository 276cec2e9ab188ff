"""The sources that could not be trusted, and why.

`quarantine.jsonl` of a store has a line for each, with names hashed unless the store keeps names, for a store is made
to be shared. Who converted finds the true names in `.mixio/quarantine.jsonl`, which is not part of the store.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mixio.readers import files_of, stem_of
from mixio.readers.names import IMAGES, PAIRS
from mixio.settings import FOLDER, Settings
from mixio.sources import Source
from mixio.stores.storage import Storage
from mixio.writer import Task

NAME = "quarantine.jsonl"
PRIVATE = f"{FOLDER}/{NAME}"
_TELLING = 3
"""A name of so many letters is taken out wherever it stands as a word."""


@dataclass(frozen=True)
class Fault:
    """A source that was put in quarantine, and why."""

    source: str
    reason: str


def write_quarantine(storage: Storage, faults: Sequence[dict[str, str]], settings: Settings) -> None:
    """Write both lists of what `entry_of` made, sorted by source, or remove them where there is no fault."""
    ordered = sorted(faults, key=lambda fault: (fault["source"], fault["reason"]))
    named = [{"source": fault["source"], "reason": fault["reason"]} for fault in ordered]
    public = named if settings.keep_names else [{"source": f["id"], "reason": f["hashed"]} for f in ordered]
    for name, lines in ((PRIVATE, named), (NAME, public)):
        if lines:
            storage.write(name, "".join(json.dumps(line) + "\n" for line in lines).encode())
        else:
            storage.delete(name)


def entry_of(task: Task, fault: Fault) -> dict[str, str]:
    """A fault as the journal keeps it: with names, and without."""
    return {"source": fault.source, "reason": fault.reason, "id": task.source_id, "hashed": _hashed(task, fault)}


def _hashed(task: Task, fault: Fault) -> str:
    """The reason without the names of its files; a longer name is taken out before one that is part of it."""
    names = sorted(_names_of(task.source), key=len, reverse=True)
    reason = re.sub(rf"^({'|'.join(map(re.escape, names))}): ", "", fault.reason)
    for name in names:
        start = "^" if len(name) < _TELLING else ""  # a folder named 3 is not each 3 of the sentence
        reason = re.sub(rf"{start}(?<![^\W_]){re.escape(name)}(?![^\W_])", lambda _: task.source_id, reason)
    return reason


def _names_of(source: Source) -> set[str]:
    """Whatever a reason may call the source, its label maps and the files they consist of."""
    paths = {path for whole in (source.path, *source.labels.values()) for path in (whole, *_files_of(whole))}
    names = {name for path in paths for name in (str(path), str(path.resolve()), path.name)}
    # The halves of a pair stand for one another, even where one of them is missing.
    names |= {stem_of(path) + suffix for path in paths for suffix in (*PAIRS, *IMAGES)}
    return (names | {source.name, source.subject, source.url or ""}) - {"", ".", "/"}


def _files_of(path: Path) -> list[Path]:
    try:
        return files_of(path)
    except OSError:  # a place that cannot be looked into names no files either
        return []

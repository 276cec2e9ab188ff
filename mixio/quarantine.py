"""The sources that could not be trusted, and why.

`quarantine.jsonl` of a store has a line for each, with names hashed unless the store keeps names, for a store is made
to be shared. Who converted finds the true names in `.mixio/quarantine.jsonl`, which is not part of the store.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mixio.settings import FOLDER, Settings
from mixio.stores.storage import Storage
from mixio.writer import Task

NAME = "quarantine.jsonl"
PRIVATE = f"{FOLDER}/{NAME}"


@dataclass(frozen=True)
class Fault:
    """A source that was put in quarantine, and why."""

    source: str
    reason: str


def write_quarantine(storage: Storage, faults: Sequence[tuple[Task, Fault]], settings: Settings) -> None:
    """Write both lists, sorted by source, or remove them where there is no fault."""
    ordered = sorted(faults, key=lambda item: (item[1].source, item[1].reason))
    named = [asdict(fault) for _, fault in ordered]
    public = named if settings.keep_names else [_hashed(task, fault) for task, fault in ordered]
    for name, lines in ((PRIVATE, named), (NAME, public)):
        if lines:
            storage.write(name, "".join(json.dumps(line) + "\n" for line in lines).encode())
        else:
            storage.delete(name)


def _hashed(task: Task, fault: Fault) -> dict[str, str]:
    """The fault without the names of its files; a longer name is taken out before one that is part of it."""
    source = task.source
    found = {source.name, source.subject, source.url or "", *_names_of(source.path)}
    for path in source.labels.values():
        found |= _names_of(path)
    if source.path.is_dir():
        found |= {name for path in source.path.rglob("*") for name in _names_of(path)}
    names = sorted(found - {"", ".", "/"}, key=len, reverse=True)
    reason = re.sub(rf"^({'|'.join(map(re.escape, names))}): ", "", fault.reason)
    for name in names:
        reason = reason.replace(name, task.source_id)
    return {"source": task.source_id, "reason": reason}


def _names_of(path: Path) -> set[str]:
    return {str(path), path.name}

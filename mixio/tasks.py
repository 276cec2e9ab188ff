"""From sources to tasks: what is decided about a volume before it is opened."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence

from mixio.errors import InvalidArgument
from mixio.journal import Claim
from mixio.originals import stamps_of
from mixio.readers import is_volume
from mixio.settings import Settings
from mixio.sources import Names, Source
from mixio.splits import explicit_splits, split_of
from mixio.stores.tar import RESERVED
from mixio.writer import Task

_PART = re.compile(r"(?P<whole>.+)_(s[0-9a-f]{8}(-t[0-9]{4,})?|t[0-9]{4,})")
"""The key of a frame or series: that of its source, and what tells it from its siblings."""


def tasks_of(sources: Sequence[Source], settings: Settings, *, memory: int | None = None) -> list[Task]:
    """A task per source, sorted by the name its volume will have; raises `InvalidArgument` where two would collide."""
    splits = explicit_splits(sources)
    seed = settings.split_seed or 0
    names = Names(settings.salt, settings.keep_names)
    tasks: dict[str, Task] = {}
    for source in sources:
        split = splits.get(source.subject) or split_of(source.subject, seed=seed, val_fraction=settings.val_fraction)
        key = source.key or names.key(source.name, source.domain)
        task = Task(
            source=source,
            key=_tar_key(source, key) if settings.container == "webdataset" else key,
            subject=names.subject(source.subject),
            source_id=names.source(source.name),
            split=split,
            settings=settings,
            memory=memory,
        )
        if task.name in tasks:
            raise InvalidArgument(
                f"{source.name} and {tasks[task.name].source.name} would both be {task.name}; "
                "give one of them another name in a column key"
            )
        tasks[task.name] = task
    _refuse_names_of_parts(tasks)
    return [tasks[name] for name in sorted(tasks)]


def may_be_part_of(name: str, tasks: dict[str, Task]) -> Task | None:
    """The task, of these by name, that may turn out to hold a frame or series of this name."""
    part = _PART.fullmatch(name)
    whole = tasks.get(part["whole"]) if part else None
    has_parts = whole and (whole.settings.frames == "each" or not is_volume(whole.source.path))
    return whole if has_parts else None


def _refuse_names_of_parts(tasks: dict[str, Task]) -> None:
    """A source that is named as a frame or series of another one could overwrite that."""
    for name, task in tasks.items():
        if whole := may_be_part_of(name, tasks):
            raise InvalidArgument(
                f"{task.source.name} would be {name}, which may be a part of {whole.source.name}; "
                "give one of them another name in a column key"
            )


def _tar_key(source: Source, key: str) -> str:
    """A key as members of a tar may have it: WebDataset splits a member's name at its first dot."""
    if source.key and "." in key:
        raise InvalidArgument(f"key {key!r}: a WebDataset key has no dot; use '_' instead")
    for label, times in Counter(label.lower() for label in source.labels).items():  # WebDataset has no upper case
        if label in RESERVED or "." in label or times > 1:
            raise InvalidArgument(
                f"label {label!r} of {source.name}: a member of a tar cannot have this name; choose another"
            )
    return key.replace(".", "_")


def claims_of(tasks: Sequence[Task], *, known: Callable[[str], object]) -> list[Claim]:
    """What the journal keeps of each task; with the stamp of its files as they are now if the source is `known`."""
    old = [task for task in tasks if known(task.source_id)]
    stamps = dict(zip((task.source_id for task in old), stamps_of([task.source for task in old]), strict=True))
    return [
        Claim(
            task.source_id, task.name, task.subject, task.split, task.told, place_of(task), stamps.get(task.source_id)
        )
        for task in tasks
    ]


def place_of(task: Task) -> str:
    """Where a task's source lies, hashed."""
    place = os.fsencode(task.source.path.resolve()) if task.source.url is None else task.source.url.encode()
    return hashlib.sha256(place).hexdigest()[:16]

"""From sources to tasks: what is decided about a volume before it is opened, and whether names tell too much."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from mixio.errors import InvalidArgument
from mixio.journal import Claim
from mixio.settings import Settings
from mixio.sources import Names, Source
from mixio.splits import explicit_splits, split_of
from mixio.stores.tar import RESERVED
from mixio.writer import Task, stamps_of

_DATE = re.compile(
    r"(?<!\d)((19|20)\d\d[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])|(0[1-9]|[12]\d|3[01])[-_.](0[1-9]|1[0-2])[-_.](19|20)\d\d)(?!\d)"
)
_NAME = re.compile(r"(?<![A-Za-z])[A-Z][a-z]{2,}(\^|[_ ,-]{1,2})[A-Z][a-z]{2,}(?![A-Za-z])|[A-Z]{2,}\^[A-Z]{2,}")


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
            raise InvalidArgument(f"{source.name} and {tasks[task.name].source.name} would both be {task.name}")
        tasks[task.name] = task
    return [tasks[name] for name in sorted(tasks)]


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


def claims_of(tasks: Sequence[Task]) -> list[Claim]:
    """What the journal keeps of each task, with the stamp of its files as they are now."""
    return [
        Claim(task.source_id, task.name, task.subject, task.split, task.told, place_of(task), stamp)
        for task, stamp in zip(tasks, stamps_of([task.source for task in tasks]), strict=True)
    ]


def place_of(task: Task) -> str:
    """Where a task's source lies, hashed."""
    place = os.fsencode(task.source.path.resolve()) if task.source.url is None else task.source.url.encode()
    return hashlib.sha256(place).hexdigest()[:16]


def telling_names(sources: Iterable[Source]) -> Iterator[str]:
    """Paths and subjects, as the table gives them, that look like a person's name or a date."""
    for source in sources:
        for text in dict.fromkeys((source.name, source.subject)):
            if _DATE.search(text) or _NAME.search(text):
                yield text
                break

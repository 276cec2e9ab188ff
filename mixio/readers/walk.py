"""Folders, looked into down to the last: one that cannot be is an error, not a gap.

Links to folders are followed; one that leads back to a folder it lies in is not entered. What is hidden is passed over.
"""

import os
from collections.abc import Iterator
from pathlib import Path


def walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every folder from `folder` on, with the names of its files, both sorted; raises `OSError` naming the folder."""
    known: dict[Path, tuple[int, int]] = {}
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_raised):
        here = Path(place)
        status = here.stat()
        known[here] = status.st_dev, status.st_ino
        if known[here] in (known[above] for above in here.parents if above in known):
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield here, sorted(names)


def files_below(folder: Path) -> list[Path]:
    """Every file at or below `folder`, sorted; raises `OSError` naming a folder that cannot be looked into."""
    return sorted(path for here, names in walk(folder) for path in map(here.joinpath, names) if path.is_file())


def _raised(error: OSError) -> None:
    raise error

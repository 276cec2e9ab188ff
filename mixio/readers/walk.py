"""Folders, looked into down to the last: one that cannot be is an error, not a gap.

Links to folders are followed; one that leads back to where the walk has been is not entered again.
"""

import os
from collections.abc import Iterator
from pathlib import Path


def walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every folder from `folder` on, with the names of its files, both sorted; raises `OSError` naming the folder."""
    walked: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_raised):
        here = Path(place)
        status = here.stat()
        if (status.st_dev, status.st_ino) in walked:
            folders.clear()
            continue
        walked.add((status.st_dev, status.st_ino))
        folders.sort()  # of two ways to a folder always the same one
        yield here, sorted(names)


def files_below(folder: Path) -> list[Path]:
    """Every file at or below `folder`, sorted; raises `OSError` naming a folder that cannot be looked into."""
    return sorted(path for here, names in walk(folder) for path in map(here.joinpath, names) if path.is_file())


def _raised(error: OSError) -> None:
    raise error

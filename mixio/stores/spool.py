"""Temporary folders that outlive no process for long.

Whoever has one holds a lock on it, which the kernel lets go when its holder dies, however that happens; the next to
need one takes away those that nobody holds. So what a killed process leaves is no patient's scan for good.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory

_PREFIX = "mixio-spool-"
_SECONDS = 60


@contextmanager
def spool(folder: Path) -> Iterator[Path]:
    """A temporary folder below `folder`; those of killed processes are taken away first."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _SECONDS:  # a younger one may not be locked yet
                with _locked(left):
                    rmtree(left, ignore_errors=True)
    with (
        TemporaryDirectory(prefix=_PREFIX, dir=folder, ignore_cleanup_errors=True) as temporary,
        _locked(Path(temporary)),
    ):
        yield Path(temporary)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)

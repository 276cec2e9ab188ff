"""What the operating system says of processes and its page cache, and None or False where it does not say."""

import os
import re
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from pathlib import Path

_KB = 1024


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The processor's name."""
    found = re.search(r"model name\s*:\s*(.+)", _read("/proc/cpuinfo") or "")
    return found[1] if found else "unknown processor"


def memory_of(processes: Iterable[int]) -> int | None:
    """Bytes of memory of all these processes together, what they share counted once among its users (PSS)."""
    total = 0
    for process in processes:
        found = re.search(r"^Pss:\s*(\d+)", _read(f"/proc/{process}/smaps_rollup") or "", re.MULTILINE)
        if not found:
            return None
        total += int(found[1]) * _KB
    return total


def cpu_of(processes: Iterable[int]) -> float | None:
    """Seconds of processor time that these processes have used so far, in steps of a hundredth."""
    total = 0
    for process in processes:
        status = _read(f"/proc/{process}/stat")
        if status is None:
            return None
        user, system = status.rpartition(")")[2].split()[11:13]
        total += int(user) + int(system)
    return total / os.sysconf("SC_CLK_TCK")


def fetched() -> int | None:
    """Bytes that this process has had fetched from a disk so far; what came out of the page cache does not count."""
    found = re.search(r"^read_bytes: (\d+)", _read("/proc/self/io") or "", re.MULTILINE)
    return int(found[1]) if found else None


def drop(files: Iterable[Path]) -> bool:
    """Ask the system to forget the content of files; needs no root, and is a request. Whether it could be asked."""
    if not hasattr(os, "posix_fadvise"):
        return False
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            with suppress(OSError):  # what is not yet written would stay; some file systems do not flush readers' files
                os.fdatasync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
    return True


@contextmanager
def deaf_children() -> Iterator[None]:
    """Processes started meanwhile do not hear ctrl-C: this one does, and ends them without a traceback of each."""
    resource_tracker.ensure_running()  # which would unblock it when the first process starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # children inherit it; here it comes later
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text()
    except OSError:
        return None

"""What a process and all its descendants have used: processor time and memory, as Linux tells.

Memory is the proportional set size (PSS), in which pages shared by several processes count once. `own` is its part that
is no map of a file: what the system cannot take back. The rest are libraries, and pages of the file cache that happen
to be mapped, which a contestant with memory maps shows and one that calls read() does not.
"""

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Memory:
    """Bytes of a tree of processes."""

    pss: int
    own: int


def tree(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for parent in found:  # grows while it is walked
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in _text(task).split()]
    return found


def cpu_seconds(pid: int) -> float:
    """Processor time of a tree, of its ended and waited-for descendants too; to 1/100 s."""
    ticks = 0
    for member in tree(pid):
        fields = _text(Path(f"/proc/{member}/stat")).rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))  # utime, stime, and those of children that have ended
    return ticks / _TICK


def memory(pid: int) -> Memory:
    """What a tree holds now."""
    pss = own = 0
    for member in tree(pid):
        lines = _text(Path(f"/proc/{member}/smaps_rollup")).splitlines()
        kilobytes = {line.split()[0]: int(line.split()[1]) for line in lines[1:]}
        pss += kilobytes.get("Pss:", 0) * 1024
        own += (kilobytes.get("Pss_Anon:", 0) + kilobytes.get("Pss_Shmem:", 0)) * 1024
    return Memory(pss, own)


def leave() -> NoReturn:
    """End this process at once, with whatever it has started."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would raise for workers that die
    for child in reversed(tree(os.getpid())[1:]):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            if "resource_tracker" not in Path(f"/proc/{child}/cmdline").read_text():  # it frees shared memory
                os.kill(child, signal.SIGKILL)
    os._exit(0)


def _text(path: Path) -> str:
    """A file of /proc; empty if the process has ended meanwhile."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""

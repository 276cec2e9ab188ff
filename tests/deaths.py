"""What a task can do to its worker; light to import, for each worker does."""

import ctypes
import os
import signal
import time
from pathlib import Path

from mixio.errors import SourceError
from mixio.writer import Task, Written, write_volumes


def square_or_die(number: int) -> int:
    """The square; some numbers are the end of the process."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 5:
        ctypes.string_at(0)
    if number == 7:
        os._exit(0)
    return number**2


def allocate(nbytes: int) -> int:
    """Take that much memory for a moment."""
    return len(bytearray(nbytes))


def own_pid(_: int) -> int:
    """Which process it is."""
    return os.getpid()


class Unpicklable(Exception):
    """One that pickles and cannot be made again."""

    def __init__(self, one: int, another: int) -> None:
        super().__init__(f"{one} {another}")


def raise_what_cannot_return(number: int) -> int:
    """An error that does not survive the way back."""
    if number == 1:
        raise Unpicklable(1, 2)
    return number


def refuse_odd_numbers(number: int) -> int:
    """The number, if it is even."""
    if number % 2:
        raise SourceError("it is odd")
    return number


def end_quietly(*_: object) -> None:
    """An initializer that ends its process."""
    os._exit(1)


def touch_or_last(path: str) -> None:
    """Return if the file is there; else write the process into it, and last for longer than a test."""
    if not Path(path).exists():
        Path(path).write_text(str(os.getpid()))
        signal.pause()


def die_while_writing(store: str, task: Task) -> Written:
    """Put the first shard of a volume that replaces one in its place, then end."""
    put = os.replace

    def put_and_die(source: str, target: str) -> None:
        put(source, target)
        if "/c/" in str(target):
            os._exit(1)

    if task.replaces:
        os.replace = put_and_die
    return write_volumes(store, task)


def overlapping(folder: str, task: int) -> int:
    """How many other tasks are at work meanwhile, by the files that they leave in the folder."""
    mine = Path(folder) / str(task)
    mine.touch()
    time.sleep(0.1)
    others = len(list(Path(folder).iterdir())) - 1
    mine.unlink()
    return others

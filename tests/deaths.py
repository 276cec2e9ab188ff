"""What a task can do to its worker; light to import, for each worker does."""

import ctypes
import os
import signal
from pathlib import Path

from mixio.stores.local import LocalStorage
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


def end_quietly(*_: object) -> None:
    """An initializer that ends its process."""
    os._exit(1)


def touch_or_last(path: str) -> None:
    """Return if the file is there; else write the process into it, and last for longer than a test."""
    if not Path(path).exists():
        Path(path).write_text(str(os.getpid()))
        signal.pause()


def die_while_writing(store: str, task: Task) -> Written:
    """Write the first file of a volume that replaces one, then end."""
    if task.replaces:
        write = LocalStorage.write

        def write_and_die(self: LocalStorage, name: str, pieces: bytes) -> None:
            write(self, name, pieces)
            if "/c/" in name:
                os._exit(1)

        LocalStorage.write = write_and_die  # type: ignore[method-assign]
    return write_volumes(store, task)

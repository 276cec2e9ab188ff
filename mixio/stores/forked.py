"""Requests of a forked child, done by a helper process that shares no threads with its parent.

The helper is a fresh Python, started at the child's first request and ended when the child ends: its standard input
closes. Requests and answers are pickles with their length before them, between a process and its own helper only. They
are numbered, and the helper works at many at once: threads of the child do not wait for each other.
"""

import os
import pickle
import struct
import subprocess
import sys
import threading
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from typing import IO, Any

from mixio.errors import StoreError

AT_ONCE = 32
"""Requests that the helper works at side by side."""

_LENGTH = struct.Struct("<Q")


class _Helper:
    """A helper process, and who waits for which of its answers."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", "from mixio.stores.forked import serve; serve()"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self._lock, self._numbers = threading.Lock(), count()
        self._waiting: dict[int, Future[Any]] = {}
        self._is_dead = False
        threading.Thread(target=self._listen, name="mixio-forked", daemon=True).start()

    @property
    def dead(self) -> bool:
        """Whether nothing more comes of it."""
        return self._is_dead or self._process.poll() is not None

    def ask(self, request: tuple[Any, ...]) -> Future[Any]:
        """Send a request; the future gets its answer, or an `EOFError` if the helper dies first."""
        future: Future[Any] = Future()
        with self._lock:
            number = next(self._numbers)
            self._waiting[number] = future
            try:
                assert self._process.stdin is not None
                if self._is_dead:
                    raise EOFError
                _send(self._process.stdin, (number, request))
            except (OSError, EOFError) as error:
                self._is_dead = True
                del self._waiting[number]
                future.set_exception(EOFError(str(error)))
        return future

    def _listen(self) -> None:
        assert self._process.stdout is not None
        try:
            while True:
                number, good, answer = _receive(self._process.stdout)
                with self._lock:
                    future = self._waiting.pop(number)
                if good:
                    future.set_result(answer)
                else:
                    future.set_exception(answer)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            with self._lock:
                self._is_dead, left = True, list(self._waiting.values())
                self._waiting.clear()
            self._process.kill()
            self._process.wait()
            for future in left:
                future.set_exception(EOFError(str(error)))


_helper: _Helper | None = None
_lock = threading.Lock()


def ask(*request: Any) -> Any:
    """What `objects.perform` answers to this request, in the helper of this process; its errors are raised here."""
    global _helper
    with _lock:
        if _helper is None or _helper.dead:
            _helper = _Helper()
        future = _helper.ask(request)
    try:
        return future.result()
    except EOFError as error:
        raise StoreError(f"{request[0]}: the helper process of a forked worker died; start workers by spawn") from error


def serve() -> None:
    """Answer requests from standard input until it closes."""
    answers, lock = os.fdopen(os.dup(1), "wb"), threading.Lock()
    os.dup2(2, 1)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while True:
            try:
                number, request = _receive(sys.stdin.buffer)
            except EOFError:
                os._exit(0)  # whoever asked is gone, nobody waits for what is under way
            pool.submit(_answer, number, request, answers, lock)


def _answer(number: int, request: tuple[Any, ...], answers: IO[bytes], lock: threading.Lock) -> None:
    from mixio.stores.objects import perform

    try:
        try:
            answer = (number, True, perform(*request))
        except (StoreError, ImportError, OSError, ValueError) as error:
            answer = (number, False, error)
        with lock:
            _send(answers, answer)
    except BaseException:  # an error that nobody foresaw must end the helper, else the child waits for ever
        traceback.print_exc()
        os._exit(1)


def _send(pipe: IO[bytes], value: Any) -> None:
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    pipe.write(_LENGTH.pack(len(data)))
    pipe.write(data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> Any:
    header = pipe.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        raise EOFError
    length = _LENGTH.unpack(header)[0]
    data = pipe.read(length)
    if len(data) < length:  # its writer died within
        raise EOFError
    return pickle.loads(data)


def _forget() -> None:
    global _helper, _lock
    _helper, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)

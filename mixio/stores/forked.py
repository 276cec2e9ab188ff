"""Requests of a forked child, done by a helper process that shares no threads with its parent.

The helper is a fresh Python, started at the child's first request and ended when the child ends: its standard input
closes. Requests and answers are pickles with their length before them, between a process and its own helper only.
"""

import os
import pickle
import struct
import subprocess
import sys
import threading
from typing import IO, Any

from mixio.errors import StoreError

_LENGTH = struct.Struct("<Q")
_helper: subprocess.Popen[bytes] | None = None
_lock = threading.Lock()


def ask(*request: Any) -> Any:
    """What `objects.perform` answers to this request, in the helper of this process; its errors are raised here."""
    global _helper
    with _lock:
        if _helper is None:
            command = [sys.executable, "-c", "from mixio.stores.forked import serve; serve()"]
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            _helper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        assert _helper.stdin is not None
        assert _helper.stdout is not None
        try:
            _send(_helper.stdin, request)
            good, answer = _receive(_helper.stdout)
        except (OSError, EOFError) as error:
            _helper = None
            raise StoreError(
                f"{request[0]}: the helper process of a forked worker died; start workers by spawn"
            ) from error
    if not good:
        raise answer
    return answer


def serve() -> None:
    """Answer requests from standard input until it closes."""
    from mixio.stores.objects import perform

    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while True:
        try:
            request = _receive(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = (True, perform(*request))
        except (StoreError, ImportError, OSError, ValueError) as error:
            answer = (False, error)
        _send(answers, answer)


def _send(pipe: IO[bytes], value: Any) -> None:
    data = pickle.dumps(value)
    pipe.write(_LENGTH.pack(len(data)))
    pipe.write(data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> Any:
    header = pipe.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        raise EOFError
    return pickle.loads(pipe.read(_LENGTH.unpack(header)[0]))


def _forget() -> None:
    global _helper, _lock
    _helper, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)

"""Waiting for servers, open for signals; and helpers that die."""

import os
import signal
import subprocess
import sys
import time

import pytest

from mixio.errors import StoreError
from mixio.stores import forked
from mixio.stores.objects import ObjectStorage
from tests.servers import forked as in_a_fork
from tests.servers import free_port, s3, s3_log, s3_server  # noqa: F401

WAITS = """
import sys, mixio
print("begun", flush=True)
mixio.open_store(sys.argv[1])
"""


def test_ctrl_c_ends_waiting_for_a_server_that_is_not_there() -> None:
    command = [sys.executable, "-c", WAITS, f"http://127.0.0.1:{free_port()}/store"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "begun\n"
        time.sleep(1.5)
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=30)
    assert "KeyboardInterrupt" in said
    assert program.returncode == -signal.SIGINT


def dies_while_it_answers(place: str) -> None:
    """In a forked child: its helper is killed within an answer, and another one is started for the next request."""
    storage = ObjectStorage(place)
    assert storage.read("small") == b"x"
    helper = forked._helper
    assert helper is not None
    process = helper._process
    os.kill(process.pid, signal.SIGSTOP)
    future = helper.ask((place, "read", "small"))
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(EOFError):
        future.result(timeout=10)
    assert storage.read("small") == b"x"


def test_a_helper_that_dies_fails_who_waits_and_is_replaced(s3: str) -> None:  # noqa: F811
    place = f"{s3}/helper-{os.getpid()}"
    ObjectStorage(place).write("small", b"x")
    assert in_a_fork(lambda: dies_while_it_answers(place)) == 0


def test_an_answer_cut_short_is_the_end_of_the_helper() -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as pipe:
        os.write(write, forked._LENGTH.pack(100) + b"half")
        os.close(write)
        with pytest.raises(EOFError):
            forked._receive(pipe)


def test_a_missing_object_is_told_through_the_thread_that_waits(s3: str) -> None:  # noqa: F811
    with pytest.raises(FileNotFoundError, match="no such object"):
        ObjectStorage(f"{s3}/nothing").read("here")
    with pytest.raises(StoreError, match="there is no such bucket|refused|check the network"):
        ObjectStorage("s3://no-such-bucket-here/x").write("a", b"b")

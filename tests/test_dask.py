"""A Dask cluster of real processes: the same bytes, no volume lost with a worker, one line for what is wrong."""

import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from click.testing import CliRunner

from mixio.cli import main
from mixio.conversion import Summary
from mixio.convert import convert
from mixio.dask import on_dask
from mixio.errors import PartsRefused, SourceError, SourceTooLarge, StoreError, WorkerDied
from mixio.settings import Settings
from mixio.store import open_store
from tests import deaths
from tests.conftest import write_nifti
from tests.crashes import files_of, write_few, write_many

pytest.importorskip("distributed")
ROOT = Path(__file__).parents[1]
FRAMES = Settings(frames="each")


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


@contextmanager
def running(*words: object, said: str) -> Iterator[subprocess.Popen[str]]:
    """A process of `dask`, once it has said so; ended at last, its nanny's child with it."""
    command = [sys.executable, "-m", "dask", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    options = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True, "env": environment}
    with subprocess.Popen(command, start_new_session=True, **options) as process:
        try:
            while said not in process.stderr.readline():
                assert process.poll() is None
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def cluster(workers: int = 2, *, nanny: bool = False) -> Iterator[tuple[str, list[subprocess.Popen[str]]]]:
    """A scheduler and workers of one thread each: its address, and the processes."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    with ExitStack() as stack:
        scratch = stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True))
        start = ("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")
        scheduler = stack.enter_context(running(*start, said="Scheduler at"))
        flags = ("--nthreads", 1, "--no-dashboard", "--nanny" if nanny else "--no-nanny", "--local-directory", scratch)
        started = [
            stack.enter_context(running("worker", address, *flags, said="Registered to")) for _ in range(workers)
        ]
        yield address, [scheduler, *started]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with cluster() as (found, _):
        yield found


@pytest.mark.slow
def test_a_cluster_writes_the_same_bytes_and_quarantines_the_same_sources(address: str, tmp_path: Path) -> None:
    table = write_few(tmp_path / "in")
    there = convert(table, tmp_path / "there", dask=address)
    here = convert(table, tmp_path / "here", jobs=0)
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")
    assert there.converted == here.converted == 3
    assert sorted(fault.reason for fault in there.faults) == sorted(fault.reason for fault in here.faults)
    assert convert(table, tmp_path / "there", dask=address).found == 3


@pytest.mark.slow
def test_relative_paths_are_those_of_the_converter(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_nifti(tmp_path / "in" / "ct" / "a.nii", np.ones((3, 3, 3), np.int16))
    monkeypatch.chdir(tmp_path)
    assert convert("in", "store", dask=address).converted == 1
    assert open_store(tmp_path / "store").read(open_store("store").names()[0]).voxels.sum() == 27


def test_an_error_of_a_task_is_its_outcome_and_the_rest_goes_on(address: str) -> None:
    outcomes = dict(on_dask(deaths.refuse_odd_numbers, range(40), address=address, jobs=1))
    assert sorted(outcomes) == list(range(40))
    assert [outcomes[n] for n in range(0, 40, 2)] == list(range(0, 40, 2))
    assert {(type(outcomes[n]), str(outcomes[n])) for n in range(1, 40, 2)} == {(SourceError, "it is odd")}


@pytest.mark.slow
def test_a_worker_killed_midway_loses_nothing(tmp_path: Path) -> None:
    table = write_many(tmp_path / "in")
    with cluster() as (address, (_, worker, _)):

        def kill(so_far: Summary, _: int) -> None:
            if so_far.converted == 20:
                os.killpg(worker.pid, signal.SIGKILL)

        killed = convert(table, tmp_path / "killed", dask=address, settings=FRAMES, progress=kill)
        assert worker.wait(5) == -signal.SIGKILL
    assert (killed.converted, len(killed.faults)) == (62, 2)
    convert(table, tmp_path / "whole", jobs=0, settings=FRAMES)
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")


@pytest.mark.slow
def test_a_task_that_kills_its_workers_is_given_up_alone() -> None:
    with cluster(nanny=True) as (address, _):
        outcomes = dict(on_dask(deaths.square_or_die, [1, 2, 3, 4], address=address, jobs=1))
    assert isinstance(outcomes.pop(3), WorkerDied)
    assert outcomes == {1: 1, 2: 4, 4: 16}


@pytest.mark.slow
def test_a_scheduler_that_goes_away_is_one_clear_line() -> None:
    with cluster(1) as (address, processes):
        outcomes = on_dask(deaths.refuse_odd_numbers, range(0, 10**6, 2), address=address, jobs=1)
        next(outcomes)
        os.killpg(processes[0].pid, signal.SIGKILL)
        with pytest.raises(StoreError, match="the Dask scheduler has gone; start one and run again"):
            list(outcomes)


@pytest.mark.slow
def test_a_local_cluster_from_the_command_line(tmp_path: Path) -> None:
    table = write_few(tmp_path / "in")
    command = [sys.executable, "-m", "mixio", "convert", table, tmp_path / "there", "--dask", "local", "--jobs", "2"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.splitlines()[0].split(" (")[0]) == (1, "3 volumes converted")
    assert "Traceback" not in done.stderr
    convert(table, tmp_path / "here", jobs=0)
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")


@pytest.mark.parametrize("wrong", ["nonsense", "ftp://127.0.0.1:1", "tcp://127.0.0.1:{port}"])
def test_a_wrong_address_is_one_line_that_says_so(wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixio.dask._PATIENCE", "300ms")
    wrong = wrong.format(port=free_port())
    words = ["convert", write_few(tmp_path / "in"), tmp_path / "store", "--dask", wrong]
    result = CliRunner().invoke(main, list(map(str, words)))
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.exit_code == 2
    assert line.startswith(f"error: {wrong}: no Dask scheduler answers there")
    assert line.endswith("start one, or use --dask local")


def test_no_tasks_need_no_cluster() -> None:
    assert list(on_dask(abs, [], address="nonsense", jobs=1)) == []


@pytest.mark.parametrize(
    "error",
    [
        PartsRefused("two were refused", reasons={"a": "bad", "b": "worse"}),
        SourceTooLarge("too large", needed=77),
        WorkerDied("it died"),
        SourceError("x.nii: is none"),
        StoreError("full"),
    ],
)
def test_errors_come_back_from_another_process_as_they_were(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_large_tasks_are_there_one_at_a_time(address: str, tmp_path: Path) -> None:
    work = partial(deaths.overlapping, str(tmp_path))
    outcomes = list(on_dask(work, range(4), address=address, jobs=0, ahead=1))
    assert [task for task, _ in outcomes] == [0, 1, 2, 3]
    assert [others for _, others in outcomes] == [0, 0, 0, 0]

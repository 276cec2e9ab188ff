"""Workers: a death costs one task, memory has an end, and nobody is left at work."""

import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from mixio.convert import convert
from mixio.errors import InvalidArgument, WorkerDied
from mixio.settings import Settings
from mixio.store import open_store
from mixio.verify import Damage, verify
from mixio.workers import Workers, _Process, available_memory, here, in_processes, parse_bytes
from tests import deaths
from tests.conftest import write_nifti

GIB = 2**30


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_worker_that_is_killed_crashes_or_exits_costs_its_one_task(jobs: int) -> None:
    outcomes = dict(in_processes(deaths.square_or_die, range(9), Workers(jobs, GIB)))
    died = {number for number, outcome in outcomes.items() if isinstance(outcome, WorkerDied)}
    assert died == {3, 5, 7}
    assert {n: squared for n, squared in outcomes.items() if n not in died} == {0: 0, 1: 1, 2: 4, 4: 16, 6: 36, 8: 64}


def test_every_task_comes_back_once_with_its_outcome() -> None:
    outcomes = list(in_processes(pow_of_two, range(20), Workers(2, GIB)))
    assert sorted(outcomes) == [(n, 2**n) for n in range(20)]
    assert list(in_processes(pow_of_two, [], Workers(2, GIB))) == []


def pow_of_two(number: int) -> int:
    return 1 << number


def test_a_worker_that_dies_while_it_has_no_task_costs_none() -> None:
    process, pids = _Process(GIB), []
    for number in range(3):
        pids.append(process.submit(deaths.own_pid, number).result())
        worker = psutil.Process(pids[-1])
        worker.kill()
        psutil.wait_procs([worker], timeout=10)
        time.sleep(0.1)  # until the executor has noticed
    process.close()
    assert len(set(pids)) == 3


def test_an_error_that_cannot_be_sent_back_costs_its_one_task() -> None:
    outcomes = dict(in_processes(deaths.raise_what_cannot_return, range(3), Workers(1, GIB)))
    assert isinstance(outcomes.pop(1), WorkerDied)
    assert outcomes == {0: 0, 2: 2}


def test_workers_that_never_start_are_the_end_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixio.workers._begin", deaths.end_quietly)
    with pytest.raises(WorkerDied, match="3 worker processes in turn died as they started; a script that converts"):
        list(in_processes(pow_of_two, range(3), Workers(1, GIB)))


def test_whoever_stops_asking_leaves_no_worker_at_work(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    tasks = [str(tmp_path / "a"), str(tmp_path / "b")]
    outcomes = in_processes(deaths.touch_or_last, tasks, Workers(2, GIB))
    next(outcomes)
    while not (tmp_path / "b").exists() or not (tmp_path / "b").read_text():
        time.sleep(0.01)
    outcomes.close()
    assert not psutil.pid_exists(int((tmp_path / "b").read_text()))


def test_memory_ends_in_a_memory_error_and_not_in_a_killed_machine() -> None:
    outcomes = dict(in_processes(deaths.allocate, [2**20, 3 * GIB, 2**21], Workers(1, GIB)))
    assert isinstance(outcomes.pop(3 * GIB), MemoryError)
    assert outcomes == {2**20: 2**20, 2**21: 2**21}


def test_in_this_process_errors_are_handed_over_too() -> None:
    (_, error), (_, inverse) = here(one_over, [0, 2])
    assert isinstance(error, ZeroDivisionError)
    assert inverse == 0.5


def one_over(number: int) -> float:
    return 1 / number


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [("512M", 512 * 2**20), ("16GB", 16 * GIB), ("1GiB", GIB), ("1.5k", 1536), ("77", 77), (" 2 tb ", 2 * 2**40)],
)
def test_bytes_as_people_write_them(text: str, nbytes: int) -> None:
    assert parse_bytes(text) == nbytes


@pytest.mark.parametrize("text", ["", "GB", "much", "-1G", "0", "nan", "inf", "1e30", "1XB", "5 5"])
def test_what_is_no_number_of_bytes(text: str) -> None:
    with pytest.raises(InvalidArgument, match="expected a number of bytes such as 512M or 16GB, got"):
        parse_bytes(text)


def test_available_memory_is_four_fifths_of_what_psutil_finds_or_less_in_a_control_group() -> None:
    free = psutil.virtual_memory().available
    assert 0 < available_memory() <= 0.8 * free * 1.1
    limit = Path("/sys/fs/cgroup/memory.max")
    if not (limit.exists() and limit.read_text().strip().isdecimal()):
        assert available_memory() == pytest.approx(0.8 * free, rel=0.1)


def sizes(folder: Path, *edges: int) -> Path:
    for edge in edges:
        write_nifti(folder / "ct" / f"{edge}.nii", np.ones((edge, edge, edge), np.int16))
    return folder


def test_a_volume_larger_than_the_memory_is_set_aside_with_the_way_out(tmp_path: Path) -> None:
    summary = convert(sizes(tmp_path / "in", 10, 100), tmp_path / "store", memory=2**20, jobs=2)
    (fault,) = summary.faults
    assert (summary.converted, Path(fault.source).name) == (1, "100.nii")
    assert "run again with fewer --jobs or more --memory" in fault.reason
    assert convert(tmp_path / "in", tmp_path / "store", memory=GIB, jobs=0).faults == []


def test_a_volume_that_fits_alone_is_converted_alone_at_the_end(tmp_path: Path) -> None:
    table, order = sizes(tmp_path / "in", 100, 101, 12, 13), []
    settings = Settings(keep_names=True)
    summary = convert(
        table,
        tmp_path / "store",
        memory=11 * 10**6,
        jobs=2,
        settings=settings,
        progress=lambda so_far, _: order.append(so_far.converted),
    )
    assert (summary.converted, summary.faults, order) == (4, [], [1, 2, 3, 4])
    journal = (tmp_path / "store" / ".mixio" / "journal.jsonl").read_text()
    assert max(journal.index('"ct/12"'), journal.index('"ct/13"')) < min(
        journal.index('"ct/100"'), journal.index('"ct/101"')
    )


def test_a_worker_that_dies_as_it_replaces_a_volume_leaves_no_half_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(keep_names=True)
    convert(sizes(tmp_path / "in", 10, 11), tmp_path / "store", jobs=0, settings=settings)
    write_nifti(tmp_path / "in" / "ct" / "10.nii", np.full((10, 10, 10), 7, np.int16))
    monkeypatch.setattr("mixio.conversion.write_volumes", deaths.die_while_writing)
    assert len(convert(tmp_path / "in", tmp_path / "store", jobs=1).faults) == 1
    store = open_store(tmp_path / "store")
    assert store.names() == ["ct/11"]
    assert [step for step in verify(store) if isinstance(step, Damage)] == []
    assert not (tmp_path / "store" / "ct" / "10").exists()


def test_a_negative_number_of_jobs_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="jobs must be at least 1, or 0 to work in this process, got -2"):
        Workers(-2, GIB)

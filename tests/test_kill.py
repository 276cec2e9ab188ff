"""A conversion that is cut short, anywhere, ends in the bytes of one that was not."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import psutil
import pytest

from mixio.convert import Summary, convert
from mixio.settings import CONTAINERS, Settings
from mixio.store import open_store
from mixio.verify import Damage, verify
from mixio.writer import Task, Written, write_volumes
from tests.conftest import write_nifti
from tests.crashes import ENDED, cut_at, files_of, folder_in_memory, write_few, write_many

FEW = {name: Settings(container=name, frames="each", chunk=8, shard_size=4096, split_seed=1) for name in CONTAINERS}
FLAGS = "--jobs 2 --frames each --chunk 16 --split-seed 1 --shard-size 80K".split()
MANY = {
    name: Settings(container=name, frames="each", chunk=16, split_seed=1, shard_size=80 * 2**10) for name in CONTAINERS
}
SOURCES, BAD = 60, 2


@pytest.fixture
def folder() -> Iterator[Path]:
    with folder_in_memory() as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("container", CONTAINERS)
def test_cut_at_each_moment_of_a_first_conversion(container: str, folder: Path) -> None:
    table, settings = write_few(folder / "in"), FEW[container]
    convert(table, folder / "whole", settings=settings, jobs=0)
    moments = check_each_moment(partial(convert, table, settings=settings, jobs=0), folder)
    assert moments > 100


@pytest.mark.slow
@pytest.mark.parametrize("container", CONTAINERS)
def test_cut_at_each_moment_of_a_second_conversion_that_replaces_adds_mends_and_restores(
    container: str, folder: Path
) -> None:
    table, settings = write_few(folder / "in"), FEW[container]
    convert(table, folder / "before", settings=settings, jobs=0)
    change(table, folder / "before")
    shutil.copytree(folder / "before", folder / "whole")
    convert(table, folder / "whole", settings=settings, jobs=0)
    moments = check_each_moment(partial(convert, table, settings=settings, jobs=0), folder)
    assert moments > 150


def change(table: Path, store: Path) -> None:
    """Another image and label map, another number of frames, a mended file, one more; and a volume is lost."""
    rng = np.random.default_rng(1)
    shapes = {"ct/a": (17, 8, 7), "labels/a": (17, 8, 7), "mr/c": (6, 6, 5, 3), "mr/bad": (6, 6, 5), "ct/e": (9, 9, 2)}
    for name, shape in shapes.items():
        write_nifti(table.parent / f"{name}.nii", rng.integers(0, 200, shape).astype(np.int16))
    table.write_text(table.read_text() + "\nct/e.nii,ct,")
    lost = sorted(path for path in (store / "mr").iterdir() if path.name != "zarr.json")[-1]
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()


def check_each_moment(run: Callable[[Path], Summary], folder: Path) -> int:
    """Cut `run` at each moment on a copy of `before`, finish it, and compare with `whole`; the number of moments."""
    whole, cut = files_of(folder / "whole"), folder / "cut"
    for moment in count():
        shutil.rmtree(cut, ignore_errors=True)
        if (folder / "before").exists():
            shutil.copytree(folder / "before", cut)
        code = cut_at(moment, partial(run, cut), cut)
        assert code in (0, ENDED)
        finished = sources_in(cut)
        summary = run(cut)
        assert files_of(cut) == whole, f"cut at moment {moment}"
        assert summary.found == len(finished) or (folder / "before").exists()
        if code == 0:
            return moment
    raise AssertionError


def sources_in(store: Path) -> Counter[str]:
    """How many times each source was finished, by the journal."""
    journal = store / ".mixio" / "journal.jsonl"
    lines = [line[9:] for line in journal.read_bytes().splitlines()] if journal.exists() else []
    return Counter(
        json.loads(line)["claim"]["source"] for line in lines if line.startswith(b'{"claim"') and line[-1:] == b"}"
    )


@pytest.mark.slow
@pytest.mark.parametrize("container", CONTAINERS)
def test_killed_at_random_moments(container: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, settings, kills, begun = write_many(folder / "in"), MANY[container], Counter[str](), folder / "begun"
    convert(table, folder / "whole", settings=settings, jobs=0)
    whole, rounds, cut = files_of(folder / "whole"), 0, folder / "cut"
    monkeypatch.setattr("mixio.conversion.write_volumes", partial(counted, begun))
    chance = random.Random(0)
    while kills.total() < 60 or cut.exists():
        if killed_after(chance.expovariate(40), partial(convert, table, cut, settings=settings, jobs=0)):
            kills[stage_of(cut)] += 1
            continue
        assert files_of(cut) == whole
        assert max(sources_in(cut).values()) == 1
        rounds += 1
        shutil.rmtree(cut)
    print(f"{container}: {dict(kills)}, {rounds} times to the end, begun {begun.stat().st_size} conversions")
    assert begun.stat().st_size <= SOURCES * rounds + kills.total()  # one in flight at a kill


def counted(begun: Path, store: str, task: Task) -> Written:
    """Convert, after a byte in the file `begun` if the source is a good one."""
    if task.source.path.stem not in ("70", "71"):
        with begun.open("ab") as file:
            file.write(b".")
    return write_volumes(store, task)


def killed_after(seconds: float, work: Callable[[], Summary]) -> bool:
    """Do `work` in a child; whether it had to be killed."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code != 0


def stage_of(store: Path) -> str:
    """How far a conversion of `write_many` has come."""
    if not (finished := len(sources_in(store))):
        return "startup"
    if finished < SOURCES:
        return "converting"
    if not (store / "manifest.json").exists():
        return "packing and manifest"
    return "clean-up"


@pytest.mark.slow
@pytest.mark.parametrize("container", CONTAINERS)
def test_the_command_is_killed_alone_and_with_its_workers(container: str, folder: Path) -> None:
    table, chance = write_many(folder / "in"), random.Random(0)
    convert(table, folder / "whole", settings=MANY[container], jobs=0)
    command = [sys.executable, "-m", "mixio", "convert", table, folder / "cut", "--container", container, *FLAGS]
    for number in range(3):
        more = len(sources_in(folder / "cut")) + chance.randrange(2, 16)
        with started(command) as process:
            wait_for(lambda more=more: len(sources_in(folder / "cut")) >= more)
            workers = psutil.Process(process.pid).children(recursive=True)
            (os.kill if number % 2 else os.killpg)(process.pid, signal.SIGKILL)
            wait_for(lambda workers=workers: at_work(workers) == [], 20)
        assert len(workers) >= 2
    finished = sources_in(folder / "cut")
    summary = convert(table, folder / "cut", settings=MANY[container], jobs=2)
    assert (summary.found, len(summary.faults)) == (len(finished), BAD)
    assert max(sources_in(folder / "cut").values()) == 1
    assert files_of(folder / "cut") == files_of(folder / "whole")


@contextmanager
def started(command: list[object]) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, whose output is dropped."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([str(word) for word in command], start_new_session=True, **quiet) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def at_work(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that have not ended; a dead one whose parent has not asked for it has."""
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Return as soon as it holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_a_second_converter_is_refused_while_the_first_is_at_work(folder: Path) -> None:
    table, store = write_many(folder / "in"), folder / "store"
    with started([sys.executable, "-m", "mixio", "convert", table, store, *FLAGS]) as process:
        wait_for(lambda: len(sources_in(store)) >= 2)
        process.send_signal(signal.SIGSTOP)
        second = [sys.executable, "-m", "mixio", "convert", table, store, *FLAGS]
        refused = subprocess.run(second, capture_output=True, text=True, timeout=30)
        assert refused.returncode == 2
        assert "another conversion is writing here" in refused.stderr
        assert refused.stderr.count("\n") == 1
        process.send_signal(signal.SIGCONT)
        assert process.wait(30) == 1  # it finished, with its two faults
    assert [step for step in verify(open_store(store)) if isinstance(step, Damage)] == []


def test_an_interrupt_leaves_no_worker_at_work_and_the_store_free(folder: Path) -> None:
    table, store = write_many(folder / "in"), folder / "store"
    with started([sys.executable, "-m", "mixio", "convert", table, store, *FLAGS]) as process:
        wait_for(lambda: len(sources_in(store)) >= 3)  # the last line may be taken back, if it is not on the disk yet
        workers = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(5) != 0
        wait_for(lambda: at_work(workers) == [], 20)
    assert convert(table, store, settings=MANY["zarr"], jobs=0).found >= 2

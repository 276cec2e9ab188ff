"""One contestant, in a process of its own, which prints one line of JSON.

    python -m benchmarks.run trial '{"bench": "read", "name": "zarrs", "root": "...", ...}'

`trial` prepares its form, and checks what it delivers: a reader's patches against the uncompressed volumes, a loader's
by finding each of them there, whatever it claims. `turn` measures: everything that is on its disk is read once, so that
it is in the file cache; starting up and the first batches do not count. A contestant that cannot take part says why.
"""

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.corpus import Corpus, Request, Shape, box, nbytes
from benchmarks.locate import Locator
from benchmarks.peers.crops import LeftOut, Reader, Setup
from benchmarks.peers.roster import Contestant, contestant, function
from benchmarks.usage import cpu_seconds, leave, memory

CHECKED = 12
"""Patches of a trial."""
ASKED = 512
WARM_SECONDS = 3.0
LEAST_CALLS = 4
SETTLING = 30 * 2**20


@dataclass(frozen=True)
class Task:
    """What to run, and on what."""

    bench: str
    name: str
    root: str
    volumes: int
    shape: Shape
    size: Shape
    seed: int = 0
    batch: int = 4
    workers: int = 2
    seconds: float = 6.0

    @property
    def corpus(self) -> Corpus:
        return Corpus(Path(self.root), self.volumes, tuple(self.shape), tuple(self.size))

    @property
    def setup(self) -> Setup:
        return Setup(self.batch, self.workers, self.seed)


def step_of(task: Task, who: Contestant) -> Shape:
    """What corners are multiples of."""
    return function("ours.chunk")(task.corpus) if who.aligned else (1, 1, 1)


def requests(task: Task, who: Contestant) -> list[list[Request]]:
    """What a reader is asked, call by call; then it comes again."""
    step, each = step_of(task, who), task.batch if who.together else 1
    asked = [task.corpus.request(number, seed=task.seed, step=step) for number in range(ASKED)]
    return [asked[first : first + each] for first in range(0, len(asked), each)]


def trial(task: Task) -> dict[str, Any]:
    """Prepare and check."""
    who, started = contestant(task.bench, task.name), time.perf_counter()
    folder = function(who.form)(task.corpus)
    prepared = time.perf_counter() - started
    opened = function(who.opens)
    check = _check_reader if task.bench == "read" else _check_loader
    distinct = check(task, who, opened)
    return {"disk_bytes": nbytes(folder), "seconds": prepared, "checked": CHECKED, "distinct": distinct}


def _check_reader(task: Task, who: Contestant, opens: Callable[..., Reader]) -> int:
    read, volumes = opens(task.corpus), task.corpus.arrays()
    asked = requests(task, who)
    asked = asked[: CHECKED // len(asked[0])]
    for batch in asked:
        for (number, corner), patch in zip(batch, read(batch), strict=True):
            right = volumes[number][box(corner, task.corpus.size)]
            if patch.dtype != np.int16 or not np.array_equal(patch, right):
                raise AssertionError(f"{task.name} reads other voxels of volume {number} at {corner}")
    return len({request for batch in asked for request in batch})


def _check_loader(task: Task, who: Contestant, opens: Callable[..., Iterator[Any]]) -> int:
    locator, found, step = Locator(task.corpus), set(), step_of(task, who)
    for batch in itertools.islice(opens(task.corpus, task.setup), -(-CHECKED // task.batch)):
        if tuple(batch.shape) != (task.batch, 1, *task.corpus.size):
            raise AssertionError(f"{task.name} delivers batches of {tuple(batch.shape)}")
        for image in batch.numpy():
            place = locator.find(image[0])
            if place is None:
                raise AssertionError(f"{task.name} delivers a patch that is in no volume")
            ends = (n - s for n, s in zip(task.corpus.shape, task.corpus.size, strict=True))  # no voxel is out of reach
            if any(c % s and c != end for c, s, end in zip(place[1], step, ends, strict=True)):
                raise AssertionError(f"{task.name} delivers the corner {place[1]}, which is not aligned")
            found.add(place)
    return len(found)


def turn(task: Task) -> dict[str, Any]:
    """Measure."""
    who = contestant(task.bench, task.name)
    opens = function(who.opens)
    for path in function(who.form)(task.corpus).rglob("*"):
        if path.is_file():
            path.read_bytes()
    return _timed(task, _reads(task, who, opens) if task.bench == "read" else opens(task.corpus, task.setup))


def _reads(task: Task, who: Contestant, opens: Callable[..., Reader]) -> Iterator[Any]:
    """On one core, with an allocator that keeps what is freed, as that of a process does which has run for a while.

    Else some contestants, by what sizes they happen to free, pay page faults for the patch itself: three times what
    copying it takes.
    """
    asked = requests(task, who)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    np.ones(SETTLING, np.uint8)  # glibc maps smaller blocks no longer once one of this size was freed
    read = opens(task.corpus)
    for batch in itertools.cycle(asked):
        yield read(batch)


def _timed(task: Task, batches: Iterator[Any]) -> dict[str, Any]:
    """Patches a second; processor seconds a patch and bytes of memory, of the whole tree of processes.

    `extra` is what memory of its own the tree has more than this process had before anything was opened.
    """
    before = memory(os.getpid())
    warmed = time.perf_counter() + min(WARM_SECONDS, task.seconds)
    next(batches)
    while time.perf_counter() < warmed:
        next(batches)
    calls, patches, cpu, started = 0, 0, cpu_seconds(os.getpid()), time.perf_counter()
    while (took := time.perf_counter() - started) < task.seconds or calls < LEAST_CALLS:
        patches += len(next(batches))
        calls += 1
    measured = {"rate": patches / took, "cpu": (cpu_seconds(os.getpid()) - cpu) / patches}
    held = memory(os.getpid())  # while the contestant still holds what it holds
    return measured | {"pss": held.pss, "own": held.own, "extra": held.own - before.own}


def answer(action: str, task: Task) -> dict[str, Any]:
    """That of `trial` or `turn`, or why the contestant cannot take part."""
    try:
        return trial(task) if action == "trial" else turn(task)
    except ModuleNotFoundError as error:
        return {"left_out": f"{error.name} is not installed"}
    except LeftOut as error:
        return {"left_out": str(error)}


def main(action: str, options: str) -> None:
    """The last line on stdout is the answer; then this process ends at once, with whatever it has started."""
    print(json.dumps(answer(action, Task(**json.loads(options)))), flush=True)
    leave()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Training that is killed and goes on elsewhere trains on what one process trains on that nobody killed.

What counts of a part that was killed are its draws up to the checkpoint from which the next part went on. What it
trained on after that is forgotten with the weights.
"""

import json
import multiprocessing
import os
import random
import re
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed import TCPStore

from mixio.convert import convert
from mixio.settings import Settings
from mixio.store import Store, open_store
from tests.elastic_training import main

# Ranks are forked by a server that has loaded torch; but for that they could be started by torchrun.
SERVER = multiprocessing.get_context("forkserver")
HEAVY = ["torch._dynamo", "mixio.loader", "mixio.store"]
Ranks = list[Any]


@dataclass(frozen=True)
class Part:
    """Some steps of a run, by so many ranks."""

    ranks: int
    batch: int
    reading: str


WORKERS = [Part(2, 6, "--workers 2"), Part(1, 12, "--workers 3"), Part(4, 3, "--workers 1")]
"""The global batch is 12 all along."""
THREADS = [Part(2, 6, "--threads 2"), Part(1, 10, "--threads 3"), Part(4, 2, "--threads 1")]
"""It is 12, then 10, then 8."""
SPAWNED = [Part(1, 12, "--workers 3 --method spawn"), Part(2, 6, "--workers 1 --method spawn")]


@pytest.fixture(scope="session")
def small_tars(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """`small_store`, in tars."""
    path = tmp_path_factory.mktemp("tars") / "store"
    settings = Settings(chunk=16, val_fraction=0.3, keep_names=True, container="webdataset", shard_size=60_000)
    convert(sources, path, settings=settings, jobs=0)
    return open_store(path)


def surroundings(part: Part, meeting: TCPStore, rank: int) -> dict[str, str]:
    """What torchrun tells a rank of the others."""
    values = {"RANK": rank, "WORLD_SIZE": part.ranks, "LOCAL_WORLD_SIZE": part.ranks, "MASTER_ADDR": "127.0.0.1"}
    values |= {"MASTER_PORT": meeting.port, "TORCHELASTIC_USE_AGENT_STORE": True}
    return {name: str(value) for name, value in values.items()}


@contextmanager
def started(part: Part, store: Store, folder: Path, *options: object) -> Iterator[Ranks]:
    """The ranks of a part; killed in the end."""
    SERVER.set_forkserver_preload([__name__, *HEAVY])
    meeting = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    words = [str(word) for word in (store.path, folder, "--batch", part.batch, *part.reading.split(), *options)]
    ranks: Ranks = []
    try:
        for rank in range(part.ranks):
            told = words, surroundings(part, meeting, rank), errors_of(folder, rank)
            ranks.append(SERVER.Process(target=run_rank, args=told))
            ranks[-1].start()
        yield ranks
    finally:
        kill(ranks)


def run_rank(words: list[str], surroundings: dict[str, str], errors: Path) -> None:
    """The program, in a process group with its workers; what it says of errors goes into a file."""
    os.setsid()
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    os.environ.update(surroundings)
    torch.set_num_threads(1)
    main(words)


def kill(ranks: Ranks) -> None:
    """Kill all ranks with their workers."""
    for rank in ranks:
        with suppress(ProcessLookupError):
            os.killpg(rank.pid, signal.SIGKILL)
        rank.kill()
    for rank in ranks:
        rank.join()


def errors_of(folder: Path, rank: int) -> Path:
    return folder / f"errors-{rank}.txt"


def exit_code(rank: Any) -> int:
    """That of a rank that ends by itself."""
    rank.join(120)
    return rank.exitcode


def wait_for(condition: Callable[[], bool], ranks: Ranks) -> None:
    """Return as soon as it holds; all ranks are at work until then."""
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        assert all(rank.is_alive() for rank in ranks)
        time.sleep(0.002)


def steps_of(folder: Path, begin: int) -> int:
    """How many steps the first rank of the part that began at this draw has begun."""
    log = folder / f"from-{begin}-rank-0.jsonl"
    return log.read_text().count("\n") if log.exists() else 0


def kill_at_random(ranks: Ranks, folder: Path, begin: int) -> None:
    """Kill all ranks in the fourth step, from which on there is a checkpoint of this part, or some time after it."""
    chance = random.Random()
    wait_for(lambda: steps_of(folder, begin) > 3, ranks)
    time.sleep(chance.expovariate(20))
    kill(ranks)


def kill_in_checkpoint(ranks: Ranks, folder: Path, begin: int) -> None:
    """Kill all ranks when the first has written some of a checkpoint; leaves that much of it.

    The file that it writes is made a pipe that nobody empties, so it cannot come to the end.
    """
    part = folder / "checkpoint.pt.part"
    wait_for(lambda: steps_of(folder, begin) > 3, ranks)
    wait_for(lambda: became_pipe(part), ranks)
    pipe = os.open(part, os.O_RDONLY | os.O_NONBLOCK)
    assert select.select([pipe], [], [], 60)[0]
    torn = os.read(pipe, 2**12)
    kill(ranks)
    os.close(pipe)
    part.unlink()
    part.write_bytes(torn)


def became_pipe(path: Path) -> bool:
    """Make a pipe there, unless there is a file."""
    with suppress(FileExistsError):
        os.mkfifo(path)
        return True
    return False


def finish(part: Part, store: Store, folder: Path, draws: int) -> None:
    """Run a part to the end of the run."""
    with started(part, store, folder, "--draws", draws) as ranks:
        ended = [exit_code(rank) for rank in ranks]
    assert ended == [0] * part.ranks, [errors_of(folder, rank).read_text() for rank in range(part.ranks)]


def run_alone(part: Part, store: Store, folder: Path, draws: int) -> None:
    """The whole run in this process."""
    meeting = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in surroundings(part, meeting, 0).items():
            patch.setenv(name, value)
        main([store.path, str(folder), "--batch", str(part.batch), "--draws", str(draws)])


def saved(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder / "checkpoint.pt", weights_only=True)
    return content


def trained(folder: Path, part: Part, begin: int, end: int) -> list[Any]:
    """The samples of the steps from one draw up to another, as the ranks wrote them down."""
    steps = (end - begin) // (part.ranks * part.batch)
    logs = [folder / f"from-{begin}-rank-{rank}.jsonl" for rank in range(part.ranks)]
    lines = zip(*(log.read_text().splitlines()[:steps] for log in logs), strict=True)
    return [sample for step in lines for line in step for sample in json.loads(line)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("container", "parts", "cut"),
    [
        pytest.param("small_store", WORKERS, kill_at_random, id="forked workers"),
        pytest.param("small_store", THREADS, kill_at_random, id="threads, other global batches"),
        pytest.param("small_tars", SPAWNED, kill_in_checkpoint, id="spawned workers, tars, in a checkpoint"),
    ],
)
def test_however_often_it_is_killed_it_trains_on_the_draws_of_a_run_that_nobody_killed(
    container, parts, cut, tmp_path, request
):
    store, folder, whole = request.getfixturevalue(container), tmp_path / "killed", tmp_path / "whole"
    folder.mkdir(), whole.mkdir()
    begins, samples = [0], []
    for part in parts[:-1]:
        with started(part, store, folder) as ranks:
            cut(ranks, folder, begins[-1])
        assert {rank.exitcode for rank in ranks} == {-signal.SIGKILL}
        begins.append(saved(folder)["data"]["consumed"])
        samples += trained(folder, part, *begins[-2:])
    total = begins[-1] + 10 * parts[-1].ranks * parts[-1].batch
    finish(parts[-1], store, folder, total)
    samples += trained(folder, parts[-1], begins[-1], total)
    alone = Part(1, 2 if parts is THREADS else 12, "")
    run_alone(alone, store, whole, total)
    assert sorted(set(begins)) == begins
    assert [draw for draw, *_ in samples] == list(range(total))
    assert samples == trained(whole, alone, 0, total)
    if alone.batch == 12:  # as all along
        torch.testing.assert_close(saved(folder)["model"], saved(whole)["model"], rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("blow", "told"),
    [(signal.SIGKILL, "Connection (closed|reset) by peer"), (signal.SIGSTOP, "[Tt]imed out")],
    ids=["killed", "stopped"],
)
def test_when_a_rank_is_gone_another_ends_with_an_error_and_does_not_wait_for_ever(small_store, tmp_path, blow, told):
    with started(Part(2, 4, "--workers 1"), small_store, tmp_path, "--timeout", 10) as ranks:
        wait_for(lambda: steps_of(tmp_path, 0) > 3, ranks)
        os.killpg(ranks[1].pid, blow)
        assert exit_code(ranks[0]) == 1
    assert re.search(told, errors_of(tmp_path, 0).read_text())

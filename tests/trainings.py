"""`python -m tools.train` in processes of its own, which can be told to stop, and be killed."""

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.distributed import TCPStore

from mixio.store import Store
from models.checkpoint import load_checkpoint
from tools.runlog import read_events
from tools.train import main

# Processes are forked by a server that has loaded torch; but for that they could be started by a shell.
SERVER = multiprocessing.get_context("forkserver")
FLAGS = (
    "--mixture uniform --patch-size 8 --width 12 --layers 1 --heads 2 --decoder-width 12 --decoder-layers 1 "
    "--decoder-heads 2 --eval-crops 4 --log-every 1 --run mine"
)


def start(store: Store, folder: Path, words: str, *, ranks: int = 1) -> list[Any]:
    """The processes of a run, each with its rank; what they say on stderr goes to FOLDER/errors-<rank>.txt."""
    SERVER.set_forkserver_preload(["tests.trainings"])
    meeting = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    folder.mkdir(exist_ok=True)
    every = [store.path, "--runs", str(folder), *FLAGS.split(), *words.split()]
    told = {"WORLD_SIZE": ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": meeting.port}
    processes = []
    for rank in range(ranks):
        around = {**told, "RANK": rank, "LOCAL_RANK": rank, "TORCHELASTIC_USE_AGENT_STORE": True}
        errors = folder / f"errors-{rank}.txt"
        processes.append(SERVER.Process(target=_run, args=(every, around if ranks > 1 else {}, errors)))
        processes[-1].start()
        processes[-1].meeting = meeting  # which is to last as long as they do
    return processes


def _run(words: Sequence[str], surroundings: dict[str, Any], errors: Path) -> None:
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.environ.update({name: str(value) for name, value in surroundings.items()})
    torch.set_num_threads(1)
    main(words)


def ended(processes: Sequence[Any]) -> list[int]:
    """Their exit codes, once they have ended by themselves."""
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


def finish(store: Store, folder: Path, words: str, *, ranks: int = 1) -> None:
    """A whole run."""
    codes = ended(start(store, folder, words, ranks=ranks))
    assert codes == [0] * ranks, [(folder / f"errors-{rank}.txt").read_text() for rank in range(ranks)]


def wait_for(condition: Callable[[], bool], processes: Sequence[Any]) -> None:
    """Return as soon as it holds; the processes are at work until then."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        assert all(process.is_alive() for process in processes)
        time.sleep(0.002)


def lines(folder: Path) -> int:
    """Steps in the log."""
    log = folder / "mine.jsonl"
    return max(0, log.read_bytes().count(b"\n") - 1) if log.exists() else 0


def told(folder: Path) -> list[Any]:
    """What is in the log but for times."""
    timed = {"seconds", "waiting", "host"}
    events = read_events(folder / "mine.jsonl")
    return [{name: value for name, value in event.items() if name not in timed} for event in events]


def saved(folder: Path) -> dict[str, Any]:
    """The checkpoint but for times."""
    checkpoint = load_checkpoint(folder / "mine.pt")
    del checkpoint["training"]["seconds"], checkpoint["training"]["waiting"]
    return checkpoint


def same(one: Any, other: Any) -> bool:
    """Whether two checkpoints are equal to the last bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)

"""Stopping and going on: when a checkpoint is written, and the way back from there.

A run that goes on makes the steps, and writes the log, of one that was never stopped: to the last bit on a CPU of the
same kind with as many threads. Settings that decide what is learned must be those of the checkpoint. How the draws of a
step are split between batches, accumulation and ranks may change, and so may readers, device and precision; sums are
then rounded otherwise.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixio.errors import InvalidArgument
from mixio.jsonl import read_objects
from models.checkpoint import load_checkpoint
from tools.distributed import on_first_rank, total
from tools.preemption import Stopped
from tools.run import Run
from tools.runlog import LEDGER, read_events

_LABELS = {"batch_size": "batch_size x accumulate x processes"}


@dataclass(frozen=True)
class Job:
    """What `train` does for a run that may be stopped: `checkpoint` is written every `every` steps (0: not on the way),
    at the end, and when `stop` says so on any rank; `saved` is what `begin` returned, to go on from. `watch` is called
    after every step, on the first rank.
    """

    checkpoint: Path | None = None
    every: int = 0
    saved: dict[str, Any] | None = None
    stop: Callable[[], bool] = lambda: False
    watch: Callable[[Run, Any], None] = lambda run, held_out: None

    def keep(self, run: Run) -> None:
        """Write a checkpoint if one is due after this step; raises `Stopped` if the run was told to stop."""
        last = run.step == run.learner.steps
        [stops] = total(self.stop(), device=run.learner.device)
        if self.checkpoint and (last or stops or (self.every and run.step % self.every == 0)):
            run.save(self.checkpoint)
        if stops and not last:
            raise Stopped(run.draw)


def begin(log: Path, checkpoint: Path, settings: Mapping[str, Any], *, resume: bool) -> dict[str, Any] | None:
    """Make way for a run's files; with `resume` the checkpoint to go on from, where there is one.

    A complete run is refused, and so is one of other settings, and one that could go on and is not to.
    """
    if not on_first_rank(lambda: resume and checkpoint.exists()):
        on_first_rank(lambda: _make_way(log, checkpoint), share=False)
        return None
    saved = saved_for(checkpoint, settings)
    on_first_rank(lambda: _cut_back(log, saved["data"]["consumed"]), share=False)
    return saved


def saved_for(path: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The checkpoint of a run of these settings (those of `config_event`), from which it can go on."""
    try:
        checkpoint = load_checkpoint(path)
    except ValueError as error:
        raise InvalidArgument(f"cannot go on: {error}") from error
    training = checkpoint.get("training")
    if training is None:
        raise InvalidArgument(f"{path} holds a model, and nothing to go on from: it was written by something else")
    saved, wanted = _flat(training["settings"]), _flat(settings)
    differing = [name for name in {**saved, **wanted} if saved.get(name) != wanted.get(name)]
    if differing:
        told = [f"{_LABELS.get(name, name)} ({saved.get(name)} there, {wanted.get(name)} here)" for name in differing]
        raise InvalidArgument(
            f"{path} is of a run with other settings: {', '.join(told)}; "
            "give those of the checkpoint, or begin another --run"
        )
    return checkpoint


def _make_way(log: Path, checkpoint: Path) -> None:
    """Remove the log and ledger of a run that left no checkpoint; refuse to where it is complete, or can go on."""
    if log.exists():
        _refuse_complete(log)
        if checkpoint.exists() and _is_of(checkpoint, log.stem):
            raise InvalidArgument(
                f"{log} was stopped on its way, and {checkpoint} is its checkpoint: go on with --resume, "
                "choose another --run, or remove both"
            )
    log.unlink(missing_ok=True)
    ledger_of(log).unlink(missing_ok=True)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)  # rather than fail when all is trained


def _cut_back(log: Path, draw: int) -> None:
    """Take from a log and its ledger what was written after this draw, from which the run goes on."""
    if not log.exists():
        raise InvalidArgument(f"the log {log} is gone: put it back, or begin another --run")
    _refuse_complete(log)
    _keep(log, lambda event: event.get("draw", 0) <= draw)
    if ledger_of(log).exists():
        _keep(ledger_of(log), lambda line: line["draws"] <= draw)


def _refuse_complete(log: Path) -> None:
    """Refuse a log that has its result."""
    events = read_events(log)
    if events and events[-1]["event"] == "result":
        raise InvalidArgument(f"{log} is a complete run; choose another --run, or remove it")


def ledger_of(log: Path) -> Path:
    """The ledger that belongs to a run's log."""
    return log.with_name(log.name.removesuffix(".jsonl") + LEDGER)


def _keep(path: Path, belongs: Callable[[Any], bool]) -> None:
    """Leave the lines of a file for which this holds."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text("".join(json.dumps(line) + "\n" for line in read_objects(path) if belongs(line)))
    os.replace(temporary, path)


def _is_of(checkpoint: Path, run: str) -> bool:
    try:
        return load_checkpoint(checkpoint)["metadata"].get("run") == run
    except ValueError:
        return False


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by their own names, those of the shares with their domain."""
    groups = {name: value for name, value in settings.items() if isinstance(value, Mapping)}
    flat = {name: value for name, value in settings.items() if name not in groups}
    for group, members in groups.items():
        flat |= {f"share of {name}" if group == "shares" else name: value for name, value in members.items()}
    return flat

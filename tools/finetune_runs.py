"""The runs of a fine-tuning study: every start with every seed, each with a log, and what was learned of them all.

A log, runs/<start>-<seed>.jsonl, holds the events of `tools.runlog`: the config with the names of all cases, losses on
the way, and the result with the scores of every held-out case. A run that is complete is not made again; a complete one
with other settings or other data stops the study before anything is trained.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch

from mixio.errors import InvalidArgument
from models.checkpoint import replace_file
from tools.examples import Example
from tools.finetune_options import FinetuneOptions
from tools.finetuning import Emit, Start, Task, build, finetuned, fit, told_when_out_of_memory
from tools.paired import Paired, by_seed, paired, summary
from tools.runlog import append_event, read_events
from tools.scores import Scores

SCHEMA_VERSION = 1
EXECUTION = {"device", "log_every"}
"""Options that change how a run is executed, not what it learns."""


@dataclass(frozen=True, eq=False)
class Study:
    """What all runs share: `splits` holds the examples of `train` and of `held_out`, the split that is measured."""

    task: Task
    options: FinetuneOptions
    splits: dict[str, list[Example]]
    held_out: str
    device: torch.device
    folder: Path

    @property
    def measured(self) -> list[Example]:
        """The examples that are measured on."""
        return self.splits[self.held_out]

    def log(self, start: str, seed: int) -> Path:
        """Where the log of a run is."""
        return self.folder / f"{start}-{seed}.jsonl"

    def config(self, name: str, start: Start, seed: int, identity: str | None) -> dict[str, Any]:
        """The first line of a log; `identity` is that of the checkpoint."""
        options = {key: value for key, value in asdict(self.options).items() if key not in EXECUTION}
        config = {
            "event": "config",
            "schema_version": SCHEMA_VERSION,
            "run": f"{name}-{seed}",
            "seed": seed,
            "task": self.task.kind,
            "classes": list(self.task.classes),
            "encoder": {key: _plain(value) for key, value in asdict(start.encoder).items()},
            "checkpoint": identity,
            "head": start.head,
            "options": options,
            "held_out": self.held_out,
            "cases": {split: [example.name for example in examples] for split, examples in self.splits.items()},
            "data": {split: _digest(examples) for split, examples in self.splits.items()},
        }
        return config


def network_of(study: Study, config: dict[str, Any]) -> Path:
    """Where the fine-tuned network of a run is, if it is kept."""
    return study.folder / f"{config['run']}.pt"


def kept(study: Study, config: dict[str, Any], *, network: bool) -> Scores | None:
    """The scores of a run that is complete already, without its masks; None if it is to be made.

    With `network` it is complete only where its network is.

    Raises `InvalidArgument` for a complete run of other settings.
    """
    log = study.folder / f"{config['run']}.jsonl"
    events = read_events(log) if log.exists() else []
    if not events or events[-1].get("event") != "result":
        return None
    before = {key: value for key, value in events[0].items() if key != "host"}
    if different := sorted(key for key in {*before, *config} if before.get(key) != config.get(key)):
        raise InvalidArgument(
            f"{log} is a complete run that differs in {', '.join(different)}; choose another --runs, or remove it"
        )
    if network and not network_of(study, config).exists():
        return None
    result = events[-1]
    return Scores(result["metrics"], result["cases"], result["intervals"])


def make(study: Study, config: dict[str, Any], start: Start, *, emit: Emit, save: bool) -> Scores:
    """Train and measure one run, and log it, after its network was written if that is to be kept."""
    log, seed = study.folder / f"{config['run']}.jsonl", config["seed"]
    for old in (log, network_of(study, config)):
        old.unlink(missing_ok=True)

    def record(event: dict[str, Any]) -> None:
        append_event(log, event)
        emit(event)

    record({**config, "host": {"torch": torch.__version__, "device": str(study.device)}})
    with told_when_out_of_memory(study.device, study.options):
        network = build(study.task, start, seed=seed).to(study.device)
        fit(network, study.task, study.splits["train"], study.options, seed=seed, emit=record)
        scores = study.task.scores(network, study.measured)
    if save:
        tuned = finetuned(network, study.task, start)
        replace_file(network_of(study, config), lambda temporary: torch.save(tuned, temporary))
    record({"event": "result", **scores.recorded()})
    return scores


def compared(study: Study, first: Sequence[Scores], second: Sequence[Scores]) -> list[Paired]:
    """The metrics of two starts, a run a seed each, in the order in which the task gives them."""
    found = []
    for name in first[0].metrics:
        values = [by_seed([scores.metrics for scores in arm], name) for arm in (first, second)]
        if values[0] is None or values[1] is None:
            continue
        cases = None
        if all(name in case for case in first[0].cases.values()):
            cases = _of_cases(first, name, study.measured), _of_cases(second, name, study.measured)
        subjects = [example.subject for example in study.measured]
        found.append(paired(name, values[0], values[1], cases=cases, subjects=subjects))
    return found


def spread(runs: Sequence[Scores]) -> dict[str, dict[str, float | None]]:
    """Mean and standard deviation over the seeds of each metric that is defined in all runs."""
    result: dict[str, dict[str, float | None]] = {}
    for name in runs[0].metrics:
        values = by_seed([scores.metrics for scores in runs], name)
        if values is not None:
            result[name] = asdict(summary(values))
    return result


def _of_cases(runs: Sequence[Scores], name: str, examples: Sequence[Example]) -> np.ndarray:
    """A metric of each run and case (S, N), not a number where it is not defined."""
    values = [[run.cases[example.name][name] for example in examples] for run in runs]
    return np.array(values, dtype=float)  # None becomes NaN


def _digest(examples: Sequence[Example]) -> int:
    """A checksum of what is learned from or measured on."""
    found = 0
    for example in examples:
        found = crc32(example.image.tobytes(), found)
        found = crc32(
            b"" if example.label is None else example.label.tobytes(), crc32(str(example.target).encode(), found)
        )
    return found


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value

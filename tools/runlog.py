"""What training runs leave behind: `runs/<id>.jsonl` logs, or one CSV of runs from any other trainer.

A log holds one JSON object a line, told apart by its `event`:

    config   schema_version, run, seed, draws (planned total), shares, strategy, model, training, store, host
    step     draw, loss, lr, seconds, waiting (for data, both since the start), held_out where it was measured
    result   draws (realised, per domain), unique (per domain), loss (held-out, per target), seconds, waiting (for data)

A run is complete when its last line is a result; a line torn by a crash is dropped at the next append.
The CSV holds a run a row: `run`, `draws:<domain>`, optionally `unique:<domain>`, `seed` and `strategy`, and
`loss:<target>`, empty where it was not measured. Other columns are ignored.
Both give the same `Run`, which holds what was drawn and not what was planned: laws are fitted to that.
"""

import csv
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.errors import RunLogError
from mixio.jsonl import append_object, read_objects

SCHEMA_VERSION = 1
LEDGER = ".ledger.jsonl"
"""How the name of a run's ledger ends."""


@dataclass(frozen=True)
class Run:
    """One finished run: what it drew and how well it then did on every target.

    `draws` are the realised draws per domain, a domain that is absent having none; `unique` the draws that a
    domain can give before it repeats itself, if known; `loss` the positive held-out losses, a target that was
    not measured being absent, as are those in `failed`, whose losses were not finite; `shares` the intended shares.
    """

    run: str
    seed: int
    draws: dict[str, float]
    unique: dict[str, float] | None
    loss: dict[str, float]
    shares: dict[str, float]
    strategy: str | None = None
    failed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for domain, draws in self.draws.items():
            if not 0 <= draws < math.inf:
                raise RunLogError(f"run {self.run!r}: draws of {domain!r} must be finite and not negative, got {draws}")
        if self.total == 0:
            raise RunLogError(f"run {self.run!r} has no draws at all; a run is fitted to what it drew")
        for target, loss in self.loss.items():
            if not 0 < loss < math.inf:
                raise RunLogError(
                    f"run {self.run!r}: loss of {target!r} must be positive and finite, got {loss}; "
                    "leave it empty if it was not measured"
                )

    @property
    def total(self) -> float:
        """Draws of the whole run, over all domains."""
        return sum(self.draws.values())

    @property
    def budget(self) -> float:
        """The total to six digits: runs whose totals differ by rounding were given one budget."""
        return float(f"{self.total:.6g}")


def append_event(path: str | os.PathLike[str], event: Mapping[str, Any]) -> None:
    """Add one line to a log, in one write that is on disk on return; makes the file and its folder."""
    if event.get("event") not in ("config", "step", "result"):
        raise RunLogError(f"an event is a config, a step or a result, got {event.get('event')!r}")
    append_object(path, event)


def read_events(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """All events of one log, oldest first; a torn last line is not one yet."""
    try:
        return read_objects(path)
    except ValueError as error:
        raise RunLogError(f"{path} is not a run log, a line of it is not JSON: {error}") from error


def read_runs(path: str | os.PathLike[str]) -> list[Run]:
    """The complete runs of a directory of logs, of one log, or of a CSV, in order of file name or row.

    Incomplete logs are left out: `incomplete_runs` names them, and a command that reads runs must say so.
    """
    path = Path(path)
    if path.suffix == ".csv":
        runs = _read_csv(path)
    else:
        runs = [run for log in _logs(path) if (run := _read_log(log)) is not None]
    if not runs:
        raise RunLogError(f"no complete run in {path}")
    names = [run.run for run in runs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RunLogError(f"{path} holds two runs of one name: {', '.join(twice)}")
    return runs


def refuse_unlike(path: str | os.PathLike[str]) -> None:
    """Refuse a directory whose complete logs are of different models, training settings or data.

    One law cannot hold for all of them. A CSV says nothing of these, so nothing is checked.
    """
    path = Path(path)
    if not path.is_dir():
        return
    logs = [(log, read_events(log)[0]) for log in _logs(path) if _read_log(log) is not None]
    for log, config in logs[1:]:
        first, reference = logs[0]
        for part in ("model", "training", "data"):
            if config.get(part) != reference.get(part):
                raise RunLogError(
                    f"{log.name} and {first.name} in {path} differ in {part}: one law cannot hold for both; "
                    "keep runs of one kind in a folder"
                )


def incomplete_runs(path: str | os.PathLike[str]) -> list[str]:
    """File names of the logs under `path` that have no result yet (none for a CSV)."""
    path = Path(path)
    if path.suffix == ".csv":
        return []
    return [log.name for log in _logs(path) if _read_log(log) is None]


def write_runs(path: str | os.PathLike[str], runs: Iterable[Run]) -> None:
    """Write runs as the CSV that `read_runs` reads; it holds what was drawn, not the intended shares."""
    runs = list(runs)
    domains = sorted({domain for run in runs for domain in run.draws})
    unique = sorted({domain for run in runs for domain in run.unique or {}})
    targets = sorted({target for run in runs for target in run.loss})
    header = ["run", "seed", "strategy", *_columns("draws", domains), *_columns("unique", unique)]
    temporary = Path(f"{path}.tmp")
    with open(temporary, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*header, *_columns("loss", targets)])
        for run in runs:
            drawn = [repr(run.draws.get(domain, 0)) for domain in domains]
            available = [repr(run.unique[domain]) if run.unique else "" for domain in unique]
            losses = [repr(run.loss[target]) if target in run.loss else "" for target in targets]
            writer.writerow([run.run, run.seed, run.strategy or "", *drawn, *available, *losses])
    os.replace(temporary, path)


def draws_matrix(runs: Sequence[Run], domains: Sequence[str]) -> NDArray[np.float64]:
    """Draws of each run and domain: (N, K)."""
    return np.array([[run.draws.get(domain, 0.0) for domain in domains] for run in runs], float)


def logs_in(folder: Path) -> list[Path]:
    """The logs of a folder by name, complete or not; the ledgers beside them are none."""
    return sorted(path for path in folder.glob("*.jsonl") if not path.name.endswith(LEDGER))


def _logs(path: Path) -> list[Path]:
    is_log = path.suffix == ".jsonl" and path.exists()
    logs = logs_in(path) if path.is_dir() else [path] * is_log
    if not logs:
        raise RunLogError(f"no runs at {path}: expected a directory of .jsonl logs, one such log, or a .csv")
    return logs


def _read_log(path: Path) -> Run | None:
    """The run of one log, or None while it has no result."""
    events = read_events(path)
    if not events or events[-1].get("event") != "result":
        return None
    config, result = events[0], events[-1]
    if config.get("event") != "config" or config.get("schema_version") != SCHEMA_VERSION:
        raise RunLogError(
            f"{path} must begin with a config of schema_version {SCHEMA_VERSION}, "
            f"got {config.get('event')!r} of {config.get('schema_version')!r}"
        )
    try:
        return Run(
            run=config["run"],
            seed=config["seed"],
            draws=result["draws"],
            unique=result.get("unique"),
            loss={target: loss for target, loss in result["loss"].items() if _measured(loss)},
            shares=config["shares"],
            strategy=config.get("strategy"),
            failed=_failed(result["loss"]),
        )
    except KeyError as error:
        raise RunLogError(f"{path} lacks {error} in its config or result") from error


def _read_csv(path: Path) -> list[Run]:
    try:
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise RunLogError(f"cannot read the runs of {path}: {error}") from error
    columns = list(rows[0]) if rows else []
    if "run" not in columns or not any(str(column).startswith("draws:") for column in columns):
        raise RunLogError(f"{path} needs a row and the columns run, draws:<domain> and loss:<target>, got {columns}")
    return [_run_of_row(row, path) for row in rows]


def _run_of_row(row: Mapping[str, str | None], path: Path) -> Run:
    try:
        draws, unique, loss = (_numbers(row, prefix) for prefix in ("draws", "unique", "loss"))
        seed = int(row.get("seed") or 0)
    except ValueError as error:
        raise RunLogError(f"{path}, run {row['run']!r}: a cell is not a number: {error}") from error
    total = sum(draws.values())
    return Run(
        run=row["run"] or "",
        seed=seed,
        draws=draws,
        unique=unique or None,
        loss={target: value for target, value in loss.items() if _measured(value)},
        shares={domain: drawn / total for domain, drawn in draws.items()} if total else {},
        strategy=row.get("strategy") or None,
        failed=_failed(loss),
    )


def _numbers(row: Mapping[str, str | None], prefix: str) -> dict[str, float]:
    """The filled cells of the columns `<prefix>:<name>`, by name."""
    cells = {str(column).partition(":"): cell for column, cell in row.items() if cell}
    return {name: float(cell) for (kind, _, name), cell in cells.items() if kind == prefix and name}


def _measured(loss: float | None) -> bool:
    """A loss that is absent was not measured, and one that is not finite is of a run that diverged."""
    return loss is not None and math.isfinite(loss)


def _failed(losses: Mapping[str, float | None]) -> tuple[str, ...]:
    """The targets whose losses are not finite."""
    return tuple(sorted(target for target, loss in losses.items() if loss is not None and not math.isfinite(loss)))


def _columns(prefix: str, names: list[str]) -> list[str]:
    return [f"{prefix}:{name}" for name in names]

"""Public tables of runs: RegMix's mixtures and losses, and the repeated-data runs of datablations."""

import csv
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tools.runlog import Run

SCALES = ("1m", "60m", "1B")
DRAWS = 1e9
"""What a run of RegMix is said to draw; all had one budget."""


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def regmix(folder: Path, split: str, scale: str) -> list[Run]:
    """RegMix's runs of a scale, with shares that sum to 1 (the table rounds them to thousandths)."""
    losses = {row["index"]: row for row in rows_of(folder / f"{split}_pile_loss_{scale}.csv")}
    runs = []
    for row in rows_of(folder / f"{split}_mixture_{scale}.csv"):
        index = row.pop("index")
        shares = {name.removeprefix("train_the_pile_"): float(share) for name, share in row.items()}
        draws = {name: DRAWS * share / sum(shares.values()) for name, share in shares.items()}
        loss = {
            name.removeprefix("metric/the_pile_").removesuffix("_val_loss"): float(value)
            for name, value in losses[index].items()
            if name != "index"
        }
        runs.append(Run(index, 0, draws, None, loss, {}))
    return runs


def scored_on(runs: Iterable[Run], targets: Iterable[str]) -> list[Run]:
    """The runs with the losses of these targets alone."""
    return [replace(run, loss={target: run.loss[target] for target in targets}) for run in runs]


def repeated_runs(path: Path) -> dict[str, NDArray[np.float64]]:
    """Columns of the datablations table: parameters, tokens, unique tokens and validation loss of each run."""
    rows = rows_of(path)
    columns = ("params", "tokens", "unique_tokens", "val_loss")
    return {name: np.array([float(row[name]) for row in rows]) for name in columns}

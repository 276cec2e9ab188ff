"""A training step of the models beside MONAI's: time, memory, and on a GPU the share of what it can do.

    python -m benchmarks.bench_model --json model.json
    python -m benchmarks.bench_model --device cuda

Time: both in this process, in turn and in a new random order each round, on the same batch, in float32 on the CPU; the
autoencoders with AdamW, the UNETRs forward and backward, after their outputs for the same weights were compared. A
ratio is the median over the rounds of the ratios within a round, above 1 where ours is faster. Memory: each in a
process of its own, which has imported torch and MONAI whoever is measured; what is compared is the peak beyond that,
and, in the last column, the whole peak of ours and of MONAI's.
`benchmarks/model_steps.py` has the steps, `benchmarks/model_gpu.py` what is measured on a GPU.
"""

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import click
import torch

from benchmarks.command import machine, versions
from benchmarks.model_gpu import gpu_rows
from benchmarks.model_steps import WHO, Task, batch_of, step_of

OURS, RECOMPUTED, THEIRS = WHO
TIMED = (
    Task("mae", crop=96, patch=16, scale_factor=0.25, batch=4),
    Task("mae", crop=96, patch=16, scale_factor=0.5, batch=4),
    Task("mae", crop=48, patch=8, scale_factor=0.25, batch=4),
    Task("mae", crop=48, patch=8, scale_factor=0.5, batch=4),
    Task("unetr", crop=48, patch=16, scale_factor=0.25, batch=1),
    Task("unetr", crop=96, patch=16, scale_factor=0.25, batch=1),
)
WEIGHED = (
    Task("mae", crop=96, patch=16, scale_factor=0.25, batch=8),
    Task("mae", crop=96, patch=16, scale_factor=0.5, batch=8),
    Task("mae", crop=48, patch=8, scale_factor=0.25, batch=8),
    Task("mae", crop=48, patch=8, scale_factor=0.5, batch=8),
    Task("unetr", crop=96, patch=16, scale_factor=0.25, batch=1),
)
TOLERANCE = 1e-5
"""Largest difference between outputs of UNETRs with the same weights, beside the largest output."""
PACKAGES = "torch monai".split()


def timed(task: Task, rounds: int) -> dict[str, Any]:
    """Seconds of every step, by who makes it, and of UNETRs the difference of their outputs before."""
    images = batch_of(task)
    steps = {who: step_of(task, who, images) for who in (OURS, THEIRS)}
    found: dict[str, Any] = {"task": asdict(task), "seconds": {who: [] for who in steps}}
    if task.net == "unetr":
        found["difference"] = difference(*(one.model for one in steps.values()), images)
    for number in range(-1, rounds):
        for who in random.Random(number).sample(list(steps), len(steps)):
            began = time.perf_counter()
            steps[who].run()
            if number >= 0:  # the first round is a warm-up
                found["seconds"][who].append(time.perf_counter() - began)
    return found


def difference(ours: torch.nn.Module, theirs: torch.nn.Module, images: torch.Tensor) -> float:
    """The largest difference of their outputs over the largest output; ClickException where it is too large."""
    with torch.no_grad():
        mine, other = ours(images), theirs(images)
    found = ((mine - other).abs().max() / other.abs().max()).item()
    if not found <= TOLERANCE:
        raise click.ClickException(f"with the same weights the outputs differ by {found:.1e}, more than {TOLERANCE}")
    return found


def ratios(seconds: dict[str, list[float]]) -> list[float]:
    """How many times as long theirs took, round by round."""
    return [theirs / ours for ours, theirs in zip(seconds[OURS], seconds[THEIRS], strict=True)]


def weighed(task: Task, rounds: int) -> dict[str, Any]:
    """MB of processes that each make two steps, by who makes them."""
    words = [sys.executable, "-W", "ignore", "-m", "benchmarks.model_steps", json.dumps(asdict(task))]
    found: dict[str, Any] = {"task": asdict(task), "megabytes": {who: [] for who in WHO}}
    for number in range(rounds):
        for who in random.Random(number).sample(WHO, len(WHO)):
            done = subprocess.run([*words, who], capture_output=True, text=True, check=True)
            found["megabytes"][who].append(json.loads(done.stdout.splitlines()[-1]))
    return found


def extra(turns: Sequence[dict[str, float]]) -> float:
    """The median of the peaks beyond what the process had before the model, MB."""
    return median(turn["peak"] - turn["before"] for turn in turns)


def time_row(found: dict[str, Any]) -> str:
    """A line of the table of times."""
    every = ratios(found["seconds"])
    low, _, high = quantiles(every, n=4, method="inclusive") if len(every) > 1 else every * 3
    ours, theirs = (1000 * median(found["seconds"][who]) for who in (OURS, THEIRS))
    same = f"  outputs differ by {found['difference']:.0e}" if "difference" in found else ""
    return (
        f"{Task(**found['task'])!s:<40} {ours:>8.0f} {theirs:>8.0f} {median(every):>6.2f}x {low:>6.2f}-{high:.2f}{same}"
    )


def memory_row(found: dict[str, Any]) -> str:
    """A line of the table of memory."""
    ours, again, theirs = (extra(found["megabytes"][who]) for who in WHO)
    whole = [median(turn["peak"] for turn in found["megabytes"][who]) for who in (OURS, THEIRS)]
    figures = f"{ours:>8.0f} {again:>9.0f} {theirs:>8.0f} {ours / theirs:>6.2f}x {again / theirs:>9.2f}x"
    return f"{Task(**found['task'])!s:<40} {figures} {whole[0] / whole[1]:>8.2f}x"


def time_table(tasks: Sequence[Task], rounds: int) -> list[dict[str, Any]]:
    """Each task timed, and told when it is."""
    click.echo(f"{'ms a step':<40} {'mixio':>8} {'MONAI':>8} {'ratio':>7} {'quartiles':>12}")
    return [told(timed(task, rounds), time_row) for task in tasks]


def memory_table(tasks: Sequence[Task], rounds: int) -> list[dict[str, Any]]:
    """Each task weighed, and told when it is."""
    names = f"{'mixio':>8} {'recompute':>9} {'MONAI':>8} {'ratio':>7} {'recompute':>10} {'whole':>9}"
    click.echo(f"\n{'MB of a step':<40} {names}")
    return [told(weighed(task, rounds), memory_row) for task in tasks]


def told(found: dict[str, Any], row: Callable[[dict[str, Any]], str]) -> dict[str, Any]:
    """`found`, once its line is printed."""
    click.echo(row(found))
    return found


@click.command()
@click.option(
    "--rounds", default=7, type=click.IntRange(min=1), help="Turns of each for time; a third of it for memory."
)
@click.option("--threads", default=1, type=click.IntRange(min=1), help="Of the CPU.")
@click.option("--only", default="", help="A word that a task must have in its name: mae, unetr, 48³.")
@click.option("--memory/--no-memory", default=True, help="Whether to weigh too.")
@click.option("--device", default="cpu", type=click.Choice(["cpu", "cuda"]), help="cuda: the rows of a GPU alone.")
@click.option("--json", "record", type=click.Path(path_type=Path), help="A file for every turn's figures.")
def main(rounds: int, threads: int, only: str, memory: bool, device: str, record: Path | None) -> None:
    """Time and weigh training steps of the models beside MONAI's."""
    figures: dict[str, Any] = {"machine": machine(), "versions": versions(PACKAGES), "threads": threads}
    if device == "cuda":
        click.echo(f"{'':<40} {'patches/s':>9} {'TFLOP/s':>8} {'of bf16 matmul':>15}")
        figures["gpu"] = gpu_rows(rounds)
    else:
        torch.set_num_threads(threads)
        figures["time"], figures["memory"] = time_table([task for task in TIMED if only in str(task)], rounds), []
        if memory:
            figures["memory"] = memory_table([task for task in WEIGHED if only in str(task)], max(1, rounds // 3))
    click.echo(f"\n{machine()}; {figures['versions']}; {threads} threads")
    if record:
        record.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()

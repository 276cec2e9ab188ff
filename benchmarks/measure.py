"""Contestants in turn: each turn in a fresh process, in a new random order each round, so that all meet the same noise.

A ratio is the median over the rounds of the ratios within a round, for what disturbs the machine disturbs neighbours
alike. A contestant that is not installed, or fails, is left out, and said so; the others go on.
"""

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median, quantiles
from typing import Any

from benchmarks.peers.roster import BENCHES, LIMITS, MIXIO, function
from benchmarks.run import Task

TIME_LIMIT = 600


@dataclass
class Entry:
    """What is known of a contestant."""

    name: str
    aligned: bool = False
    disk_bytes: int = 0
    prepare_seconds: float = 0.0
    turns: list[dict[str, Any]] = field(default_factory=list)
    left_out: str | None = None

    def values(self, what: str) -> list[float]:
        """One a round."""
        return [turn[what] for turn in self.turns]

    def median(self, what: str) -> float:
        """Over the rounds."""
        return median(self.values(what))

    def quartiles(self) -> tuple[float, float]:
        """Of the rate; of one round its only value."""
        rates = self.values("rate")
        if len(rates) < 2:
            return rates[0], rates[0]
        low, _, high = quantiles(rates, n=4, method="inclusive")
        return low, high


def ask(action: str, task: Task) -> dict[str, Any]:
    """The answer of a process that runs one contestant; `left_out` says why there is none."""
    command = [sys.executable, "-m", "benchmarks.run", action, json.dumps(asdict(task))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        return {"left_out": f"no answer within {TIME_LIMIT} s"}
    lines, errors = done.stdout.splitlines(), done.stderr.strip().splitlines()
    if done.returncode or not lines:
        return {"left_out": f"failed: {errors[-1] if errors else f'exit code {done.returncode}'}"}
    return json.loads(lines[-1])


def contest(task: Task, rounds: int, only: Sequence[str] = ()) -> list[Entry]:
    """Trials of all, then `rounds` rounds of turns of those that passed."""
    entries = [Entry(one.name, one.aligned) for one in BENCHES[task.bench] if not only or one.name in only]
    for entry in entries:
        _try(entry, task)
    for number in range(rounds):
        taking_part = [entry for entry in entries if not entry.left_out]
        for entry in random.Random(number).sample(taking_part, len(taking_part)):
            answer = ask("turn", replace(task, name=entry.name, seed=1000 + number))
            entry.left_out = answer.get("left_out")
            entry.turns += [] if entry.left_out else [answer]
            told = entry.left_out or f"{answer['rate']:8.1f} patches/s"
            print(f"round {number + 1}/{rounds}  {entry.name:<24} {told}", file=sys.stderr, flush=True)
    return entries


def _try(entry: Entry, task: Task) -> None:
    answer = ask("trial", replace(task, name=entry.name))
    entry.left_out = answer.get("left_out")
    entry.disk_bytes, entry.prepare_seconds = answer.get("disk_bytes", 0), answer.get("seconds", 0.0)
    told = f"left out: {entry.left_out}"
    if not entry.left_out:
        checked = f"{answer['checked']} patches right, {answer['distinct']} distinct"
        told = f"prepared in {entry.prepare_seconds:.0f} s; {checked}"
    print(f"{entry.name:<24} {told}", file=sys.stderr, flush=True)


def ours(entries: Sequence[Entry], aligned: bool = False) -> Entry | None:
    """The one that others are compared with."""
    return first_of(entries, [f"{name} aligned" if aligned else name for name in MIXIO])


def first_of(entries: Sequence[Entry], names: Sequence[str]) -> Entry | None:
    """The entry of the first of these names that was measured."""
    by_name = {entry.name: entry for entry in entries if not entry.left_out and entry.turns}
    return next((by_name[name] for name in names if name in by_name), None)


def ratio(entry: Entry, other: Entry, what: str = "rate") -> float:
    """How many times the other's an entry's figure is, round by round."""
    pairs = zip(entry.values(what), other.values(what), strict=True)
    return median(mine / theirs for mine, theirs in pairs)


def table(entries: Sequence[Entry], nifti_bytes: int) -> str:
    """Ranked, with our ratio to each, and the share of the in-memory crop; then who was left out.

    Processor time is for a patch, disk beside the .nii.gz; `extra` is memory that is no file's, beyond what the process
    had before it opened anything.
    """
    heads = f"{'patches/s':>9} {'quartiles':>15} {'mixio is':>9} {'of limit':>8} {'CPU ms':>7} {'disk':>6}"
    lines = [f"{'':<24} {heads} {'PSS MB':>7} {'extra MB':>8}"]
    limit = first_of(entries, LIMITS)
    ranked = sorted((e for e in entries if e.turns and not e.left_out), key=lambda entry: -entry.median("rate"))
    for entry in ranked:
        low, high = entry.quartiles()
        base = ours(entries, entry.aligned) or ours(entries)
        times = f"{ratio(base, entry):>8.2f}x" if base else f"{'-':>9}"
        share = f"{ratio(entry, limit):>8.2f}" if limit else f"{'-':>8}"
        lines.append(
            f"{entry.name:<24} {entry.median('rate'):>9.1f} {low:>7.1f}-{high:<7.1f} {times} {share} "
            f"{1000 * entry.median('cpu'):>7.2f} {entry.disk_bytes / nifti_bytes:>5.2f}x "
            f"{entry.median('pss') / 1e6:>7.0f} {entry.median('extra') / 1e6:>8.0f}"
        )
    lines += [f"left out: {entry.name}: {entry.left_out}" for entry in entries if entry.left_out]
    return "\n".join(lines)


def nifti_bytes(task: Task) -> int:
    """What disk bytes are compared with."""
    return sum(path.stat().st_size for path in function("nifti.form")(task.corpus).rglob("*.nii.gz"))

"""The mixture beside its peers: how exact it is, for how many ranks, from where it resumes, what it costs.

    python -m benchmarks.bench_mixture --json mixture.json --chart mixture.png

Every contestant mixes domains of one integer a sample with its own library, in a process of its own, and what its ranks
deliver is counted; `benchmarks/mixers/` has how each is set up and why. All but times and memory follows from the seed,
which is 0. Deviation, waits, ranks and resuming with other numbers are asked of two contestants at a time, times and
memory of one after the other. Slow contestants are asked for fewer draws, which the tables say.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from benchmarks.command import machine, versions
from benchmarks.mixers.picture import draw
from benchmarks.mixers.roster import MIXERS, Mixer
from benchmarks.mixers.tables import tables
from benchmarks.mixers.trial import Question

PACKAGES = "numpy torch grain mosaicml-streaming litdata webdataset torchdata datasets".split()
ORDER = (("deviation", "gap", "ranks", "elastic"), ("resume", "start"))
"""What is counted, two at a time, and what is timed, one by one."""
LIMIT, PLAN_LIMIT = 400, 60
"""Seconds for an answer, and for planning a long run."""


def ask(question: Question, limit: int = LIMIT) -> dict[str, Any]:
    """The answer of a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.mixers.trial", json.dumps(asdict(question))]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, start_new_session=True, **pipes) as process:
        try:
            told, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return {"refused": f"no answer within {limit} s"}
    if process.returncode or not told:
        last = errors.strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
        return {"refused": f"failed: {last[0]}"}
    return json.loads(told.splitlines()[-1])


def longest(question: Question) -> dict[str, Any]:
    """The start of the longest run that can be planned in time: a tenth of the draws until one can."""
    ask(replace(question, asked="prepare"))
    draws, refusals = question.draws, {}
    while draws >= 10**5:
        answer = ask(replace(question, draws=draws), PLAN_LIMIT)
        if "seconds" in answer:
            return {**answer, "draws": draws, "volumes": question.volumes, "longer": refusals}
        if "left_out" in answer:
            return answer
        refusals[f"{draws:.0e}"] = {"refused": f"{draws:.0e} draws: {answer['refused']}"}
        draws //= 10
    return {"longer": refusals}


def answered(asked: str, who: Mixer, folder: str) -> dict[str, Any]:
    """One contestant's answer, told when it is there."""
    question = Question(who.name, asked, folder)
    long = replace(question, draws=who.long, volumes=who.many)
    answer = longest(long) if asked == "start" else ask(question)
    click.echo(f"{asked:<10} {who.name:<22} {json.dumps(answer)[:90]}", err=True)
    return answer


def contest(folder: str, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """All answers, by question and contestant."""
    taking_part = [one for one in MIXERS if not names or one.name in names]
    counted, timed = ([(asked, one) for asked in some for one in taking_part if asked in one.asked] for some in ORDER)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda pair: answered(*pair, folder), counted))
    answers += [answered(*pair, folder) for pair in timed]
    found: dict[str, dict[str, Any]] = {}
    for (asked, one), answer in zip(counted + timed, answers, strict=True):
        found.setdefault(asked, {})[one.name] = answer
    return found


def costs(folder: str) -> dict[str, Any]:
    """What is measured of us alone."""
    command = [sys.executable, "-m", "benchmarks.mixers.added", folder]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


@click.command(help="How exact mixtures are, ours and others'.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where samples are written, kept, and used again.")
@click.option("--only", default="", help="Contestants, as the tables name them, with semicolons between.")
@click.option("--json", "record", type=click.Path(path_type=Path), help="A file for every answer.")
@click.option("--chart", type=click.Path(path_type=Path), help="A PNG.")
def main(folder: Path | None, only: str, record: Path | None, chart: Path | None) -> None:
    """Ask, print, write."""
    names = [name.strip() for name in only.split(";") if name.strip()]
    with tempfile.TemporaryDirectory() as temporary:
        place = str(folder or temporary)
        found = {**contest(place, names), "costs": costs(place)}
    told = {"seed": "seed 0 everywhere; Dirichlet weights by numpy's default_rng(0)", "machine": machine()}
    told["versions"] = versions(PACKAGES)
    click.echo("\n".join(told.values()) + "\n" + tables(found))
    if record:
        record.write_text(json.dumps(told | found, indent=1))
    if chart:
        draw(found["deviation"], chart)


if __name__ == "__main__":
    main()

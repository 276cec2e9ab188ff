"""Trains many small runs on one store, in worker processes, so that transfer laws can be fitted to them.

    python -m tools.sweep store --runs runs --budgets 1024,1536,2560,4096 --mixtures 30 --jobs 2
    python -m tools.sweep store --runs runs --designs designs.csv
    python -m tools.sweep store --runs runs --dask tcp://10.0.0.1:8786
    python -m tools.sweep store --runs runs --print-commands > commands.txt

Each domain alone at each budget, then random mixtures (`tools.designs`), or the runs of a table that `tools.design`
or anybody else wrote; the table of them goes to runs/design.csv, each run to runs/<run>.jsonl. A sweep that was
interrupted goes on when it is started again: runs that are complete are kept, and those that are not begin anew. A
complete run of the same name with other settings stops the sweep before anything is trained. What fails is tried once
more. Line n of what --print-commands prints is task n of a Slurm array, which runs
sed -n "$SLURM_ARRAY_TASK_ID"p commands.txt | sh
and goes on where it was when it is preempted and queued again.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mixio.errors import InvalidArgument
from mixio.store import Store, open_store
from tools.command import command
from tools.designs import Design, read_table, singles_and_mixtures, write_table
from tools.flags import is_given
from tools.numbers import whole_numbers
from tools.options import options_from, training_flags
from tools.runner import Outcome, Report, commands_of, plans_of, run_plans
from tools.table import table

_PLANNED = ("budgets", "mixtures", "concentration", "seed")
"""Options that say which runs to make."""


@command()
@click.argument("store", type=click.Path())
@click.option("--runs", default="runs", type=click.Path(file_okay=False), help="Where the logs go.")
@click.option("--budgets", default="1024,1536,2560,4096", help="Draws of a run; each domain is trained at each.")
@click.option("--mixtures", default=30, type=click.IntRange(min=0), help="Random mixtures beside the domains.")
@click.option("--concentration", default=0.3, help="Of the Dirichlet mixtures; small: mostly one domain.")
@click.option("--seed", default=0, help="Of the mixtures, and of every run's own seed.")
@click.option("--designs", type=click.Path(exists=True, dir_okay=False), help="A CSV of the runs, in place of these.")
@click.option("--jobs", default=1, type=click.IntRange(min=1), help="Worker processes; they share the cores.")
@click.option("--dask", metavar="ADDRESS", help="Make them on this Dask cluster; local starts one.")
@click.option("--print-commands", is_flag=True, help="Print a command for each missing run, and make none.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
@training_flags(without=("draws", "seed", "eval_every"))
def main(store: str, runs: str, jobs: int, dask: str | None, print_commands: bool, as_json: bool, **flags: Any) -> None:
    """Train single domains and mixtures of STORE, and log every run in RUNS."""
    opened, folder = open_store(store), Path(runs)
    given = {name: flags.pop(name) for name in (*_PLANNED, "designs")}
    designs = _read(opened, given["designs"]) if given["designs"] else _planned(opened, **given)
    plans = plans_of(designs, options_from(flags))
    folder.mkdir(parents=True, exist_ok=True)
    _record(folder / "design.csv", designs, earlier=bool(given["designs"]))
    if print_commands:
        for line in commands_of(opened, plans, runs=folder):
            click.echo(line)
        return
    if not as_json:
        shares = [[design.shares.get(domain, 0.0) for domain in opened.domains] for design in designs]
        rows = [[one.run, one.draws, *given] for one, given in zip(designs, shares, strict=True)]
        click.echo(table(["run", "draws", *opened.domains], rows) + "\n")
    with _progress(len(plans), quiet=as_json) as report:
        outcome = run_plans(opened, plans, runs=folder, jobs=jobs, dask=dask, report=report)
    _finish(outcome, runs, as_json=as_json)


def _planned(store: Store, *, budgets: str, designs: None, **plan_of: Any) -> list[Design]:
    return singles_and_mixtures(store.domains, whole_numbers(budgets, "--budgets"), plan_of.pop("mixtures"), **plan_of)


def _read(store: Store, path: str) -> list[Design]:
    """The runs of a table, whose domains the store must have."""
    if both := [f"--{name}" for name in _PLANNED if is_given(name)]:
        raise InvalidArgument(f"--designs says which runs to make, and so does {both[0]}; give one of them")
    designs = read_table(path)
    if not designs:
        raise InvalidArgument(f"{path} has no runs")
    drawn = {domain for design in designs for domain, share in design.shares.items() if share}
    if unknown := sorted(drawn - set(store.domains)):
        raise InvalidArgument(f"{path} draws from {unknown}, but the store has the domains {list(store.domains)}")
    return [replace(one, shares={name: one.shares.get(name, 0.0) for name in store.domains}) for one in designs]


def _record(path: Path, designs: Sequence[Design], *, earlier: bool) -> None:
    """Write the table of runs; with `earlier`, after those that it has."""
    new = {design.run for design in designs}
    old = [one for one in read_table(path) if one.run not in new] if earlier and path.exists() else []
    write_table(path, [*old, *designs])


def _finish(outcome: Outcome, runs: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"runs": runs, **asdict(outcome)}))
    else:
        for run, reason in outcome.failed.items():
            click.echo(f"failed: {run}: {reason}", err=True)
        made, found, failed = len(outcome.made), len(outcome.found), len(outcome.failed)
        click.echo(f"wrote {made} runs to {runs}; {found} were there already, {failed} failed")
        again = "the same command again, for those that failed" if failed else f"python -m tools.fit_laws {runs}"
        click.echo(f"next: {again}")
    if outcome.failed:
        raise SystemExit(1)


@contextmanager
def _progress(total: int, *, quiet: bool) -> Iterator[Report]:
    """A bar on a terminal, numbered lines elsewhere."""
    columns = (TextColumn("{task.percentage:3.0f}%"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(quiet=quiet, highlight=False, markup=False, soft_wrap=True)
    numbers = count(1)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("runs", total=total)

        def report(line: str) -> None:
            bar.advance(task)
            console.print(f"[{next(numbers)}/{total}] {line}")

        yield report


if __name__ == "__main__":
    main()

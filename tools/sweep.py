"""Trains many small runs on one store, in worker processes, so that transfer laws can be fitted to them.

    python -m tools.sweep store --runs runs --budgets 1024,1536,2560,4096 --mixtures 30 --jobs 2
    python -m tools.sweep store --runs runs --designs designs.csv

Each domain alone at each budget, then random mixtures (`tools.designs`), or the runs of a table that `tools.design`
or anybody else wrote; the table of them goes to runs/design.csv, each run to runs/<run>.jsonl. A sweep that was
interrupted goes on when it is started again: runs that are complete are kept, and those that are not begin anew. A
complete run of the same name with other settings stops the sweep before anything is trained.
"""

import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from itertools import count
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from typing import Any

import click
import torch
from click.core import ParameterSource
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mixio.errors import InvalidArgument
from mixio.store import Store, open_store
from tools.command import command
from tools.designs import Design, read_table, singles_and_mixtures, write_table
from tools.heldout import HeldOut, require_held_out
from tools.options import TrainOptions, options_from, training_flags
from tools.runlog import append_event, read_events
from tools.table import table
from tools.train import config_event, train

Report = Callable[[str], None]
"""Called once for each run with a line about it."""


_PLANNED = ("budgets", "mixtures", "concentration", "seed")
"""Options that say which runs to make."""


@dataclass(frozen=True)
class Plan:
    """One run to be made: `options` holds its name, draws and seed."""

    shares: dict[str, float]
    options: TrainOptions


@dataclass(frozen=True)
class Outcome:
    """Names of the runs that were complete already, that were made now, and why others failed."""

    found: list[str]
    made: list[str]
    failed: dict[str, str]


def run_designs(
    store: Store, designs: Sequence[Design], *, runs: Path, options: TrainOptions, jobs: int = 1
) -> Outcome:
    """Make the runs of a table of designs; `options` is for everything that a design leaves open."""
    return run_plans(store, plans_of(designs, options), runs=runs, jobs=jobs)


def plans_of(designs: Sequence[Design], options: TrainOptions) -> list[Plan]:
    """Each design with its run, draws and seed put into `options`."""
    return [
        Plan(design.shares, replace(options, run=design.run, draws=design.draws, seed=design.seed))
        for design in designs
    ]


def run_plans(
    store: Store, plans: Sequence[Plan], *, runs: Path, jobs: int = 1, report: Report = lambda line: None
) -> Outcome:
    """Make the runs that are missing from `runs`, the longest first, in `jobs` processes of equal threads.

    Raises `InvalidArgument` before training if two plans share a name, a domain has no held-out volumes, or a
    complete run was made with other settings.
    """
    require_held_out(store)
    names = [plan.options.run for plan in plans]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidArgument(f"two runs of one name would share a log: {', '.join(twice)}")
    done = [plan for plan in plans if _is_complete(store, plan, runs)]
    missing = sorted((plan for plan in plans if plan not in done), key=lambda plan: -plan.options.draws)
    for plan in done:
        report(f"{plan.options.run}: complete already")
    made, failed, others = [], {}, set(active_children())
    with _workers(jobs) as executor:
        futures = {executor.submit(_make, store.path, plan, runs): plan.options.run for plan in missing}
        try:
            for future in as_completed(futures):
                run, error = futures[future], future.exception()
                if error is None:
                    made.append(run)
                    report(f"{run}: {_losses(future.result())}")
                else:
                    failed[run] = f"{type(error).__name__}: {error}"
                    report(f"{run}: FAILED, {failed[run]}")
        except BaseException:  # Ctrl-C: the runs that have begun are not waited for
            for worker in set(active_children()) - others:
                worker.terminate()
            raise
    return Outcome([plan.options.run for plan in done], made, failed)


def _is_complete(store: Store, plan: Plan, runs: Path) -> bool:
    log = _log_of(plan, runs)
    events = read_events(log) if log.exists() else []
    if not events or events[-1]["event"] != "result":
        return False
    wanted = json.loads(json.dumps(config_event(store, plan.shares, plan.options)))
    if differing := [name for name in wanted if wanted[name] != events[0].get(name)]:
        raise InvalidArgument(
            f"{log} is a run with another {', '.join(differing)}: put this sweep into another --runs, "
            "or remove the logs that are not wanted"
        )
    return True


def _log_of(plan: Plan, runs: Path) -> Path:
    return runs / f"{plan.options.run}.jsonl"


def _workers(jobs: int) -> ProcessPoolExecutor:
    """Processes that share the cores and import torch once for many runs; none starts before it has one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = max(1, cores // jobs)
    return ProcessPoolExecutor(jobs, get_context("spawn"), initializer=_begin, initargs=(threads,))


def _begin(threads: int) -> None:
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker that outlived a killed sweep would write on into the logs of the next one."""
    parent_process().join()
    os._exit(1)


def _make(path: str, plan: Plan, runs: Path) -> dict[str, float]:
    """In a worker: train one run from the start and log it; its held-out losses."""
    log = _log_of(plan, runs)
    log.unlink(missing_ok=True)
    store, options = _store(path), plan.options
    held_out = _held_out(path, options.model.patch_size, options.eval_crops)
    emit = partial(append_event, log)
    return train(store, plan.shares, options, emit=emit, held_out=held_out).loss


@cache
def _store(path: str) -> Store:
    return open_store(path)


@cache
def _held_out(path: str, patch_size: int, crops: int) -> HeldOut:
    return HeldOut.read(_store(path), patch_size=patch_size, crops=crops)


def _losses(loss: dict[str, float]) -> str:
    return ", ".join(f"{domain} {value:.5f}" for domain, value in loss.items())


@command()
@click.argument("store", type=click.Path())
@click.option("--runs", default="runs", type=click.Path(file_okay=False), help="Where the logs go.")
@click.option("--budgets", default="1024,1536,2560,4096", help="Draws of a run; each domain is trained at each.")
@click.option("--mixtures", default=30, type=click.IntRange(min=0), help="Random mixtures beside the domains.")
@click.option("--concentration", default=0.3, help="Of the Dirichlet mixtures; small: mostly one domain.")
@click.option("--seed", default=0, help="Of the mixtures, and of every run's own seed.")
@click.option("--designs", type=click.Path(exists=True, dir_okay=False), help="A CSV of the runs, in place of these.")
@click.option("--jobs", default=1, type=click.IntRange(min=1), help="Worker processes; they share the cores.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
@training_flags(without=("draws", "seed", "eval_every"))
def main(store: str, runs: str, jobs: int, as_json: bool, **flags: Any) -> None:
    """Train single domains and mixtures of STORE, and log every run in RUNS."""
    opened, folder = open_store(store), Path(runs)
    given = {name: flags.pop(name) for name in (*_PLANNED, "designs")}
    designs = _read(opened, given["designs"]) if given["designs"] else _planned(opened, **given)
    plans = plans_of(designs, options_from(flags))
    folder.mkdir(parents=True, exist_ok=True)
    _record(folder / "design.csv", designs, earlier=bool(given["designs"]))
    if not as_json:
        shares = [[design.shares.get(domain, 0.0) for domain in opened.domains] for design in designs]
        rows = [[one.run, one.draws, *given] for one, given in zip(designs, shares, strict=True)]
        click.echo(table(["run", "draws", *opened.domains], rows) + "\n")
    with _progress(len(plans), quiet=as_json) as report:
        outcome = run_plans(opened, plans, runs=folder, jobs=jobs, report=report)
    _finish(outcome, runs, as_json=as_json)


def _planned(store: Store, *, budgets: str, designs: None, **plan_of: Any) -> list[Design]:
    return singles_and_mixtures(store.domains, _budgets(budgets), plan_of.pop("mixtures"), **plan_of)


def _read(store: Store, path: str) -> list[Design]:
    """The runs of a table, whose domains the store must have."""
    asked = click.get_current_context().get_parameter_source
    if both := [f"--{name}" for name in _PLANNED if asked(name) is ParameterSource.COMMANDLINE]:
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


def _budgets(text: str) -> list[int]:
    try:
        return [int(budget) for budget in text.split(",")]
    except ValueError as error:
        raise InvalidArgument(f"--budgets must look like 256,512,1024, got {text!r}") from error


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

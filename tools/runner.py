"""The making of many runs: in processes of this machine, on a Dask cluster, or as commands for another scheduler.

A run that is complete is kept, one that is not begins anew. What fails is tried once more, when all others are done.
"""

import json
import os
import shlex
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import cache, partial
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path

import torch

from mixio.dask import on_dask
from mixio.errors import InvalidArgument
from mixio.store import Store, open_store
from tools.designs import Design
from tools.heldout import HeldOut, require_held_out
from tools.options import TrainOptions, flags_of
from tools.resume import Job
from tools.runlog import append_event, read_events
from tools.train import config_event, train

Report = Callable[[str], None]
"""Called once for each run with a line about it."""


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
    store: Store,
    plans: Sequence[Plan],
    *,
    runs: Path,
    jobs: int = 1,
    dask: str | None = None,
    checkpoints: bool = False,
    report: Report = lambda line: None,
) -> Outcome:
    """Make the runs that are missing from `runs`, the longest first, in `jobs` processes of equal threads.

    With `dask`, the address of a scheduler, on that cluster; its workers must see store and `runs` at these paths. With
    `checkpoints` each model goes to runs/<run>.pt, and a run without is not complete. What fails is tried once more,
    when all others are done. Raises `InvalidArgument` before training if two plans share a name, a domain has no
    held-out volumes, or a complete run was made with other settings.
    """
    missing, done = _missing(store, plans, runs, checkpoints=checkpoints)
    for plan in done:
        report(f"{plan.options.run}: complete already")
    made, again, failed = [], [], {}
    place = _Place(partial(_make, store.path, runs.resolve(), checkpoints), jobs, dask)
    for plan, outcome in place.made(missing):
        if isinstance(outcome, BaseException):
            again.append(plan)
            continue
        made.append(plan.options.run)
        report(f"{plan.options.run}: {_losses(outcome)}")
    for plan, outcome in place.made(again):
        run = plan.options.run
        if isinstance(outcome, BaseException):
            failed[run] = f"{type(outcome).__name__}: {outcome}"
            report(f"{run}: FAILED twice, {failed[run]}")
        else:
            made.append(run)
            report(f"{run}: {_losses(outcome)}, at the second attempt")
    return Outcome([plan.options.run for plan in done], made, failed)


def commands_of(store: Store, plans: Sequence[Plan], *, runs: Path) -> list[str]:
    """A command of tools.train for each run that is missing from `runs`, the longest first."""
    missing, _ = _missing(store, plans, runs)
    return [_command(store, plan, runs) for plan in missing]


def _command(store: Store, plan: Plan, runs: Path) -> str:
    mixture = ",".join(f"{name}={share!r}" for name, share in plan.shares.items() if share)
    told = [store.path, "--runs", str(runs), "--run", plan.options.run, "--mixture", mixture]
    return shlex.join(["python", "-m", "tools.train", *told, *flags_of(plan.options), "--resume"])


def _missing(
    store: Store, plans: Sequence[Plan], runs: Path, *, checkpoints: bool = False
) -> tuple[list[Plan], list[Plan]]:
    """The runs to be made, the longest first, and those that are complete."""
    require_held_out(store)
    names = [plan.options.run for plan in plans]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidArgument(f"two runs of one name would share a log: {', '.join(twice)}")
    done = [
        plan
        for plan in plans
        if _is_complete(store, plan, runs) and (not checkpoints or checkpoint_of(plan.options.run, runs).exists())
    ]
    return sorted((plan for plan in plans if plan not in done), key=lambda plan: -plan.options.draws), done


@dataclass(frozen=True)
class _Place:
    """How a run is made, and where: in so many processes here, or on a Dask cluster."""

    make: Callable[[Plan], dict[str, float]]
    jobs: int
    dask: str | None

    def made(self, plans: Sequence[Plan]) -> Iterator[tuple[Plan, dict[str, float] | BaseException]]:
        """Every plan with its held-out losses, or with what went wrong, in the order in which they end."""
        if self.dask is not None:
            return on_dask(self.make, plans, address=self.dask, jobs=self.jobs)
        return _here(self.make, plans, self.jobs) if plans else iter(())


def _here(
    make: Callable[[Plan], dict[str, float]], plans: Sequence[Plan], jobs: int
) -> Iterator[tuple[Plan, dict[str, float] | BaseException]]:
    others = set(active_children())
    with _workers(jobs) as executor:
        futures = {executor.submit(make, plan): plan for plan in plans}
        try:
            for future in as_completed(futures):
                yield futures[future], future.exception() or future.result()
        except BaseException:  # Ctrl-C: the runs that have begun are not waited for
            for worker in set(active_children()) - others:
                worker.terminate()
            raise


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


def checkpoint_of(run: str, runs: Path) -> Path:
    """Where the model of a run is."""
    return runs / f"{run}.pt"


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


def _make(path: str, runs: Path, checkpoints: bool, plan: Plan) -> dict[str, float]:
    """In a worker: train one run from the start and log it; its held-out losses."""
    log = _log_of(plan, runs)
    store, options = _store(path), plan.options
    for old in (log, checkpoint_of(options.run, runs)):
        old.unlink(missing_ok=True)
    held_out = _held_out(path, options.model.patch_size, options.eval_crops)
    emit = partial(append_event, log)
    job = Job(checkpoint_of(options.run, runs)) if checkpoints else None
    return train(store, plan.shares, options, emit=emit, held_out=held_out, job=job).loss


@cache
def _store(path: str) -> Store:
    return open_store(path)


@cache
def _held_out(path: str, patch_size: int, crops: int) -> HeldOut:
    return HeldOut.read(_store(path), patch_size=patch_size, crops=crops)


def _losses(loss: dict[str, float]) -> str:
    return ", ".join(f"{domain} {value:.5f}" for domain, value in loss.items())

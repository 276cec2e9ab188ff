"""Trains a masked autoencoder on a mixture: the reference for how mixio's sampler is used in a training loop.

    python -m tools.train store --mixture uniform --draws 4096
    python -m tools.train store --mixture allocation.json --draws 1048576 --checkpoint-every 500 --resume
    torchrun --nproc-per-node 8 -m -- tools.train store --mixture allocation.json --draws 1048576 --run large

Writes runs/<run>.jsonl: settings, losses on the way, and at the end what was drawn and the held-out loss of
every domain of the store; runs/<run>.ledger.jsonl, what was delivered until each of these losses; and the checkpoint
runs/<run>.pt. If other draws were delivered than planned, the run ends with an error. A run is a function of its
settings: the same ones give the same losses on the same machine, however often it was stopped on the way.

SIGTERM and Ctrl-C end the step, write a checkpoint and exit with 128 and the signal's number; `--resume` goes on from
the last checkpoint, or begins where there is none. A step learns from batch_size x accumulate x processes patches.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from signal import SIGTERM
from typing import Any

import click
import torch

from mixio.dataset import MixtureDataset
from mixio.ledger import Ledger
from mixio.mixture import Mixture
from mixio.sampler import MixtureSampler
from mixio.store import Store, open_store
from tools.batches import Stopwatch, grouped, loader_of
from tools.command import command
from tools.distributed import device_of, on_first_rank, rank, ranks, world_size
from tools.heldout import HeldOut, require_held_out
from tools.loop import Learner, Objective, is_bfloat16, mean_loss
from tools.options import TrainOptions, options_from, training_flags
from tools.out_of_memory import explained
from tools.outputs import Outputs, Wanted, print_result
from tools.preemption import Stopped, StopSignals
from tools.resume import Job, begin
from tools.run import Run, Trained
from tools.runlog import SCHEMA_VERSION
from tools.shares import patches_of, shares_of

MIXTURES = "uniform, proportional, temperature, unimax, allocation.json, or a=0.6,b=0.4."
_OF_THE_COMMAND = ("checkpoint", "checkpoint_every", "resume", "pictures", "tensorboard", "as_json")
Emit = Callable[[dict[str, Any]], None]
"""Takes the events of a run as they happen; `tools.runlog` says what is in them."""


def train(
    store: Store,
    shares: Mapping[str, float],
    options: TrainOptions,
    *,
    emit: Emit = lambda event: None,
    held_out: HeldOut | None = None,
    record: Callable[[Ledger], None] = lambda ledger: None,
    objective: Objective = mean_loss,
    job: Job | None = None,
) -> Trained:
    """Train on the store's `train` split and measure on its `val` split.

    `held_out` saves reading the held-out crops again when many runs share them. `record` is given the ledger
    with every event of a step; `objective` says what the steps descend; `job` has what a run needs to be stopped and
    to go on. Where torch.distributed runs, every rank calls this, and `emit` and `record` are called on the first one.

    Raises `MixioError` naming the patches if a loss is not finite, `MixtureDriftError` if other draws were delivered
    than planned, `OutOfMemory` with what to lower, and `Stopped` after a checkpoint when `job` says so.
    """
    job = job or Job()
    with explained(options):
        require_held_out(store)
        run, dataset = _run(store, shares, options, objective)
        if job.saved is not None:
            run.restore(job.saved)
        size = {"patch_size": options.model.patch_size, "crops": options.eval_crops}
        crops = held_out or on_first_rank(lambda: HeldOut.read(store, **size), share=False)
        tell = emit if rank() == 0 else lambda event: None
        if run.step == 0:
            tell({**run.settings, "store": str(Path(store.path).resolve()), "host": _host(options)})
        for logs, measures in _steps(run, loader_of(dataset, options, run.sampler)):
            if logs:
                event = run.event()
                tell({**event, "held_out": _measure(run, crops)} if measures else event)
                delivered = run.ledger.gathered()
                if rank() == 0:
                    record(delivered)
                run.losses.clear()
            if rank() == 0:
                job.watch(run, crops)
            job.keep(run)
        return _result(store, run, _measure(run, crops), tell)


def _run(
    store: Store, shares: Mapping[str, float], options: TrainOptions, objective: Objective
) -> tuple[Run, MixtureDataset]:
    """A run before its first step, and what it draws from."""
    learner = Learner(options, objective)
    dataset = MixtureDataset(
        store,
        Mixture(shares, seed=options.seed),
        patch_size=options.model.patch_size,
        seed=options.seed,
        foreground=options.foreground,
        on_fault=options.on_fault,
    )
    ledger = Ledger(dataset.mixture, {domain: len(names) for domain, names in dataset.volumes.items()})
    sampler = MixtureSampler(dataset, num_samples=options.draws, batch_size=options.batch_size)
    return Run(learner, sampler, ledger, config_event(store, shares, options)), dataset


def _steps(run: Run, loader: Iterable[Any]) -> Iterator[tuple[bool, bool]]:
    """Make the steps that are left; after each, whether it is to be logged, and the held-out losses measured."""
    learner, options = run.learner, run.learner.options
    batches, waited, began = Stopwatch(loader), run.waiting, time.perf_counter() - run.seconds
    for group in grouped(batches, options.accumulate):
        run.losses.append(learner.step(run.step + 1, group))
        run.step += 1
        for batch in group:
            run.ledger.observe(batch)
        run.seconds, run.waiting = time.perf_counter() - began, waited + batches.seconds
        measures = bool(options.eval_every) and run.step % options.eval_every == 0
        yield measures or run.step % options.log_every == 0 or run.step == learner.steps, measures
    run.seconds, run.waiting = time.perf_counter() - began, waited + batches.seconds


def _measure(run: Run, held_out: HeldOut | None) -> dict[str, float]:
    """The held-out losses, which the first rank measures."""
    return on_first_rank(lambda: held_out.losses(run.learner.result))


def _result(store: Store, run: Run, loss: dict[str, float], tell: Emit) -> Trained:
    """The end of a run: what was delivered is checked, and all of it told."""
    options, ledger = run.learner.options, run.ledger.gathered()
    ledger.check(options.draws)
    draws = {domain: ledger.draws[domain] for domain in store.domains}
    unique = {domain: patches_of(store, domain, options.model.patch_size) for domain in store.domains}
    result = {"event": "result", "draws": draws, "unique": unique, "loss": loss, "seconds": run.seconds}
    tell({**result, "waiting": run.waiting})
    data = run.sampler.state_dict(consumed=options.draws)
    return Trained(run.learner.result, loss, ledger, run.seconds, run.waiting, data)


def config_event(store: Store, shares: Mapping[str, float], options: TrainOptions) -> dict[str, Any]:
    """The first line of a run log, but for where it ran: everything that decides what the run learns."""
    every = {domain: float(shares.get(domain, 0.0)) for domain in sorted({*store.domains, *shares})}
    recorded = {**options.recorded(world_size()), "shares": every, "data": store.fingerprint}
    return {"event": "config", "schema_version": SCHEMA_VERSION, **recorded}


def _host(options: TrainOptions) -> dict[str, Any]:
    device = device_of(options.device)
    precision = "bfloat16" if is_bfloat16(options.precision, device) else "float32"
    threads = torch.get_num_threads()
    where = {"torch": torch.__version__, "device": str(device), "threads": threads}
    return {**where, "processes": world_size(), "precision": precision}


@command()
@click.argument("store", type=click.Path())
@click.option("--mixture", required=True, help=MIXTURES)
@click.option("--run", help="Name of the run; made up from the mixture, the draws and the seed otherwise.")
@click.option("--runs", default="runs", type=click.Path(file_okay=False), help="Where the log goes.")
@click.option("--checkpoint", type=click.Path(dir_okay=False), help="Where the model goes; else RUNS/<run>.pt.")
@click.option("--checkpoint-every", default=0, type=click.IntRange(min=0), help="Steps between two; 0: one at the end.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint, if there is one.")
@click.option("--pictures", default=0, type=click.IntRange(min=0), help="Pictures to draw of reconstructions.")
@click.option("--tensorboard", type=click.Path(file_okay=False), help="Also write the curves there.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
@training_flags()
def main(store: str, mixture: str, run: str | None, runs: str, **flags: Any) -> None:
    """Train on the volumes of STORE; writes the log RUNS/<run>.jsonl and a checkpoint."""
    asked = {name: flags.pop(name) for name in _OF_THE_COMMAND}
    opened = open_store(store)
    options = options_from(flags)
    shares, strategy = shares_of(mixture, opened, draws=options.draws, patch_size=options.model.patch_size)
    name = run or f"{strategy or 'mixture'}-{options.draws}-{options.seed}"
    options = replace(options, run=name, strategy=strategy)
    log, checkpoint = Path(runs) / f"{name}.jsonl", Path(asked["checkpoint"] or Path(runs) / f"{name}.pt")
    folder = Path(asked["tensorboard"]) if asked["tensorboard"] else None
    wanted = Wanted(log, asked["pictures"], folder, quiet=asked["as_json"])
    torch.manual_seed(options.seed)  # torch's own seed is another in every process, and part of what a checkpoint holds
    with ranks(device_of(options.device)), StopSignals() as signals:
        saved = begin(log, checkpoint, config_event(opened, shares, options), resume=asked["resume"])
        if asked["resume"] and rank() == 0:
            click.echo(_beginning(checkpoint, saved), err=True)
        try:
            with Outputs(wanted, options.draws, saved) as outputs:
                job = Job(checkpoint, asked["checkpoint_every"], saved, stop=signals.came, watch=outputs.watch)
                trained = train(opened, shares, options, emit=outputs.emit, record=outputs.record, job=job)
        except Stopped as stopped:
            if rank() == 0:
                click.echo(f"stopped after {stopped.draw} of {options.draws} draws; wrote {checkpoint}", err=True)
                click.echo("next: the same command with --resume", err=True)
            raise SystemExit(128 + (signals.received or SIGTERM)) from None
        if rank() == 0:
            print_result(trained, store, log, checkpoint, as_json=asked["as_json"])


def _beginning(checkpoint: Path, saved: Mapping[str, Any] | None) -> str:
    if saved is None:
        return f"there is no checkpoint {checkpoint} yet: the run begins"
    return f"going on from {checkpoint}, after {saved['data']['consumed']} draws"


if __name__ == "__main__":
    main()

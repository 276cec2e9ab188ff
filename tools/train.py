"""Trains a masked autoencoder on a mixture: the reference for how mixio's sampler is used in a training loop.

    python -m tools.train store --mixture uniform --draws 4096
    python -m tools.train store --mixture allocation.json --draws 4096 --seed 1 --checkpoint mae.pt

Writes runs/<run>.jsonl: settings, losses on the way, and at the end what was drawn and the held-out loss of
every domain of the store; and runs/<run>.ledger.jsonl, what was delivered until each of these losses. If other
draws were delivered than planned, the run ends with an error. A run is a function of its settings: the same ones
give the same losses on the same machine. One process and one device; there is no resuming, for runs of this kind
are many and short.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from mixio.dataset import MixtureDataset
from mixio.errors import InvalidArgument, MixioError
from mixio.ledger import Ledger
from mixio.loader import MixtureLoader
from mixio.mixture import Mixture
from mixio.sampler import MixtureSampler
from mixio.store import Store, open_store
from models.checkpoint import save_checkpoint
from models.mae import MaskedAutoencoder
from tools.command import command
from tools.heldout import HeldOut, visible_tokens
from tools.options import TrainOptions, options_from, training_flags
from tools.runlog import LEDGER, SCHEMA_VERSION, append_event, read_events
from tools.schedule import learning_rate
from tools.shares import patches_of, shares_of

Emit = Callable[[dict[str, Any]], None]
"""Takes the events of a run as they happen; `tools.runlog` says what is in them."""
Objective = Callable[[Tensor, Mapping[str, Any]], Tensor]
"""What a step descends, of the losses (B,) of the patches of a batch, and of the batch."""


def mean_loss(losses: Tensor, batch: Mapping[str, Any]) -> Tensor:
    """The mean of the losses: every draw counts alike."""
    return losses.mean()


@dataclass(frozen=True)
class Trained:
    """What came of a run: the model, the held-out loss of each domain, what was delivered, the loader's state, and
    how many of the seconds the training waited for data.
    """

    mae: MaskedAutoencoder
    loss: dict[str, float]
    ledger: Ledger
    seconds: float
    waiting: float
    data: dict[str, Any]


def train(
    store: Store,
    shares: Mapping[str, float],
    options: TrainOptions,
    *,
    emit: Emit = lambda event: None,
    held_out: HeldOut | None = None,
    record: Callable[[Ledger], None] = lambda ledger: None,
    objective: Objective = mean_loss,
) -> Trained:
    """Train on the store's `train` split and measure on its `val` split.

    `held_out` saves reading the held-out crops again when many runs share them. `record` is given the ledger
    with every event of a step; `objective` says what the steps descend. Raises
    `MixioError` naming the patches if a loss is not finite, and `MixtureDriftError` if other draws were delivered
    than planned.
    """
    device = device_of(options.device)
    if held_out is None:
        held_out = HeldOut.read(store, patch_size=options.model.patch_size, crops=options.eval_crops)
    dataset = MixtureDataset(
        store,
        Mixture(shares, seed=options.seed),
        patch_size=options.model.patch_size,
        seed=options.seed,
        foreground=options.foreground,
        on_fault=options.on_fault,
    )
    loader = _loader(dataset, options)
    ledger = Ledger(dataset.mixture, {domain: len(names) for domain, names in dataset.volumes.items()})
    mae = build(options).to(device)
    optimizer = _optimizer(mae, options)

    where = str(Path(store.path).resolve())
    emit({**config_event(store, shares, options), "store": where, "host": _host(device)})
    start, losses = time.perf_counter(), []
    batches = Stopwatch(loader)
    for step, batch in enumerate(batches, start=1):
        _set_rate(optimizer, step, options)
        losses.append(_step(mae, batch, optimizer, options.clip, objective))
        ledger.observe(batch)
        measured = options.eval_every and step % options.eval_every == 0
        if measured or step % options.log_every == 0 or step == options.steps:
            event = {"event": "step", "draw": step * options.batch_size, "loss": sum(losses) / len(losses)}
            event |= {"lr": optimizer.param_groups[0]["lr"], "seconds": time.perf_counter() - start}
            emit({**event, "held_out": held_out.losses(mae)} if measured else event)
            record(ledger)
            losses = []
    seconds = time.perf_counter() - start

    ledger.check(options.draws)
    delivered = ledger.draws
    draws = {domain: delivered[domain] for domain in store.domains}
    loss = held_out.losses(mae)
    unique = {domain: patches_of(store, domain, options.model.patch_size) for domain in store.domains}
    result = {"event": "result", "draws": draws, "unique": unique, "loss": loss, "seconds": seconds}
    emit({**result, "waiting": batches.seconds})
    sampler = MixtureSampler(dataset, num_samples=options.draws, batch_size=options.batch_size)
    return Trained(mae, loss, ledger, seconds, batches.seconds, sampler.state_dict(consumed=options.draws))


class Stopwatch:
    """Iterates, and counts the seconds that the loop waits for what comes next."""

    def __init__(self, items: Iterable[Any]) -> None:
        self.items, self.seconds = items, 0.0

    def __iter__(self) -> Iterator[Any]:
        began = time.perf_counter()
        for item in self.items:
            self.seconds += time.perf_counter() - began
            yield item
            began = time.perf_counter()
        self.seconds += time.perf_counter() - began


def _loader(dataset: MixtureDataset, options: TrainOptions) -> Iterable[Any]:
    run = {"num_samples": options.draws, "batch_size": options.batch_size}
    if not options.workers:
        return MixtureLoader(dataset, **run, threads=options.threads or None)
    return DataLoader(
        dataset,
        batch_size=options.batch_size,
        sampler=MixtureSampler(dataset, **run),
        num_workers=options.workers,
        generator=torch.Generator().manual_seed(options.seed),  # or it would draw from the global one
    )


def build(options: TrainOptions) -> MaskedAutoencoder:
    """The untrained model, on the CPU; leaves torch's global random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        return MaskedAutoencoder(options.model.config)


def config_event(store: Store, shares: Mapping[str, float], options: TrainOptions) -> dict[str, Any]:
    """The first line of a run log, but for where it ran: everything that decides what the run learns."""
    every = {domain: float(shares.get(domain, 0.0)) for domain in sorted({*store.domains, *shares})}
    recorded = {**options.recorded(), "shares": every, "data": store.fingerprint}
    return {"event": "config", "schema_version": SCHEMA_VERSION, **recorded}


def device_of(name: str) -> torch.device:
    """The device of that name; `auto` is a CUDA GPU if there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidArgument(f"--device {name} cannot be used here: {reason}") from error


def losses_of(mae: MaskedAutoencoder, batch: Mapping[str, Any]) -> Tensor:
    """The losses of the patches of a batch (B,), under the masks that belong to its draws."""
    device = mae.mask_token.device
    visible = visible_tokens(mae, batch["seed"].tolist()).to(device)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        losses, _ = mae(batch["image"].to(device), visible, batch["valid"].to(device))
    return losses


def _step(
    mae: MaskedAutoencoder,
    batch: Mapping[str, Any],
    optimizer: torch.optim.Optimizer,
    clip: float,
    objective: Objective,
) -> float:
    """One optimizer step; the objective of the batch before it."""
    losses = losses_of(mae, batch)
    _check_finite(losses, batch)
    loss = objective(losses, batch)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(mae.parameters(), clip)
    optimizer.step()
    return loss.item()


def _check_finite(losses: Tensor, batch: Mapping[str, Any]) -> None:
    bad = (~losses.isfinite()).nonzero().flatten().tolist()
    if bad:
        patches = [f"{batch['domain'][i]}/{batch['key'][i]} (draw {int(batch['draw'][i])})" for i in bad]
        raise MixioError(
            f"the loss is not finite for {len(bad)} of {len(losses)} patches: {', '.join(patches)}; "
            "look at these volumes, or train with a lower --learning-rate"
        )


def _optimizer(mae: MaskedAutoencoder, options: TrainOptions) -> torch.optim.AdamW:
    """AdamW as for the original MAE; vectors (biases, norms) do not decay."""
    trained = [parameter for parameter in mae.parameters() if parameter.requires_grad]
    groups = [
        {"params": [one for one in trained if one.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [one for one in trained if one.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=options.learning_rate, betas=(0.9, 0.95), fused=True)


def _set_rate(optimizer: torch.optim.Optimizer, step: int, options: TrainOptions) -> None:
    rate = learning_rate(step - 1, options.steps, peak=options.learning_rate, warmup=options.warmup)
    for group in optimizer.param_groups:
        group["lr"] = rate


def _host(device: torch.device) -> dict[str, Any]:
    return {"torch": torch.__version__, "device": str(device), "threads": torch.get_num_threads()}


@command()
@click.argument("store", type=click.Path())
@click.option("--mixture", required=True, help="uniform, proportional, temperature, allocation.json, or a=0.6,b=0.4.")
@click.option("--run", help="Name of the run; made up from the mixture, the draws and the seed otherwise.")
@click.option("--runs", default="runs", type=click.Path(file_okay=False), help="Where the log goes.")
@click.option("--checkpoint", type=click.Path(dir_okay=False), help="Write the trained model there.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
@training_flags()
def main(
    store: str, mixture: str, run: str | None, runs: str, checkpoint: str | None, as_json: bool, **flags: Any
) -> None:
    """Train on the volumes of STORE and write runs/<run>.jsonl."""
    opened = open_store(store)
    shares, strategy = shares_of(mixture, opened)
    name = run or f"{strategy or 'mixture'}-{flags['draws']}-{flags['seed']}"
    options = options_from(flags, run=name, strategy=strategy)
    log = new_log(Path(runs), name)
    ledger = ledger_of(log)
    if checkpoint:
        Path(checkpoint).parent.mkdir(parents=True, exist_ok=True)  # rather than fail when all is trained

    def emit(event: dict[str, Any]) -> None:
        append_event(log, event)
        if event["event"] == "step" and not as_json:
            rate = event["draw"] / event["seconds"]
            click.echo(
                f"draw {event['draw']:>7}/{options.draws}  loss {event['loss']:.5f}  "
                f"lr {event['lr']:.2e}  {rate:.0f} patches/s"
            )

    trained = train(opened, shares, options, emit=emit, record=lambda delivered: delivered.write(ledger))
    if checkpoint:
        metadata = {"run": name, "shares": shares, "draws": options.draws, "seed": options.seed}
        save_checkpoint(checkpoint, trained.mae, metadata=metadata, data=trained.data)
    if as_json:
        summary = {"log": str(log), "ledger": str(ledger), "checkpoint": checkpoint, "loss": trained.loss}
        summary |= {"seconds": trained.seconds, "waiting": trained.waiting}
        click.echo(json.dumps({**summary, "mixture": trained.ledger.summary()}))
        return
    click.echo(f"delivered: {trained.ledger.line()}")
    for domain, loss in trained.loss.items():
        click.echo(f"held-out loss {domain}: {loss:.5f}")
    click.echo(f"waited for data: {trained.waiting / trained.seconds:.1%} of {trained.seconds:.1f} s")
    click.echo(f"wrote {', '.join(str(path) for path in (log, ledger, checkpoint) if path)}")
    click.echo(f"next: python -m tools.sweep {store} --runs {runs}   (more mixtures, to fit laws to)")


def new_log(runs: Path, run: str) -> Path:
    """Where the run's log goes; an interrupted run of that name is removed, a complete one is refused."""
    log = runs / f"{run}.jsonl"
    if log.exists():
        events = read_events(log)
        if events and events[-1]["event"] == "result":
            raise InvalidArgument(f"{log} is a complete run; choose another --run, or remove it")
        log.unlink()
    ledger_of(log).unlink(missing_ok=True)
    return log


def ledger_of(log: Path) -> Path:
    """The ledger that belongs to a run's log."""
    return log.with_name(log.name.removesuffix(".jsonl") + LEDGER)


if __name__ == "__main__":
    main()

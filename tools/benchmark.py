"""Measures whether a store feeds a GPU: patches a second through the mixture and a DataLoader, by workers.

    python -m tools.benchmark store --patch-size 96 --workers 0,2,4 --need 200

`--need` is what your model eats: patches a second of your training step with data that is already in memory.
The first row, 0 workers, reads in this process; the others add the copy between processes, which a plain
DataLoader cannot avoid. Each row is the median of the rates of whole seconds, after a warm-up; the operating
system's cache is as it is, so measure twice, and with more volumes than memory to see the disk.
"""

import json
import time
from dataclasses import asdict, dataclass
from statistics import median

import click
from torch.utils.data import DataLoader

from mixio.dataset import MixtureDataset, MixtureSampler
from mixio.errors import InvalidArgument
from mixio.mixture import Mixture
from mixio.store import open_store
from tools.command import command
from tools.shares import shares_of
from tools.table import table

_MANY = 10**9


@dataclass(frozen=True)
class Rate:
    """Patches a second, and what they weigh as float32 in MB/s, with this many worker processes."""

    workers: int
    patches: float
    megabytes: float


def measure(dataset: MixtureDataset, *, workers: int, batch_size: int, seconds: float) -> Rate:
    """Read from `dataset` for `seconds` after a warm-up of a few batches."""
    sampler = MixtureSampler(dataset, num_samples=_MANY, batch_size=batch_size, rank=0, num_replicas=1)
    context = "spawn" if workers else None
    loader = DataLoader(
        dataset, batch_size=batch_size, sampler=sampler, num_workers=workers, multiprocessing_context=context
    )
    batches = iter(loader)
    for _ in range(2 * max(1, workers)):
        image = next(batches)["image"]
    rates: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        started, patches = time.perf_counter(), 0
        while time.perf_counter() - started < min(1.0, seconds):
            patches += len(next(batches)["image"])
        rates.append(patches / (time.perf_counter() - started))
    rate = median(rates)
    return Rate(workers, rate, rate * image[0].nbytes / 1e6)


@command()
@click.argument("store", type=click.Path())
@click.option("--mixture", default="uniform", help="uniform, proportional, an allocation.json, or a=0.6,b=0.4.")
@click.option("--patch-size", default=96, help="Edge of a patch, in voxels.")
@click.option("--batch-size", default=4, type=click.IntRange(min=1), help="Patches a batch.")
@click.option("--workers", default="0,2", help="Numbers of worker processes to try.")
@click.option("--seconds", default=5.0, type=click.FloatRange(min=0.1), help="How long to read for each.")
@click.option("--need", type=click.FloatRange(min=0, min_open=True), help="Patches a second that your model eats.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def main(
    store: str,
    mixture: str,
    patch_size: int,
    batch_size: int,
    workers: str,
    seconds: float,
    need: float | None,
    as_json: bool,
) -> None:
    """Measure how fast STORE delivers patches."""
    opened = open_store(store)
    shares, _ = shares_of(mixture, opened)
    dataset = MixtureDataset(opened, Mixture(shares), patch_size=patch_size)
    rates = [measure(dataset, workers=n, batch_size=batch_size, seconds=seconds) for n in _numbers(workers)]
    best = max(rates, key=lambda rate: rate.patches)
    if as_json:
        click.echo(json.dumps({"store": store, "patch_size": patch_size, "need": need, "rates": [*map(asdict, rates)]}))
        return
    rows = [[rate.workers, f"{rate.patches:.0f}", f"{rate.megabytes:.0f}"] for rate in rates]
    click.echo(table(["workers", f"patches/s of {patch_size} cubed", "MB/s float32"], rows))
    if need is not None:
        verdict = "feeds" if best.patches >= need else "starves"
        click.echo(f"{best.workers} workers: {best.patches / need:.2f} of the {need:g} needed; this {verdict} the GPU")
    click.echo(f"next: python -m tools.train {store} --workers {best.workers} ...")


def _numbers(text: str) -> list[int]:
    if not all(part.strip().isdigit() for part in text.split(",")):
        raise InvalidArgument(f"--workers must be whole numbers like 0,2,4, got {text!r}")
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    main()

"""What the ledger costs: time for a sample, memory and state for many volumes, merging the ledgers of many ranks.

    python -m benchmarks.bench_ledger

Batches are what `DataLoader` gives: 4 samples of 96 cubed, of six domains, near draw 10^12, of 100 volumes that come
again and again, or of volumes that are all new. Memory and state are those of a domain whose volumes were all read
once, with the default `limit` and with one so large that every volume is counted by name. Times are medians over
repeats, in turn; that of a sample is processor time, which other work on the
machine disturbs least.
"""

import json
import time
import tracemalloc
from statistics import median
from typing import Any

import click
import torch

import mixio
from mixio.consumed import Consumed
from mixio.repeats import LIMIT

DOMAINS = ("abdomen-ct", "abdomen-mri", "brain-t1", "brain-t2", "head-neck-ct", "head-pet")
MIXTURE = mixio.Mixture({domain: 1 / len(DOMAINS) for domain in DOMAINS})
BATCH = 4
BATCHES = 2_000
REPEATS = 9
FIRST = 10**12


def batches(volumes: int) -> list[dict[str, Any]]:
    """Collated batches whose volumes come one after the other out of so many in each domain."""
    image = torch.empty(1).expand(BATCH, 1, 96, 96, 96)
    made = []
    for first in range(0, BATCHES * BATCH, BATCH):
        of = [
            (DOMAINS[g % len(DOMAINS)], f"case-{g // len(DOMAINS) % volumes:08d}") for g in range(first, first + BATCH)
        ]
        valid = torch.tensor([[[0, 0, 0], [96, 96, 80]]] * BATCH)
        columns = {"domain": [domain for domain, _ in of], "key": [key for _, key in of], "fault": [""] * BATCH}
        draws = torch.arange(FIRST + first, FIRST + first + BATCH)
        made.append({**columns, "draw": draws, "valid": valid, "image": image})
    return made


def microseconds() -> dict[str, float]:
    """Median processor time to observe a sample, by how many volumes there are, and with a part of the columns."""
    few, many = batches(100), batches(10**8)
    cases = {
        "100 volumes": few,
        "all volumes new": many,
        "domain and draw alone": [{"domain": each["domain"], "draw": each["draw"]} for each in few],
    }
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(REPEATS):
        for name, observed in cases.items():
            # A limit of 256 is passed soon, so that most new names are hashed, too.
            ledger = mixio.Ledger(MIXTURE, limit=256)
            begin = time.process_time()
            for batch in observed:
                ledger.observe(batch)
            seconds[name].append(time.process_time() - begin)
    return {name: median(times) / BATCHES / BATCH * 1e6 for name, times in seconds.items()}


def megabytes(volumes: int, limit: int) -> tuple[float, float]:
    """Memory of a ledger that has seen so many volumes of one domain, and its state as JSON."""
    tracemalloc.start()
    ledger = mixio.Ledger(mixio.Mixture({"ct": 1.0}), limit=limit)
    for first in range(0, volumes, 100):
        ledger.observe({"domain": ["ct"] * 100, "key": [f"case-{n:08d}" for n in range(first, first + 100)]})
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return held / 1e6, len(json.dumps(ledger.state_dict())) / 1e6


def merging(ranks: int) -> float:
    """Seconds to merge the ledgers of so many ranks, each with six domains of `LIMIT` volumes."""
    ledger = mixio.Ledger(MIXTURE)
    keys = [f"case-{n:08d}" for n in range(LIMIT)]
    for domain in DOMAINS:
        ledger.observe({"domain": [domain] * LIMIT, "key": keys})
    begin = time.perf_counter()
    mixio.Ledger.merged([ledger] * ranks)
    return time.perf_counter() - begin


def checking(n: int) -> float:
    """Median microseconds of `check` after n draws, the sums being given."""
    ledger = mixio.Ledger(MIXTURE)
    state = ledger.state_dict()
    state["consumed"] = Consumed.row(0, n).state()
    nothing = {"replaced": 0, "voxels": 0, "padded": 0, "volumes": {"halved": 0, "reads": {}}}
    state["domains"] = {domain: {"draws": count, **nothing} for domain, count in MIXTURE.counts(n).items()}
    ledger.load_state_dict(state)
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        ledger.check(n)
        times.append(time.perf_counter() - begin)
    return median(times) * 1e6


@click.command()
def main() -> None:
    """Print the tables."""
    for name, cost in microseconds().items():
        click.echo(f"observe, batch of {BATCH}, {name:<22} {cost:6.2f} us a sample")
    for volumes, limit in ((1_000, LIMIT), (100_000, LIMIT), (1_000_000, LIMIT), (1_000_000, 10**7)):
        memory, state = megabytes(volumes, limit)
        click.echo(f"{volumes:>9,} volumes of a domain, limit {limit:>10,}: {memory:7.2f} MB, state {state:6.2f} MB")
    for ranks in (8, 64):
        click.echo(f"merging {ranks} ranks of {len(DOMAINS)} x {LIMIT} volumes: {merging(ranks):.2f} s")
    for n in (10**6, 10**12):
        click.echo(f"check after {n:.0e} draws: {checking(n):.0f} us")


if __name__ == "__main__":
    main()

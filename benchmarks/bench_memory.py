"""Whether memory grows with the patches that are read.

    python -m benchmarks.bench_memory STORE                    # any store of ours
    python -m benchmarks.bench_memory STORE --patches 20000

Reads patches of 96 cubed through `MixtureLoader` and prints the resident memory, threads and open files of the process
after 2,000 patches, and then ever after, up to 200,000 of them. What is asked for is that the last is as the first.
"""

import os
import time
from pathlib import Path

import click

import mixio


def resident() -> float:
    """Resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@click.command()
@click.argument("path", type=click.Path(exists=True))
@click.option("--patches", default=200_000, help="How many to read.")
@click.option("--threads", default=2, help="Threads of the loader.")
def main(path: str, patches: int, threads: int) -> None:
    """Read PATCHES patches of the store at PATH."""
    store = mixio.open_store(path)
    mixture = mixio.Mixture({domain: 1 / len(store.domains) for domain in store.domains})
    dataset = mixio.MixtureDataset(store, mixture, patch_size=96)
    loader = mixio.MixtureLoader(dataset, num_samples=patches, batch_size=4, threads=threads)
    looks = sorted({2_000, *(patches * part // 10 for part in range(1, 11))})
    started = time.perf_counter()
    click.echo(f"{'patches':>8} {'MB':>7} {'threads':>8} {'files':>6} {'patches/s':>10}")
    for step, _ in enumerate(loader, start=1):
        if looks and step * 4 >= looks[0]:
            looks.pop(0)
            rate = step * 4 / (time.perf_counter() - started)
            threads_now, files = (len(os.listdir(f"/proc/self/{what}")) for what in ("task", "fd"))
            click.echo(f"{step * 4:>8} {resident():>7.1f} {threads_now:>8} {files:>6} {rate:>10.0f}")


if __name__ == "__main__":
    main()

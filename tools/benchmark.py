"""Measures whether a store feeds a GPU: its disk, its reader, its loaders, and which of them is the bottleneck.

    python -m tools.benchmark store --patch-size 96 --workers 0,2 --need 100

`--need` is what your model eats: patches a second of your training step with data that is already in memory; then
loaders are also measured with a step of that length. Cold rows ask the system to forget the store's files first; that
needs no root, and is a request. A `?` marks a rate whose quartiles are more than a quarter of it apart.
"""

import json
import time
from pathlib import Path
from shutil import get_terminal_size
from textwrap import fill
from typing import Any

import click

from mixio.dataset import MixtureDataset
from mixio.errors import InvalidArgument
from mixio.mixture import Mixture
from mixio.store import open_store
from tools import bench_report
from tools.bench_figure import save_figure
from tools.bench_loaders import PROCESSES
from tools.bench_report import Results
from tools.bench_run import Plan, circumstances, run
from tools.bench_steps import Steps
from tools.bench_turns import TURNS
from tools.bench_verdict import Verdict, judge
from tools.bench_work import Work
from tools.command import command
from tools.shares import shares_of


@command()
@click.argument("store", type=click.Path())
@click.option("--mixture", default="uniform", help="uniform, proportional, an allocation.json, or a=0.6,b=0.4.")
@click.option("--patch-size", default=96, help="Edge of a patch, in voxels.")
@click.option("--batch-size", default=4, type=click.IntRange(min=1), help="Patches a batch.")
@click.option("--workers", help="Numbers of DataLoader workers to try, as in 0,2; by default by the number of cores.")
@click.option("--threads", help="Numbers of MixtureLoader threads to try, as in 1,2; by default the same.")
@click.option("--seconds", default=3.0, type=click.FloatRange(min=0.1), help="How long each row is measured.")
@click.option("--need", type=click.FloatRange(min=0, min_open=True), help="Patches a second that your model eats.")
@click.option("--step-ms", type=click.FloatRange(min=0, min_open=True), help="Or: what it takes for a batch.")
@click.option("--peer", is_flag=True, help="Also measure zarr-python and tensorstore, if installed.")
@click.option("--figure", type=click.Path(dir_okay=False, path_type=Path), help="Draw a PNG there.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def main(
    store: str, mixture: str, patch_size: int, batch_size: int, figure: Path | None, as_json: bool, **flags: Any
) -> None:
    """Measure how fast STORE delivers patches, what limits it, and what would help."""
    plan = _plan(batch_size, **flags)
    if figure is not None and not figure.resolve().parent.is_dir():
        raise InvalidArgument(f"--figure {figure}: there is no folder {figure.parent}; make it first")
    opened = open_store(store)
    shares, _ = shares_of(mixture, opened)
    work = Work(MixtureDataset(opened, Mixture(shares), patch_size=patch_size), batch_size)
    started = time.perf_counter()
    with Steps("measuring") as steps:
        results = run(work, plan, steps)
    verdict = judge(results.rates(), circumstances(work))
    seconds = time.perf_counter() - started
    if figure is not None:
        save_figure(results, figure)
    if as_json:
        click.echo(json.dumps(results.as_json(verdict, seconds=seconds)))
        return
    _print(results, seconds)
    _conclude(results, verdict, figure)


def _plan(
    batch_size: int,
    *,
    workers: str | None,
    threads: str | None,
    seconds: float,
    need: float | None,
    step_ms: float | None,
    peer: bool,
) -> Plan:
    if need is not None and step_ms is not None:
        raise InvalidArgument("--need and --step-ms both say how fast the model is; give one of them")
    if need is None and step_ms is not None:
        need = batch_size / step_ms * 1e3
    step = 0.0 if need is None else batch_size / need
    return Plan(_numbers("--workers", workers, 0), _numbers("--threads", threads, 1), seconds, step, need, peer)


def _numbers(option: str, text: str | None, least: int) -> tuple[int, ...] | None:
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) >= least for part in parts):
        raise InvalidArgument(f"{option} must be whole numbers from {least} on, like {least},2,4, got {text!r}")
    return tuple(sorted({int(part) for part in parts}))


def _print(results: Results, seconds: float) -> None:
    x, y, z = results.patch_size
    machine = results.machine
    click.echo(f"{results.store}: {x} x {y} x {z} patches, batches of {results.batch_size}, {machine['cores']} cores")
    _say(
        f"{machine['processor']}; {_size(results.stored)} stored, of which a patch touches "
        f"{results.weight.stored / 1e6:.2f} MB; took {seconds:.0f} s, medians of {TURNS} turns"
    )
    click.echo()
    for title, text in (
        ("Limits", bench_report.limits_text(results)),
        ("Reader alone, stored integers", bench_report.reader_text(results)),
        ("Loaders, float32 batches", bench_report.loaders_text(results)),
        ("Other readers", bench_report.peers_text(results) if results.peers else ""),
    ):
        if text:
            click.echo(f"{title}\n{text}\n")
    _say("CPU ms are for a patch, MB the memory of the processes.")
    for line in results.left_out:
        _say(f"{line}.")
    if bench_report.is_noisy(results):
        _say("? quartiles far apart: something else kept the machine busy, or --seconds is short.")


def _conclude(results: Results, verdict: Verdict, figure: Path | None) -> None:
    click.echo()
    _say(verdict.says)
    for line in verdict.advice:
        _say(line, mark="- ")
    if figure is not None:
        click.echo(f"wrote {figure}")
    flag = "--workers" if verdict.loader.kind == PROCESSES and verdict.loader.count else "--threads"
    count = max(1, verdict.loader.count)  # tools.train has a thread where a DataLoader would have no workers
    click.echo(f"next: python -m tools.train {results.store} {flag} {count} ...")


def _size(nbytes: int) -> str:
    """Bytes as gigabytes, or below one as megabytes.

    >>> _size(2_345_000_000), _size(345_600)
    ('2.3 GB', '0.3 MB')
    """
    return f"{nbytes / 1e9:.1f} GB" if nbytes >= 1e9 else f"{nbytes / 1e6:.1f} MB"


def _say(text: str, *, mark: str = "") -> None:
    """A paragraph as wide as the terminal."""
    width = min(100, get_terminal_size().columns)
    click.echo(fill(text, width, initial_indent=mark, subsequent_indent=" " * len(mark), break_long_words=False))


if __name__ == "__main__":
    main()

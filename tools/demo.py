"""The whole loop once: volumes, store, sweep, laws, allocation, training under three allocations, report.

    python -m tools.demo demo
    python -m tools.demo demo-mine --sources volumes.csv

Without --sources the volumes are phantoms. Every stage prints the command that does the same by hand. Started
again, it goes on where it was: what is complete is kept. The laws see runs up to the largest of --budgets only;
the allocations are then compared at --budget, which is larger, each with several seeds.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click

from mixio.convert import convert
from mixio.errors import InvalidArgument
from mixio.settings import Settings, settings_of
from mixio.store import Store, open_store
from mixio.terminal import Reporter
from tools import allocate, fit_laws, report
from tools.command import command
from tools.designs import singles_and_mixtures, write_table
from tools.laws import load_laws
from tools.options import TrainOptions
from tools.phantoms import write_corpus
from tools.runner import plans_of
from tools.trial import (
    make_runs,
    outcome_table,
    read_outcome,
    shares_table,
    strategies_of,
    trial_plans,
    write_json,
    write_strategies,
)

SCHEMA_VERSION = 1
STAGES = 7
STRATEGIES = ("proportional", "uniform")
"""What the transfer-aware allocation is compared with."""
VAL_FRACTION = 0.2


@dataclass(frozen=True)
class Demo:
    """What is run. `budget` is larger than every one of `budgets`, so that the laws have to predict it."""

    sources: str | None
    seed: int
    budgets: tuple[int, ...]
    mixtures: int
    budget: int
    seeds: int
    scale: float

    def __post_init__(self) -> None:
        if self.seed < 0 or not 0.1 <= self.scale <= 2:
            raise InvalidArgument(
                f"--seed must not be negative and --scale lie between 0.1 and 2, got {self.seed} and {self.scale:g}"
            )
        if self.budget <= max(self.budgets):
            raise InvalidArgument(
                f"--budget {self.budget} must be above the largest of --budgets {max(self.budgets)}: "
                "the laws are judged where they have seen nothing"
            )

    @property
    def trial_seed(self) -> int:
        """Seed of the first run of each allocation; the others follow."""
        return 1000 * (self.seed + 1)


@contextmanager
def stage(number: int, title: str, by_hand: str) -> Iterator[None]:
    """Announce a stage and the command that does it by hand; say how long it took."""
    click.secho(f"\n[{number}/{STAGES}] {title}", bold=True)
    click.echo(f"      {by_hand}")
    started = time.monotonic()
    yield
    click.echo(f"      {time.monotonic() - started:.1f} s")


def settle(out: Path, demo: Demo) -> None:
    """Record what is run in `out`; refuse to go on in a folder where something else was."""
    path = out / "demo.json"
    wanted = {"schema_version": SCHEMA_VERSION, **json.loads(json.dumps(asdict(demo)))}
    if path.exists():
        found = json.loads(path.read_text())
        if differing := sorted(name for name in wanted if wanted[name] != found.get(name)):
            raise InvalidArgument(
                f"{out} holds a demo with another {', '.join(differing)}; choose another folder, or remove it"
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, wanted)


def make_store(out: Path, demo: Demo, jobs: int) -> Store:
    """Stages 1 and 2: the volumes, and the store of them."""
    sources = Path(demo.sources) if demo.sources else out / "volumes" / "sources.csv"
    if demo.sources:
        click.echo(f"volumes: {sources}")
    else:
        with stage(1, "phantoms", f"python -m tools.phantoms {out / 'volumes'} --seed {demo.seed}"):
            if not sources.exists():
                write_corpus(out / "volumes", seed=demo.seed, scale=demo.scale, workers=jobs)
    store = out / "store"
    by_hand = f"mixio convert {sources} {store} --val-fraction {VAL_FRACTION} --keep-names"
    with stage(2, "convert", by_hand), Reporter("converting") as reporter:
        summary = convert(
            sources,
            store,
            settings=settings_of(store) or Settings(val_fraction=VAL_FRACTION, keep_names=True),
            jobs=jobs,
            progress=lambda done, total: reporter.update(done.converted + done.found, total, faults=len(done.faults)),
        )
    for fault in summary.faults:
        click.echo(f"      quarantined {fault.source}: {fault.reason}", err=True)
    opened = open_store(store)
    for domain in opened.domains:
        train, val = (len(opened.names(domain, split)) for split in ("train", "val"))
        click.echo(f"      {domain}: {train} volumes to train on, {val} held out")
    return opened


def run_tool(main: click.Command, *words: object) -> None:
    """Run a command of this folder in this process."""
    if main.main([str(word) for word in words], standalone_mode=False):
        raise SystemExit(2)


@command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--sources", type=click.Path(), help="Your own volumes: what `mixio convert` takes.")
@click.option("--seed", default=0, help="Of the phantoms, the mixtures and the runs.")
@click.option("--budgets", default="1024,1536,2560,4096", help="Draws of the runs that the laws are fitted on.")
@click.option("--mixtures", default=24, type=click.IntRange(min=1), help="Random mixtures beside each domain alone.")
@click.option("--budget", default=8192, help="Draws of the runs that compare the allocations.")
@click.option("--seeds", default=3, type=click.IntRange(min=1), help="Runs of each allocation.")
@click.option("--scale", default=1.0, help="Relative number of voxels along a side of a phantom.")
@click.option("--jobs", default=2, type=click.IntRange(min=1), help="Worker processes.")
def main(out: Path, jobs: int, budgets: str, **settings: Any) -> None:
    """Run the whole loop in OUT and write OUT/report/index.html."""
    started = time.monotonic()
    demo = Demo(budgets=_numbers(budgets), **settings)
    if demo.sources and not Path(demo.sources).exists():
        raise InvalidArgument(f"{demo.sources}: no such file or folder; give what `mixio convert` takes")
    settle(out, demo)
    store = make_store(out, demo, jobs)
    options = TrainOptions()
    designs = singles_and_mixtures(store.domains, demo.budgets, demo.mixtures, seed=demo.seed)
    with stage(3, f"sweep of {len(designs)} runs", _sweep_by_hand(out, demo, jobs)):
        (out / "runs").mkdir(exist_ok=True)
        write_table(out / "runs" / "design.csv", designs)
        make_runs(store, plans_of(designs, options), out / "runs", jobs=jobs)
    laws, allocation = out / "laws.json", out / "allocation.json"
    with stage(4, "laws", f"python -m tools.fit_laws {out / 'runs'} -o {laws}"):
        run_tool(fit_laws.main, out / "runs", "-o", laws)
    with stage(5, "allocation", f"python -m tools.allocate {laws} --budget {demo.budget} -o {allocation}"):
        run_tool(allocate.main, laws, "--budget", demo.budget, "-o", allocation)
    tried = replace(options, draws=demo.budget, seed=demo.trial_seed)
    strategies = strategies_of([*STRATEGIES, str(allocation)], store, tried)
    by_hand = (
        f"python -m tools.trial {out / 'store'} {laws} --budget {demo.budget} --seeds {demo.seeds} "
        f"--seed {demo.trial_seed} --strategies {','.join(STRATEGIES)},{allocation} --runs {out / 'trial'}"
    )
    with stage(6, f"training under {len(strategies)} allocations, {demo.seeds} seeds each", by_hand):
        make_runs(store, trial_plans(strategies, tried, seeds=demo.seeds), out / "trial", jobs=jobs)
    trial = read_outcome(load_laws(laws), strategies, out / "trial", budget=demo.budget, seeds=demo.seeds)
    write_strategies(out / "trial" / "strategies.json", trial)
    words = [out / "runs", "--laws", laws, "--allocation", allocation, "--store", out / "store"]
    words += ["--strategies", out / "trial" / "strategies.json", "-o", out / "report"]
    with stage(7, "report", " ".join(["python -m tools.report", *map(str, words)])):
        run_tool(report.main, *words)
    click.echo(f"\nmean held-out loss (x 1000) after {demo.budget} draws; the laws saw at most {max(demo.budgets)}")
    click.echo(shares_table(trial) + "\n\n" + outcome_table(trial))
    click.echo(f"\nwrote {out / 'report' / 'index.html'} in {time.monotonic() - started:.0f} s")
    click.echo(
        f"next: open it in a browser; train longer with python -m tools.train {out / 'store'} --mixture {allocation}"
    )


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InvalidArgument(f"--budgets must be whole numbers like 256,512,1024, got {text!r}") from error


def _sweep_by_hand(out: Path, demo: Demo, jobs: int) -> str:
    budgets = ",".join(map(str, demo.budgets))
    where = f"{out / 'store'} --runs {out / 'runs'}"
    return (
        f"python -m tools.sweep {where} --budgets {budgets} --mixtures {demo.mixtures} --seed {demo.seed} --jobs {jobs}"
    )


if __name__ == "__main__":
    main()

"""Writes allocation.json by a strategy of others: what a plan that comes of transfer laws must beat.

    python -m tools.baseline proportional store -o allocation.json
    python -m tools.baseline temperature --counts abdomen-ct=900,brain-t1=300 --alpha 0.3
    python -m tools.baseline unimax store --budget 100000 --epochs 4
    python -m tools.baseline doremi store --draws 4096
    python -m tools.baseline regmix runs --budget 4096
    python -m tools.baseline bimix runs.csv --budget 100000 --floor 0.02
    python -m tools.baseline data-mixing-laws runs --budget 100000
    python -m tools.baseline autoscale runs --budget 100000

The first four look at a store, the others at runs: a directory of logs or a CSV, as `tools.fit_laws` reads them.
Formulas and sources are in `tools.baselines`, `tools.doremi`, `tools.regmix`, `tools.autoscale` and, for the two laws,
`tools.forms`. No strategy has a floor of its own; a `--floor` is kept by the solver of the laws, and for the others by
mixing with the uniform mixture.
"""

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from mixio.allocation import Allocation
from mixio.errors import InvalidArgument
from mixio.store import open_store
from tools.autoscale import extrapolate, optima
from tools.baselines import proportional, temperature, uniform, unimax, with_floor
from tools.command import command
from tools.doremi import ETA, doremi
from tools.fitting import fingerprint, fit_laws
from tools.numbers import far_budgets, numbers_of
from tools.options import options_from, training_flags
from tools.regmix import MIXTURES, best_mixture, regression
from tools.runlog import Run, incomplete_runs, read_runs, refuse_unlike
from tools.shares import patches_of, volumes_of
from tools.solve import solve
from tools.table import table


@dataclass(frozen=True)
class Wanted:
    """Where the allocation goes, the draws that it is for, the least share, and how to tell of it."""

    output: str
    budget: int | None
    floor: float
    as_json: bool


def _writes(function: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command with the options that all have, given to it as one `wanted`."""

    @functools.wraps(function)
    def told(*, output: str, budget: int | None, floor: float, as_json: bool, **rest: Any) -> None:
        function(wanted=Wanted(output, budget, floor, as_json), **rest)

    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table."),
        click.option("--floor", type=float, default=0.0, help="The least share that any domain gets."),
        click.option("--budget", type=click.IntRange(min=1), help="Draws of the run to come, in all."),
        click.option("-o", "--output", default="allocation.json", type=click.Path(dir_okay=False), help="The file."),
    ):
        told = option(told)
    return told


def _counts(function: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command with a store, or counts in place of one."""
    counted = click.option("--counts", help="In place of a store: domain=number,...")(function)
    return click.argument("store", type=click.Path(), required=False)(counted)


_runs = click.argument("runs", type=click.Path(exists=True))
_weights = click.option("--weights", help="How much each target's loss counts: target=number,... (all alike).")


@command()
@_counts
@_writes
def _uniform(store: str | None, counts: str | None, wanted: Wanted) -> None:
    """The same share for every domain of STORE."""
    _write("uniform", uniform([*_volumes(store, counts)]), wanted, {})


@command()
@_counts
@_writes
def _proportional(store: str | None, counts: str | None, wanted: Wanted) -> None:
    """In proportion to the training volumes of STORE."""
    found = _volumes(store, counts)
    _write("proportional", proportional(found), wanted, {"counts": found})


@command()
@_counts
@click.option("--alpha", default=0.3, help="Power of the counts: 1 is proportional, 0 uniform.")
@_writes
def _temperature(store: str | None, counts: str | None, alpha: float, wanted: Wanted) -> None:
    """In proportion to a power of them (mT5)."""
    found = _volumes(store, counts)
    _write("temperature", temperature(found, alpha=alpha), wanted, {"counts": found, "alpha": alpha})


@command()
@_counts
@click.option("--epochs", default=4.0, help="How often a domain may come, at most.")
@click.option("--patch-size", type=click.IntRange(min=1), default=16, help="Edge of a crop of STORE, in voxels.")
@_writes
def _unimax(store: str | None, counts: str | None, epochs: float, patch_size: int, wanted: Wanted) -> None:
    """As uniform as a cap on repeats allows. Counts are the crops that each domain of STORE has (Chung et al.)."""
    if wanted.floor:
        raise InvalidArgument("a floor would have small domains come more than --epochs times; leave --floor out")
    if wanted.budget is None:
        raise InvalidArgument("how often a domain comes depends on the draws of the run; give --budget")
    if counts is None and store is not None:
        opened = open_store(store)
        found: Mapping[str, float] = {name: patches_of(opened, name, patch_size) for name in opened.domains}
    else:
        found = _volumes(store, counts)
    shares = unimax(found, wanted.budget, epochs=epochs)
    _write("unimax", shares, wanted, {"counts": dict(found), "epochs": epochs})


@command()
@click.argument("store", type=click.Path())
@click.option("--eta", default=ETA, help="How fast weights follow the excess loss.")
@_writes
@training_flags()
def _doremi(store: str, eta: float, wanted: Wanted, **flags: Any) -> None:
    """The mean weights of a proxy. It is trained on STORE, and so is its reference (Xie et al.)."""
    options = options_from(flags, run="doremi", strategy="doremi")
    found = doremi(open_store(store), options, eta=eta)
    provenance = {"eta": eta, **options.recorded(), "excess": found.excess}
    losses = {"reference_loss": found.reference_loss, "proxy_loss": found.proxy_loss}
    columns = {"excess": found.excess, "reference": found.reference_loss, "proxy": found.proxy_loss}
    _write("doremi", found.shares, wanted, provenance | losses, columns)


@command()
@_runs
@_weights
@click.option("--mixtures", default=MIXTURES, help="Random mixtures that are scored.")
@_writes
def _regmix(runs: str, weights: str | None, mixtures: int, wanted: Wanted) -> None:
    """The best mixtures by trees. They are fitted to RUNS (Liu et al.)."""
    complete = _read(runs, wanted.budget)
    counted = numbers_of(weights, "--weights")
    trees = regression(complete)
    shares = best_mixture(trees, draws=wanted.budget, weights=counted, mixtures=mixtures)
    _write("regmix", shares, wanted, {**_told(complete), "weights": counted, "mixtures": mixtures})


@command()
@_runs
@_weights
@_writes
def _bimix(runs: str, weights: str | None, wanted: Wanted) -> None:
    """By laws of own shares and total draws. They are fitted to RUNS (Ge et al.)."""
    _write_of_law("bimix", "bimix", runs, weights, wanted)


@command()
@_runs
@_weights
@_writes
def _data_mixing_laws(runs: str, weights: str | None, wanted: Wanted) -> None:
    """By laws exponential in the shares. They are fitted to RUNS (Ye et al.)."""
    _write_of_law("data-mixing-laws", "exponential", runs, weights, wanted)


@command()
@_runs
@_writes
def _autoscale(runs: str, wanted: Wanted) -> None:
    """Two budgets' best mixtures, carried on. From those of RUNS to --budget (Kang et al.)."""
    if wanted.budget is None:
        raise InvalidArgument("AutoScale carries mixtures on to a larger budget; give --budget")
    complete = _read(runs, wanted.budget)
    small, large = optima(complete)
    columns = {f"at {one.budget:g}": one.shares for one in (small, large)}
    provenance = {**_told(complete), "optima": [vars(small), vars(large)]}
    _write("autoscale", extrapolate(small, large, wanted.budget), wanted, provenance, columns)


main = click.Group(
    "baseline",
    {
        "uniform": _uniform,
        "proportional": _proportional,
        "temperature": _temperature,
        "unimax": _unimax,
        "doremi": _doremi,
        "regmix": _regmix,
        "bimix": _bimix,
        "data-mixing-laws": _data_mixing_laws,
        "autoscale": _autoscale,
    },
    help="Write allocation.json by a strategy of others, from a store or from runs.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _write_of_law(strategy: str, form: str, runs: str, weights: str | None, wanted: Wanted) -> None:
    complete = _read(runs, wanted.budget)
    counted = numbers_of(weights, "--weights")
    laws = fit_laws(complete, form=form)
    budget = wanted.budget or round(max(run.total for run in complete))
    solution = solve(laws, budget, floor=wanted.floor, weights=counted)
    found = {"predicted_losses": solution.losses, "objective": solution.objective, "gap": solution.gap}
    provenance = {**_told(complete), "laws": laws.fingerprint, "form": form, "weights": counted, **found}
    kept = Wanted(wanted.output, budget, wanted.floor, wanted.as_json)
    _write(strategy, solution.shares, kept, provenance, {"loss": solution.losses}, solved=True)


def _write(
    strategy: str,
    shares: Mapping[str, float],
    wanted: Wanted,
    provenance: dict[str, Any],
    columns: Mapping[str, Mapping[str, float]] | None = None,
    *,
    solved: bool = False,
) -> None:
    """Write the allocation, its floor kept already if `solved`, and tell of it with `columns` by domain."""
    kept = dict(shares) if solved else with_floor(shares, wanted.floor)
    provenance = {"floor": wanted.floor, **provenance}
    Allocation(kept, wanted.budget, strategy, provenance).save(wanted.output)
    if wanted.as_json:
        summary = {"output": wanted.output, "strategy": strategy, "shares": kept, "budget": wanted.budget}
        click.echo(json.dumps({**summary, **provenance}))
        return
    columns = columns or {}
    rows = [[domain, share, *(one.get(domain) for one in columns.values())] for domain, share in sorted(kept.items())]
    click.echo(table(["domain", "share", *columns], rows))
    click.echo(f"\nwrote {wanted.output}, by {strategy}")
    click.echo(f"next: python -m tools.train STORE --mixture {wanted.output} --draws {wanted.budget or 'DRAWS'}")


def _volumes(store: str | None, counts: str | None) -> dict[str, float]:
    """Counts as they were given, or the training volumes of the store."""
    if (store is None) == (counts is None):
        raise InvalidArgument("give a store, or --counts domain=number,... in place of one")
    return numbers_of(counts, "--counts") or dict(volumes_of(open_store(str(store))))


def _read(path: str, budget: int | None) -> list[Run]:
    """The complete runs, with warnings of what was left out and of a budget far beyond them."""
    runs = read_runs(path)
    refuse_unlike(path)
    if unfinished := incomplete_runs(path):
        click.echo(f"warning: {len(unfinished)} unfinished runs left out", err=True)
    if failed := [run.run for run in runs if run.failed]:
        click.echo(f"warning: runs with losses that are not finite, left out there: {', '.join(failed[:5])}", err=True)
    for warning in far_budgets([run.budget for run in runs], [budget or runs[0].budget]):
        click.echo(f"warning: {warning}", err=True)
    return runs


def _told(runs: list[Run]) -> dict[str, Any]:
    return {"runs": len(runs), "fingerprint": fingerprint(runs), "budgets": sorted({run.budget for run in runs})}


if __name__ == "__main__":
    main()

"""Trains under several allocations at one budget, with several seeds each, and sets beside it what the laws foretold.

    python -m tools.trial store laws.json --budget 8192 --strategies proportional,uniform,allocation.json
    python -m tools.trial store laws.json --budget 8192 --save --runs trial

A strategy is what `python -m tools.train --mixture` takes, without bare shares; NAME=WORD gives it a name. Each run's
log goes to --runs, with --save its checkpoint too, and predicted beside measured losses to strategies.json there, for
tools.report. Seed k is the same for every strategy: it decides the first weights, the masks and the order of the draws,
so differences between strategies are taken seed by seed. Started again, it goes on where it was.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from mixio.errors import InvalidArgument, MixioError
from mixio.store import Store, open_store
from mixio.terminal import Reporter
from models.checkpoint import replace_file
from tools.command import command
from tools.evidence import BASELINE, SCHEMA_VERSION, Strategy, Trial, verdict_of
from tools.laws import Laws, load_laws
from tools.numbers import far_budgets
from tools.options import TrainOptions, options_from, training_flags
from tools.paired import interval_text
from tools.runlog import read_runs
from tools.runner import Plan, run_plans
from tools.shares import shares_of
from tools.table import table

Shares = Mapping[str, Mapping[str, float]]
"""Shares of the domains, by the name of the strategy."""


def run_of(strategy: str, seed: int) -> str:
    """The name of a run; `seed` counts from 0."""
    return f"{strategy}-seed{seed}"


def strategies_of(words: Sequence[str], store: Store, options: TrainOptions) -> dict[str, dict[str, float]]:
    """Shares by the name of the strategy: the one given with it, else its rule, or what its file says."""
    found: dict[str, dict[str, float]] = {}
    for word in words:
        given, equals, mixture = ("", "", word) if Path(word).exists() else word.rpartition("=")
        shares, rule = shares_of(mixture, store, draws=options.draws, patch_size=options.model.patch_size)
        name = given if equals else rule or Path(mixture).stem
        if not name or "/" in name:
            raise InvalidArgument(f"--strategies {word}: {name!r} cannot be the name of runs; say NAME={mixture}")
        if name in found:
            raise InvalidArgument(f"two strategies are called {name}; give one another name, as in again={mixture}")
        found[name] = shares
    return found


def require_known(store: Store, laws: Laws) -> None:
    """Refuse a store of other domains than the laws know and foretell."""
    for told, names in (("know", laws.domains), ("foretell", laws.targets)):
        if set(names) != set(store.domains):
            raise InvalidArgument(
                f"the laws {told} {sorted(names)}, and the store has {sorted(store.domains)}: fit laws to runs of it"
            )


def trial_plans(strategies: Shares, options: TrainOptions, *, seeds: int) -> list[Plan]:
    """Every strategy with every seed, the first of which is that of `options`."""
    return [
        Plan(
            dict(shares),
            replace(options, run=run_of(name, seed), strategy=name, seed=options.seed + seed),
        )
        for name, shares in strategies.items()
        for seed in range(seeds)
    ]


def make_runs(store: Store, plans: list[Plan], runs: Path, *, jobs: int, checkpoints: bool = False) -> None:
    """Train what is missing, with a bar; a run that failed is an error that names it."""
    runs.mkdir(parents=True, exist_ok=True)
    done = 0
    with Reporter("runs") as reporter:

        def count(line: str) -> None:
            nonlocal done
            done += 1
            reporter.update(done, len(plans))

        outcome = run_plans(store, plans, runs=runs, jobs=jobs, checkpoints=checkpoints, report=count)
    if outcome.failed:
        run, reason = next(iter(outcome.failed.items()))
        raise MixioError(f"{len(outcome.failed)} runs failed, the first is {run}: {reason}")


def read_outcome(laws: Laws, strategies: Shares, runs: Path, *, budget: int, seeds: int) -> Trial:
    """Predicted and measured losses, a measurement a seed, in the order of the seeds."""
    logged = {run.run: run for run in read_runs(runs)}
    found = []
    for name, shares in strategies.items():
        predicted = laws.predict(laws.array(shares) * budget).tolist()
        measured = [logged[run_of(name, seed)].loss for seed in range(seeds)]
        found.append(Strategy(name, dict(shares), dict(zip(laws.targets, predicted, strict=True)), measured))
    return Trial(budget, found)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON in one rename."""
    replace_file(path, lambda temporary: temporary.write_text(json.dumps(value, indent=2) + "\n"))


def write_strategies(path: Path, trial: Trial) -> None:
    """strategies.json, which `tools.evidence` reads."""
    entries = [
        {"name": each.name, "shares": each.shares, "predicted": each.predicted, "measured": each.measured}
        for each in trial.strategies
    ]
    write_json(path, {"schema_version": SCHEMA_VERSION, "budget": trial.budget, "strategies": entries})


def shares_table(trial: Trial) -> str:
    """Strategy by domain, in percent."""
    domains = list(trial.strategies[0].shares)
    rows = [[each.name, *(f"{100 * each.shares.get(name, 0):.1f}" for name in domains)] for each in trial.strategies]
    return table(["shares in %", *domains], rows)


def outcome_table(trial: Trial) -> str:
    """Strategy by predicted and measured mean loss (x 1000), its spread over seeds, and the gain."""
    rows = []
    for each in trial.strategies:
        gain, ends = trial.gain(each), trial.interval(each)
        percents = ["-" if gain is None else f"{100 * gain:.2f}"]
        percents.append(interval_text(ends and (100 * ends[0], 100 * ends[1])))
        spread = "-" if each.spread is None else f"{1000 * each.spread:.2f}"
        rows.append([each.name, f"{1000 * each.expected:.2f}", f"{1000 * each.loss:.2f}", spread, *percents])
    return table(["strategy", "predicted", "measured", "+-", "gain %", "95 % over seeds"], rows)


@command()
@click.argument("store", type=click.Path())
@click.argument("laws", type=click.Path(exists=True, dir_okay=False))
@click.option("--budget", required=True, type=click.IntRange(min=1), help="Draws of each run.")
@click.option(
    "--strategies",
    default="proportional,uniform,temperature,unimax,allocation.json",
    help="What --mixture of tools.train takes, without bare shares.",
)
@click.option("--seeds", default=3, type=click.IntRange(min=1), help="Runs of each strategy.")
@click.option("--seed", default=1000, type=click.IntRange(min=0), help="Of the first runs; the others follow.")
@click.option("--runs", default="trial", type=click.Path(file_okay=False, path_type=Path), help="For logs and results.")
@click.option("--save", is_flag=True, help="Also write the checkpoint of every run there.")
@click.option("--jobs", default=1, type=click.IntRange(min=1), help="Worker processes; they share the cores.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
@training_flags(without=("draws", "seed", "eval_every"))
def main(store: str, laws: str, budget: int, runs: Path, as_json: bool, **flags: Any) -> None:
    """Train under several allocations of STORE, and compare with what LAWS foretell."""
    asked = {name: flags.pop(name) for name in ("strategies", "seeds", "jobs", "save")}
    opened, known = open_store(store), load_laws(laws)
    require_known(opened, known)
    options = options_from({**flags, "draws": budget})
    strategies = strategies_of([word.strip() for word in asked["strategies"].split(",")], opened, options)
    plans = trial_plans(strategies, options, seeds=asked["seeds"])
    for warning in far_budgets(known.data.get("budgets") or [], [budget]):
        click.echo(f"warning: {warning}", err=True)
    make_runs(opened, plans, runs, jobs=asked["jobs"], checkpoints=asked["save"])
    trial = read_outcome(known, strategies, runs, budget=budget, seeds=asked["seeds"])
    write_strategies(runs / "strategies.json", trial)
    found = verdict_of("laws", known, trial)
    if as_json:
        click.echo(json.dumps(_summary(trial, runs, found.correlation, found.error)))
        return
    click.echo(shares_table(trial))
    click.echo(f"\nmean held-out loss (x 1000) after {budget} draws, {asked['seeds']} seeds; gain is over {BASELINE}")
    click.echo(outcome_table(trial))
    told = "none" if found.correlation is None else f"{found.correlation:.2f}"
    click.echo(f"\npredicted with measured, across strategies: r {told}; mean relative error {100 * found.error:.1f} %")
    click.echo(f"wrote {runs / 'strategies.json'}")
    click.echo(
        f"next: python -m tools.report RUNS --laws {laws} --allocation allocation.json "
        f"--strategies {runs / 'strategies.json'}"
    )


def _summary(trial: Trial, runs: Path, correlation: float | None, error: float) -> dict[str, Any]:
    return {
        "strategies": str(runs / "strategies.json"),
        "budget": trial.budget,
        "measured": {each.name: each.means for each in trial.strategies},
        "predicted": {each.name: each.expected for each in trial.strategies},
        "gain": {each.name: {"mean": trial.gain(each), "interval": trial.interval(each)} for each in trial.strategies},
        "correlation": correlation,
        "error": error,
    }


if __name__ == "__main__":
    main()

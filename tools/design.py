"""Says which training runs to make before laws are fitted, and which to make next.

    python -m tools.design plan --domains brain-t1,brain-t2,headneck-ct --cost 100000 --budget 8192
    python -m tools.design plan --laws laws.json --cost 100000 --budget 8192
    python -m tools.design next laws.json --budget 8192

`plan` compares designs of one cost by simulation (`tools.regret`): what a mixture loses that comes of their runs.
Without --laws, the laws that may be true are assumed (`tools.prior`); with them, they are those of their bootstrap.
`next` looks for the run that narrows the best mixture most per draw (`tools.next_run`). Both write the runs as a CSV:
run, draws, seed and a share:<domain> each.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import click
import numpy as np

from mixio.errors import AllocationError, FitError, InvalidArgument
from tools.command import command
from tools.designs import KINDS, Design, cost, within, write_table
from tools.laws import Laws, load_laws
from tools.next_run import Advice, Aim, candidates, choose, rank
from tools.numbers import whole_numbers
from tools.observations import typical
from tools.prior import assumed_laws
from tools.regret import Regret, Setting, expected_regret, noise_of_laws, truths_of, uniform_regret
from tools.solve import Terms, terms_of
from tools.table import table

RECOMMENDED = "singles+mixtures"
"""Of the kinds that lose least where the form of the law is right, the one whose mixtures show where it is not."""
ASSUMED_NOISE = 0.03
SHOWN = 5
"""Candidates in the table of `next`."""
FEWEST = 2
"""Budgets, so that there is something to see of how losses fall."""


@dataclass(frozen=True)
class _Compared:
    """Runs and regrets by kind, and why a kind was refused."""

    designs: dict[str, list[Design]]
    regrets: dict[str, Regret]
    refused: dict[str, str]


@command()
@click.option("--domains", help="Names of the domains: a,b,c; their laws are assumed.")
@click.option("--laws", type=click.Path(exists=True, dir_okay=False), help="Fitted laws to take in place of assumed.")
@click.option("--budgets", default="1024,1536,2560,4096", help="Draws of a run; runs go through them in turn.")
@click.option("--cost", "draws", type=click.IntRange(min=1), required=True, help="Draws of all runs together.")
@click.option("--budget", type=click.IntRange(min=1), required=True, help="Draws of the run that the mixture is for.")
@click.option("--kind", type=click.Choice(list(KINDS)), default=RECOMMENDED, help="The design to write.")
@click.option("--noise", type=float, help="Deviation of log losses from run to run.  [default: 0.03, or the laws']")
@click.option("--floor", type=float, default=0.05, help="The least share that any domain gets.")
@click.option("--truths", type=click.IntRange(min=1), default=100, help="Laws to simulate under.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of the mixtures, the laws and the noise.")
@click.option("-o", "--output", default="designs.csv", type=click.Path(dir_okay=False), help="Where the runs go.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def plan(budgets: str, kind: str, seed: int, output: str, as_json: bool, **flags: Any) -> None:
    """Compare designs of one cost by the regret to expect, and write the runs of one."""
    sizes = _budgets(budgets)
    setting = _setting(sizes, seed, flags)
    compared = _compared(setting, sizes, (kind, flags["draws"], seed))
    designs, uniform = compared.designs[kind], uniform_regret(setting)
    write_table(output, designs)
    if as_json:
        told = {name: _told(compared, name) for name in compared.designs}
        summary = {"output": output, "kind": kind, "noise": setting.noise, "designs": told}
        click.echo(json.dumps({**summary, "refused": compared.refused, "uniform": asdict(uniform)}))
        return
    click.echo(_comparison(compared, uniform))
    laws = "assumed laws" if flags["laws"] is None else f"laws out of {flags['laws']}"
    noise = f"{100 * setting.noise:.2g} % noise"
    click.echo(f"\nsimulated under {flags['truths']} {laws}, {noise}, for a mixture of {setting.budget} draws")
    if flags["laws"] and load_laws(flags["laws"]).samples is None:
        click.echo("note: these laws have no bootstrap samples, so that all are the fitted ones, as if they were known")
    click.echo(f"wrote {output}, {len(designs)} runs of {kind}")
    click.echo(f"next: python -m tools.sweep STORE --designs {output}")


@command()
@click.argument("laws", type=click.Path(exists=True, dir_okay=False))
@click.option("--budget", type=click.IntRange(min=1), required=True, help="Draws of the run that the mixture is for.")
@click.option("--budgets", help="Draws that the next run may have: a,b,c.  [default: those of the fitted runs]")
@click.option("--cost", "draws", type=click.IntRange(min=1), help="Draws to spend on several runs.  [default: one run]")
@click.option("--mixtures", type=click.IntRange(min=0), default=16, help="Random mixtures to choose from, a budget.")
@click.option("--noise", type=float, help="Deviation of log losses from run to run.  [default: the laws']")
@click.option("--floor", type=float, default=0.05, help="The least share that any domain gets.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of the mixtures to choose from.")
@click.option("-o", "--output", default="next.csv", type=click.Path(dir_okay=False), help="Where the runs go.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def next_run(laws: str, budget: int, output: str, as_json: bool, **flags: Any) -> None:
    """Suggest the run that lowers the regret to expect of LAWS most per draw."""
    fitted = load_laws(laws)
    noise = _checked_noise(noise_of_laws(fitted) if flags["noise"] is None else flags["noise"])
    aim = Aim(budget, terms_of(fitted, floor=flags["floor"]), noise)
    sizes = _budgets(flags["budgets"], fewest=1) if flags["budgets"] else _fitted_budgets(fitted)
    offered = candidates(fitted, sizes, flags["mixtures"], seed=flags["seed"])
    ranked = rank(fitted, offered, aim)
    advice = choose(fitted, offered, aim, flags["draws"] or ranked.runs[0].design.draws)
    runs = [one.design for one in advice.runs]
    write_table(output, runs)
    if as_json:
        told = [asdict(one) for one in advice.runs]
        click.echo(json.dumps({"output": output, "regret": advice.regret, "noise": noise, "runs": told}))
        return
    _report(ranked, advice)
    click.echo(f"wrote {output}, runs: {len(runs)}")
    click.echo(f"next: python -m tools.sweep STORE --designs {output}")
    click.echo("      and with the new runs python -m tools.fit_laws again")


main = click.Group(
    "design",
    {"plan": plan, "next": next_run},
    help="Say which training runs to make.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _setting(budgets: Sequence[int], seed: int, flags: dict[str, Any]) -> Setting:
    """What to simulate: fitted laws if there are some, else assumed ones."""
    if (flags["domains"] is None) == (flags["laws"] is None):
        raise InvalidArgument("give either --domains a,b,c or --laws laws.json, to say which domains there are")
    if flags["laws"]:
        laws = load_laws(flags["laws"])
        noise = noise_of_laws(laws) if flags["noise"] is None else flags["noise"]
        terms = terms_of(laws, floor=flags["floor"])
        return Setting(laws.domains, truths_of(laws, flags["truths"]), flags["budget"], terms, noise, laws.form)
    domains = tuple(sorted(name.strip() for name in flags["domains"].split(",") if name.strip()))
    if not domains or len(set(domains)) < len(domains):
        raise InvalidArgument(f"--domains must be distinct names like brain-t1,brain-t2, got {flags['domains']!r}")
    truths = assumed_laws(len(domains), typical(budgets), flags["truths"], seed=seed)
    noise = ASSUMED_NOISE if flags["noise"] is None else flags["noise"]
    return Setting(domains, truths, flags["budget"], _even_terms(len(domains), flags["floor"]), noise)


def _compared(setting: Setting, budgets: Sequence[int], asked: tuple[str, int, int]) -> _Compared:
    """All kinds that the draws pay for, for the kind, draws and seed that were asked for; that kind must be one."""
    kind, draws, seed = asked
    compared = _Compared({}, {}, {})
    for name in sorted(KINDS, key=lambda name: name != kind):
        try:
            designs = within(KINDS[name], setting.domains, budgets, draws, seed=seed)
            compared.regrets[name] = expected_regret(setting, designs, seed=seed)
            compared.designs[name] = designs
        except (InvalidArgument, FitError) as error:
            if name == kind:
                raise
            compared.refused[name] = str(error)
    return compared


def _even_terms(count: int, floor: float) -> Terms:
    """A mean over all targets, and a floor."""
    if not 0 <= floor <= 1 / count:
        raise AllocationError(f"a floor of {floor:g} for {count} domains must lie between 0 and {1 / count:.4g}")
    return Terms(np.full(count, floor), np.ones(count), np.full(count, 1 / count))


def _budgets(text: str, *, fewest: int = FEWEST) -> list[int]:
    budgets = whole_numbers(text, "--budgets")
    if min(budgets) < 1 or len(set(budgets)) < len(budgets):
        raise InvalidArgument(f"--budgets must be distinct and at least 1 draw each, got {text!r}")
    if len(budgets) < fewest:
        raise InvalidArgument(
            f"--budgets needs at least {fewest} numbers, to see how losses fall with draws, got {text!r}"
        )
    return budgets


def _fitted_budgets(laws: Laws) -> list[int]:
    found = sorted({round(budget) for budget in laws.data.get("budgets", ())} - {0})
    if not found:
        raise InvalidArgument("these laws do not say what budgets they were fitted to; give --budgets")
    return found


def _checked_noise(noise: float) -> float:
    if not 0 <= noise < 1:
        raise InvalidArgument(f"noise is the deviation of log losses, at least 0 and below 1; got {noise}")
    return noise


def _told(compared: _Compared, name: str) -> dict[str, Any]:
    designs = compared.designs[name]
    return {"runs": len(designs), "draws": cost(designs), **asdict(compared.regrets[name])}


def _comparison(compared: _Compared, uniform: Regret) -> str:
    rows: list[list[object]] = []
    for name in KINDS:
        regret = compared.regrets.get(name)
        designs = compared.designs.get(name, [])
        size = [len(designs), cost(designs)] if designs else [None, None]
        rows.append([name, *size, *([100 * regret.mean, 100 * regret.high] if regret else [None, None])])
    rows.append(["uniform", 0, 0, 100 * uniform.mean, 100 * uniform.high])
    header = ["design", "runs", "draws", "mean regret %", "90th percentile %"]
    refused = [f"{name}: {compared.refused[name]}" for name in KINDS if name in compared.refused]
    return "\n".join([table(header, rows), *refused])


def _report(ranked: Advice, advice: Advice) -> None:
    rows = [
        [_in_short(one.design), one.design.draws, 100 * one.regret, 1e5 * one.per_draw] for one in ranked.runs[:SHOWN]
    ]
    click.echo(table(["the next run", "draws", "regret left %", "less per 1000 draws %"], rows))
    draws = cost(one.design for one in advice.runs)
    click.echo(
        f"\nregret to expect of the best mixture now: {100 * advice.regret:.2g} % of the loss; "
        f"after the chosen runs, {len(advice.runs)} of {draws} draws in all: {100 * advice.runs[-1].regret:.2g} %"
    )


def _in_short(design: Design) -> str:
    """Shares of a hundredth and more, the largest first."""
    shares = sorted(design.shares.items(), key=lambda item: -item[1])
    return " ".join(f"{name} {share:.2f}" for name, share in shares if share >= 0.01)


if __name__ == "__main__":
    main()

"""Turns laws into the allocation that they promise the lowest mean loss for, with a certificate and its error bars.

    python -m tools.allocate laws.json --budget 100000 --floor 0.05 -o allocation.json
    python -m tools.allocate laws.json --budget 10000,100000 --minimax
    python -m tools.allocate laws.json --budget 100000 --weights brain-t1=2,abdomen-ct=1 --caps headneck-pet=0.1

Weights and caps name domains; a domain without a weight counts 0 once any is given, one without a cap may get
everything. Of several budgets the last one's shares are written, and the path of shares beside them. The predicted
losses are the laws' word, and a budget far outside the fitted ones stretches it.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from mixio.allocation import Allocation
from tools.allocation_tables import allocation_table, path_table, verdict
from tools.command import command
from tools.laws import load_laws
from tools.numbers import budgets_of, far_budgets, numbers_of
from tools.plan import Plan, plan


@command()
@click.argument("laws", type=click.Path(exists=True, dir_okay=False))
@click.option("--budget", required=True, help="Draws of the run to come, in all; or several: 10000,100000.")
@click.option("--floor", type=float, default=0.05, help="The least share that any domain gets.")
@click.option("--weights", help="How much each target's loss counts: domain=number,... (all alike).")
@click.option("--caps", help="The most a domain may get: domain=share,... (everything).")
@click.option("--max-repeats", type=click.FloatRange(min=0, min_open=True), help="The most passes over any domain.")
@click.option("--minimax", is_flag=True, help="Make the largest weighted loss small, not their mean.")
@click.option("--robust", is_flag=True, help="Make the mean over the bootstrap's laws small.")
@click.option("--volumes", help="How many each domain has, domain=count,...: for the value of one more.")
@click.option("-o", "--output", default="allocation.json", type=click.Path(dir_okay=False), help="Where it goes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def main(laws: str, budget: str, output: str, as_json: bool, **given: Any) -> None:
    """Find the shares with the lowest predicted loss under LAWS and write allocation.json."""
    fitted = load_laws(laws)
    options = {name: numbers_of(given.pop(name), f"--{name}") for name in ("weights", "caps", "volumes")} | given
    plans = [plan(fitted, one, **options) for one in budgets_of(budget)]
    last = plans[-1]
    provenance = {"laws": fitted.fingerprint, "form": fitted.form, **options, **_recorded(plans)}
    Allocation(last.solution.shares, last.budget, "transfer-aware", provenance).save(output)
    for warning in far_budgets(fitted.data.get("budgets") or [], [one.budget for one in plans]):
        click.echo(f"warning: {warning}", err=True)
    if as_json:
        told = {"output": output, "shares": last.solution.shares, "budget": last.budget, **provenance}
        click.echo(json.dumps(told))
        return
    click.echo(allocation_table(last) + "\n\n" + verdict(last, fitted))
    if len(plans) > 1:
        click.echo("\nshares over budgets; the file has those of the last\n" + path_table(plans))
    click.echo(f"\nwrote {output}")
    click.echo(f"next: python -m tools.train STORE --mixture {output} --draws {last.budget}")


def _recorded(plans: Sequence[Plan]) -> dict[str, Any]:
    """What allocation.json keeps of the last plan, and of the path to it."""
    last = plans[-1]
    return {
        "predicted_losses": last.solution.losses,
        "objective": last.solution.objective,
        "uniform_objective": last.solution.uniform_objective,
        "gap": last.solution.gap,
        "intervals": last.intervals,
        "gains": {name: asdict(told) for name, told in last.gains.items()},
        "marginal": {name: asdict(told) for name, told in last.marginal.items()},
        "roles": {domain: asdict(role) for domain, role in last.roles.items()},
        "path": [{"budget": one.budget, "shares": one.solution.shares, "intervals": one.intervals} for one in plans],
    }


if __name__ == "__main__":
    main()

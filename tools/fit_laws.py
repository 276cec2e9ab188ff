"""Fits laws to training runs and says how far to trust them.

    python -m tools.fit_laws runs -o laws.json
    python -m tools.fit_laws runs.csv -o laws.json --compare
    python -m tools.fit_laws runs.csv -o laws.json --form split --max-draws 2048

The input is a directory of run logs or a CSV with the columns `run`, `draws:<domain>` and `loss:<target>`. With
`--compare`, every form of law is judged on runs that its fit has not seen, and the simplest of the best is used. With
`--max-draws`, larger runs are kept from the fit, and the laws are scored on them. Every figure comes beside those
of the two nulls, a law of own draws only and one of total draws only: a law that does not beat them is not worth
allocating by.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from mixio.errors import FitError
from tools.command import command
from tools.comparison import Comparison, compare_forms
from tools.fit_tables import comparison_table, held_out_lines, law_lines, warnings_of
from tools.fitting import fit_laws
from tools.forms import FORMS, NULLS
from tools.laws import Laws
from tools.noise import noise_of
from tools.runlog import Run, incomplete_runs, read_runs, refuse_unlike
from tools.scoring import score, selection_regret

ROUNDING = 1 + 1e-5
"""Totals of one budget differ by rounding, at most by this factor."""


@command()
@click.argument("runs", type=click.Path(exists=True))
@click.option("-o", "--output", default="laws.json", type=click.Path(dir_okay=False), help="Where the laws go.")
@click.option(
    "--form",
    type=click.Choice(list(FORMS)),
    metavar="NAME",
    default="transfer",
    help=f"The form of the law: {', '.join(FORMS)}.",
)
@click.option("--compare", is_flag=True, help="Judge every form on runs kept from its fit, and use the best.")
@click.option("--samples", type=click.IntRange(min=0), default=200, help="Bootstrap samples; 0: no intervals.")
@click.option("--max-draws", type=click.FloatRange(min=1), help="Fit only runs up to this many draws.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def main(
    runs: str, output: str, form: str, compare: bool, samples: int, max_draws: float | None, as_json: bool
) -> None:
    """Fit transfer laws to RUNS, a directory of run logs or a CSV, and write laws.json."""
    complete = read_runs(runs)
    refuse_unlike(runs)
    if unfinished := incomplete_runs(runs):
        click.echo(f"warning: unfinished runs left out: {len(unfinished)} ({_few(unfinished)})", err=True)
    seen, unseen = _split(complete, max_draws)
    comparison = compare_forms(seen) if compare else None
    laws, held_out = _fit(seen, unseen, comparison.chosen if comparison else form, samples)
    noise = noise_of(seen)
    told = {
        "runs": Path(runs).name,
        "max_draws": max_draws,
        "held_out": held_out,
        "comparison": asdict(comparison) if comparison else None,
        "noise": asdict(noise) if noise else None,
    }
    laws = replace(laws, provenance=told)
    laws.save(output)
    for warning in warnings_of(laws, seen):
        click.echo(f"warning: {warning}", err=True)
    if as_json:
        targets = {name: law.diagnostics for name, law in laws.targets.items()}
        summary = {"output": output, "form": laws.form, "runs": len(seen), "targets": targets, "held_out": held_out}
        click.echo(json.dumps({**summary, "comparison": told["comparison"], "noise": told["noise"]}))
        return
    _report(laws, comparison, held_out)
    budget = round(max(run.total for run in complete))
    click.echo(f"\nwrote {output}, fitted to {len(seen)} runs")
    click.echo(f"next: python -m tools.allocate {output} --budget {budget} -o allocation.json")


def _split(runs: Sequence[Run], max_draws: float | None) -> tuple[list[Run], list[Run]]:
    if max_draws is None:
        return list(runs), []
    seen = [run for run in runs if run.total <= max_draws * ROUNDING]
    if not seen:
        least = min(run.total for run in runs)
        raise FitError(f"no run has at most {max_draws:g} draws, the smallest has {least:g}; raise --max-draws")
    return seen, [run for run in runs if run.total > max_draws * ROUNDING]


def _fit(seen: list[Run], unseen: list[Run], form: str, samples: int) -> tuple[Laws, dict[str, Any] | None]:
    """The laws, with the nulls' errors in their diagnostics, and all three forms' scores on unseen runs."""
    forms = {form: fit_laws(seen, form=form, samples=samples)}
    forms |= {name: fit_laws(seen, form=name) for name in NULLS if name != form}
    laws = forms[form]
    targets = {
        name: replace(law, diagnostics=law.diagnostics | {"null_mre": _mre_of_nulls(forms, name)})
        for name, law in laws.targets.items()
    }
    if not unseen:
        return replace(laws, targets=targets), None
    held_out = {
        form: {
            "targets": {target: asdict(result) for target, result in score(fitted, unseen).items()},
            "selection_regret": selection_regret(fitted, unseen),
        }
        for form, fitted in forms.items()
    }
    return replace(laws, targets=targets), {"runs": len(unseen), "forms": held_out}


def _mre_of_nulls(forms: dict[str, Laws], target: str) -> dict[str, float]:
    return {null: forms[null].targets[target].diagnostics["mre"] for null in NULLS}


def _report(laws: Laws, comparison: Comparison | None, held_out: dict[str, Any] | None) -> None:
    if comparison:
        click.echo(comparison_table(comparison) + "\n")
    click.echo(law_lines(laws))
    if held_out:
        click.echo("\n" + held_out_lines(held_out, laws.form))
    if noise := laws.provenance.get("noise"):
        residual = float(np.median([law.diagnostics["noise"] for law in laws.targets.values()]))
        click.echo(
            f"\nnoise: seeds alone change a loss by {100 * noise['deviation']:.2g} % ({noise['groups']} groups of "
            f"replicates); around the law, runs scatter by {100 * residual:.2g} %"
        )


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


if __name__ == "__main__":
    main()

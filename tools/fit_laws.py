"""Fits transfer laws to training runs and says how far to trust them.

    python -m tools.fit_laws runs -o laws.json
    python -m tools.fit_laws runs.csv -o laws.json --max-draws 2048

The input is a directory of run logs or a CSV with the columns `run`, `draws:<domain>` and `loss:<target>`. With
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

from mixio.errors import FitError
from tools.command import command
from tools.fitting import fit_laws
from tools.laws import Laws
from tools.runlog import Run, incomplete_runs, read_runs, refuse_unlike
from tools.scoring import score, selection_regret
from tools.table import table

ROUNDING = 1 + 1e-5
"""Totals of one budget differ by rounding, at most by this factor."""

NULLS = {"own": 0.0, "total": 1.0}
"""The laws to beat, by the value at which they fix every transfer."""


@command()
@click.argument("runs", type=click.Path(exists=True))
@click.option("-o", "--output", default="laws.json", type=click.Path(dir_okay=False), help="Where the laws go.")
@click.option("--max-draws", type=click.FloatRange(min=1), help="Fit only runs up to this many draws.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def main(runs: str, output: str, max_draws: float | None, as_json: bool) -> None:
    """Fit transfer laws to RUNS, a directory of run logs or a CSV, and write laws.json."""
    complete = read_runs(runs)
    refuse_unlike(runs)
    if unfinished := incomplete_runs(runs):
        click.echo(f"warning: unfinished runs left out: {len(unfinished)} ({_few(unfinished)})", err=True)
    seen, unseen = _split(complete, max_draws)
    laws, held_out = _fit(seen, unseen)
    laws = replace(laws, provenance={"runs": Path(runs).name, "max_draws": max_draws, "held_out": held_out})
    laws.save(output)
    if as_json:
        targets = {name: law.diagnostics for name, law in laws.targets.items()}
        click.echo(json.dumps({"output": output, "runs": len(seen), "targets": targets, "held_out": held_out}))
        return
    _report(laws)
    if held_out:
        _report_held_out(held_out)
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


def _fit(seen: list[Run], unseen: list[Run]) -> tuple[Laws, dict[str, Any] | None]:
    """The laws, with the nulls' errors in their diagnostics, and all three forms' scores on unseen runs."""
    forms = {"transfer": fit_laws(seen)}
    forms |= {name: fit_laws(seen, transfer=transfer) for name, transfer in NULLS.items()}
    laws = forms["transfer"]
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


def _report(laws: Laws) -> None:
    rows = []
    for name, law in laws.targets.items():
        told = law.diagnostics
        errors = [100 * error for error in (told["mre"], told["null_mre"]["own"], told["null_mre"]["total"])]
        edges = ", ".join(told["bounds_hit"])
        rows.append([name, law.E, law.a, law.beta, law.d0, told["n"], told["r2_log"], *errors, edges])
    click.echo("L = E + a * (effective draws / d_ref)^-beta, with d_ref = " + f"{laws.d_ref:.4g} draws")
    header = ["target", "E", "a", "beta", "d0", "n", "R2 of log", "MRE %", "own only %", "total only %"]
    click.echo(table([*header, "on a bound"], rows))
    click.echo("\none draw of (row) is worth this many draws of (column)")
    columns = [laws.transfer[:, column].tolist() for column in range(len(laws.domains))]
    names = list(laws.targets)
    click.echo(
        table(["", *names], [[name, *map(_short, row)] for name, row in zip(laws.domains, columns, strict=True)])
    )


def _report_held_out(held_out: dict[str, Any]) -> None:
    forms = held_out["forms"]
    rows = []
    for target, result in forms["transfer"]["targets"].items():
        errors = [100 * forms[form]["targets"][target]["mre"] for form in forms]
        rows.append([target, result["n"], *errors, result["r"], forms["own"]["targets"][target]["r"]])
    click.echo(f"\nprediction of {held_out['runs']} larger runs that were kept from the fit")
    header = ["target", "n", "MRE %", "own only %", "total only %", "r across mixtures", "own only"]
    click.echo(table(header, rows))
    regrets = {form: told["selection_regret"] for form, told in forms.items()}
    if regrets["transfer"] is not None:
        others = ", ".join(f"{form} {100 * regrets[form]:.2f} %" for form in NULLS if regrets[form] is not None)
        click.echo(
            f"the mixture the laws rank first loses {100 * regrets['transfer']:.2f} % against the best one measured"
            + (f" ({others})" if others else "")
        )


def _short(value: float) -> float:
    return round(value, 3)


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


if __name__ == "__main__":
    main()

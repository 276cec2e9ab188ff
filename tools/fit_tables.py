"""What `tools.fit_laws` prints: laws, their comparison and their test, as plain text; and what is wrong with them."""

from collections.abc import Sequence
from typing import Any

from tools.comparison import Comparison
from tools.forms import FORMS, NULLS
from tools.laws import Laws
from tools.runlog import Run
from tools.table import table

SLOPPY = 1e5
"""Beyond this condition number some parameters are not told apart by the runs."""


def comparison_table(comparison: Comparison) -> str:
    """Every form's error on runs that its fit has not seen, and which one is used."""
    rows: list[list[object]] = []
    for one in comparison.entries:
        errors = [None if error is None else 100 * error for error in (one.budget_error, one.mixture_error, one.error)]
        note = "<- used" if one.form == comparison.chosen else "not fitted" if one.refused else ""
        beside = None if one.error is None else f"{100 * one.worse:.2f} ± {100 * one.doubt:.2f}"
        rows.append([one.form, round(one.parameters, 1), *errors, beside or "-", note])
    header = ["form", "parameters", "new budget %", "new mixture %", "both %", "above the best", ""]
    lines = [
        "error on runs that no fit has seen; the simplest within one standard error or 1 % of the best is used",
        table(header, rows),
        *(f"not fitted: {one.form}: {one.refused}" for one in comparison.entries if one.refused),
    ]
    if comparison.chosen == "total":
        lines.append("no form beats one that ignores the mixture: these runs do not tell mixtures apart")
    elif comparison.chosen == "own":
        lines.append("no form beats one of own draws only: these runs show no transfer between domains")
    return "\n".join(lines)


def law_lines(laws: Laws) -> str:
    """The formula, the parameters and the errors of each target, and what domains are worth to one another."""
    rows = []
    form = FORMS[laws.form]
    single = [one.name for one in form.local if not one.per_domain]
    for name, law in laws.targets.items():
        told = law.diagnostics
        errors = [100 * told["mre"], *(100 * told["null_mre"][null] for null in NULLS if null in told["null_mre"])]
        values = [law.parameters[one] for one in single]
        rows.append([name, *values, told["n"], told["r2_log"], *errors, ", ".join(told["bounds_hit"])])
    names = [f"{null} only %" for null in NULLS]
    header = ["target", *single, "n", "R2 of log", "MRE %", *names, "on a bound"]
    lines = [f"L_i = {form.title}, draws in units of {laws.d_ref:.4g}", table(header, rows)]
    if shared := _shared(laws):
        lines.append(shared)
    lines.append("\none draw of (row) is worth this many draws of (column)" + _where(laws))
    worth = laws.transfer().T
    targets = list(laws.targets)
    rows = [[name, *(round(value, 3) for value in row.tolist())] for name, row in zip(laws.domains, worth, strict=True)]
    return "\n".join([*lines, table(["", *targets], rows)])


def held_out_lines(held_out: dict[str, Any], form: str) -> str:
    """How the law did on larger runs, beside the nulls."""
    forms = held_out["forms"]
    rows = []
    for target, result in forms[form]["targets"].items():
        errors = [100 * forms[name]["targets"][target]["mre"] for name in (form, *NULLS)]
        rows.append([target, result["n"], *errors, result["r"], forms["own"]["targets"][target]["r"]])
    header = ["target", "n", "MRE %", *(f"{null} only %" for null in NULLS), "r across mixtures", "own only"]
    lines = [f"prediction of {held_out['runs']} larger runs that were kept from the fit", table(header, rows)]
    regrets = {name: told["selection_regret"] for name, told in forms.items()}
    if regrets[form] is not None:
        others = ", ".join(f"{name} {100 * regrets[name]:.2f} %" for name in NULLS if regrets[name] is not None)
        lines.append(
            f"the mixture the laws rank first loses {100 * regrets[form]:.2f} % against the best one measured"
            + (f" ({others})" if others else "")
        )
    return "\n".join(lines)


def warnings_of(laws: Laws, runs: Sequence[Run]) -> list[str]:
    """What a reader must know before believing the laws."""
    found = []
    if len(laws.data["budgets"]) == 1 or max(laws.data["budgets"]) < 1.1 * min(laws.data["budgets"]):
        found.append(
            f"all runs have one budget, {laws.data['budgets'][-1]:g} draws: what a larger one brings is not known, and "
            "E and beta are a guess; make runs of another budget"
        )
    if failed := [f"{run.run} ({', '.join(run.failed)})" for run in runs if run.failed]:
        found.append(f"losses that are not finite, left out: {_few(failed)}")
    astray: dict[str, list[str]] = {}
    for target, law in laws.targets.items():
        for run in law.diagnostics["astray"]:
            astray.setdefault(run, []).append(target)
    if astray:
        named = [f"{run} ({', '.join(targets)})" for run, targets in astray.items()]
        found.append(f"runs far from the law, which hardly bend it: {_few(named)}; look at their logs")
    sloppy = [target for target, law in laws.targets.items() if law.diagnostics["condition"] > SLOPPY]
    if sloppy:
        found.append(f"the runs hardly tell some parameters of {', '.join(sloppy)} apart; see their intervals")
    if laws.form == "signed":
        found.append("a signed law is convex only while effective draws are above 0; the best mixture is searched for")
    return found


def _shared(laws: Laws) -> str:
    parts = []
    for name, given in laws.shared.items():
        if isinstance(given, dict):
            parts.append(f"{name}: " + ", ".join(f"{domain} {value:.3g}" for domain, value in given.items()))
        else:
            parts.append(f"{name} {given:.3g}")
    return "; ".join(parts)


def _where(laws: Laws) -> str:
    """Where the worth depends on the mixture, at which one it is told."""
    form = FORMS[laws.form]
    linear = not form.shared and any(one.name == "tau" for one in form.local) and laws.form != "split"
    return "" if linear and laws.form != "transfer+total" else f", at an even mixture of {laws.d_ref:.0f} draws"


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")

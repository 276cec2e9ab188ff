"""The parts of a report about the plan: how sure its shares are, and what other budgets and floors would change."""

from collections.abc import Sequence

import numpy as np

from tools import plan, plan_figures
from tools.evidence import Evidence
from tools.forms.form import Array
from tools.laws import COVERED
from tools.page import Section, paragraph, percent, table
from tools.problem import RANGE, Problem, baseline_of, predicted, same_loss
from tools.sections import Writer

FLOORS = 11
BUDGETS = 13


def share_intervals(evidence: Evidence, problem: Problem, writer: Writer) -> Section:
    """The plan's shares with their intervals, and whether it can be told from the baseline at all."""
    laws, title, (name, other) = evidence.laws, "How sure the shares are", baseline_of(evidence)
    ends = plan.share_intervals(laws, problem.budget, problem.terms)
    if ends is None:
        text = "Not shown: these laws have no bootstrap. Fit them with python -m tools.fit_laws RUNS --samples 200."
        return Section("sure", title, paragraph(text))
    shares = laws.array(evidence.allocation.shares)
    body = writer.picture(
        "sure",
        plan_figures.share_intervals(laws.domains, shares, np.array(list(ends.values())), (name, other)),
        alt="; ".join(
            f"{domain}: {percent(share)}, {percent(low)} to {percent(high)}"
            for share, (domain, (low, high)) in zip(shares.tolist(), ends.items(), strict=True)
        )
        + ".",
        caption=f"Shares of the plan, and {100 * COVERED:.0f} % of what they are when the laws of one bootstrap "
        f"sample after the other are solved at {problem.budget:,.0f} draws. A tick is the {name} mixture’s share.",
    )
    gained = plan.gain(laws, shares, other, problem.budget, problem.terms)
    return Section("sure", title, body + paragraph(_verdict(gained, name, problem)))


def _verdict(gained: plan.Told, name: str, problem: Problem) -> str:
    assert gained.low is not None, "intervals of shares come from the same bootstrap"
    text = (
        f"Predicted {problem.terms.measured} of the plan: {percent(gained.value)} below the {name} mixture’s "
        f"({100 * COVERED:.0f} % interval {percent(gained.low)} to {percent(gained.high)})."
    )
    return text if gained.low > 0 else f"{text} These runs cannot tell the plan from the {name} mixture."


def scaling(evidence: Evidence, problem: Problem, writer: Writer) -> Section:
    """Predicted losses over budgets under the plan and the baseline."""
    laws, (name, other) = evidence.laws, baseline_of(evidence)
    shares, planned = laws.array(evidence.allocation.shares), evidence.allocation.strategy or "plan"
    at = _budgets(evidence, 40)
    rivals = {planned if planned != name else "plan": shares, name: other}
    body = writer.picture(
        "scaling",
        plan_figures.scaling(evidence, problem, rivals, at),
        alt=f"Predicted loss against budget for the {planned} and the {name} mixture, {problem.terms.measured} and by "
        "domain.",
        caption="Predicted losses over budgets, both axes in logarithms; shaded, budgets beyond the fitted runs."
        + (" Dots were measured, full for the plan, open for the baseline." if evidence.trial else ""),
    )
    lines, largest = _lines(evidence, problem, list(rivals.values()), at), max(laws.data["budgets"])
    rows = [[label, *(f"{exponent(one, at, largest):.3f}" for one in pair)] for label, pair in lines.items()]
    ratio = same_loss(evidence, problem)
    needed = "more than a thousand times" if ratio is None else f"{ratio:.2f} times"
    note = (
        "The table has the exponents at the largest fitted budget: by how many percent a loss falls for one percent "
        f"more draws. For the loss that the plan is predicted to reach at {problem.budget:,.0f} draws, the {name} "
        f"mixture needs {needed} as many."
    )
    return Section("scaling", "Losses as budgets grow", body + table(["exponent", *rivals], rows) + paragraph(note))


def _lines(evidence: Evidence, problem: Problem, rivals: Sequence[Array], at: Array) -> dict[str, list[Array]]:
    """Losses at these budgets by target, what counts of them first, one line a rival."""
    losses = [evidence.laws.predict(np.multiply.outer(at, shares)) for shares in rivals]
    found = {problem.terms.measured: [predicted(evidence, problem.terms, shares, at) for shares in rivals]}
    return found | {name: [each[:, row] for each in losses] for row, name in enumerate(evidence.laws.targets)}


def exponent(losses: Array, at: Array, budget: float) -> float:
    """By what power of the budget losses (N,) at these budgets fall, at one of them."""
    return float(-np.interp(np.log(budget), np.log(at), np.gradient(np.log(losses), np.log(at))))


def budgets(evidence: Evidence, problem: Problem, writer: Writer) -> Section:
    """How the best shares change with the budget."""
    at = _budgets(evidence, BUDGETS)
    shares = problem.by_budget(at)
    move = np.abs(shares[-1] - shares[0])
    most = int(move.argmax())
    text = (
        f"From {at[0]:,.0f} to {at[-1]:,.0f} draws the share of {evidence.laws.domains[most]} moves the most, from "
        f"{percent(float(shares[0, most]))} to {percent(float(shares[-1, most]))}."
        if move[most] > 1e-4
        else "Under these laws, floor and caps the best mixture is the same at every budget."
    )
    body = writer.picture(
        "budgets",
        plan_figures.budgets(evidence, problem, at, shares),
        alt=text,
        caption=f"The best shares at each budget, under a floor of {percent(problem.floor)}; shaded, budgets beyond "
        "the fitted runs, where the law is extrapolated. The dotted line is the plan’s budget"
        + (", whose caps hold at all." if (problem.terms.high < 1).any() else "."),
    )
    return Section("budgets", "The best shares at other budgets", body + paragraph(text))


def floors(evidence: Evidence, problem: Problem, writer: Writer) -> Section:
    """What a floor does to shares and losses."""
    at = np.linspace(0, problem.highest, FLOORS)
    shares = problem.by_floor(at)
    losses = evidence.laws.predict(shares * problem.budget)
    mean = problem.terms.of(losses)
    body = writer.picture(
        "floors",
        plan_figures.floors(evidence, problem, at, shares),
        alt=f"Shares and losses for floors from 0 to {percent(problem.highest)}; the largest "
        f"raises the {problem.terms.measured} by {percent(float(mean[-1] / mean[0] - 1))}.",
        caption=f"The mixture solved again under each floor, at {problem.budget:,.0f} draws. Top: shares. Middle: the "
        f"predicted {problem.terms.measured}. Bottom: each domain’s loss beside that without a floor. "
        "The dotted line is the plan’s floor.",
    )
    rows = [
        [
            percent(float(at[row])),
            f"{1e3 * mean[row]:.2f}",
            percent(float(mean[row] / mean[0] - 1), 2),
            percent(float(shares[row].max())),
            percent(float((losses[row] / losses[0] - 1).min())),
            percent(float((losses[row] / losses[0] - 1).max())),
        ]
        for row in range(0, FLOORS, 2)
    ]
    header = ["floor", f"{problem.terms.measured}, ×10⁻³", "cost", "largest share", "least raised", "most raised"]
    note = f"Cost: how much it raises the {problem.terms.measured}. Last: the same of single domains’ losses."
    return Section("floors", "What a floor costs", body + table(header, rows) + paragraph(note))


def _budgets(evidence: Evidence, count: int) -> Array:
    """Budgets around the largest fitted one."""
    largest = max(evidence.laws.data["budgets"])
    return np.geomspace(RANGE[0] * largest, RANGE[1] * largest, count)

"""The parts of a report about the plan: how sure its shares are, and what other budgets and floors would change."""

from collections.abc import Sequence

import numpy as np

from tools import plan_figures
from tools.evidence import Evidence
from tools.forms.form import Array
from tools.laws import COVERED
from tools.page import Section, paragraph, percent, table
from tools.plan import RANGE, Plan, baseline_of, by_budget, by_floor, by_sample, gain_interval, means, same_loss
from tools.sections import Writer

FLOORS = 11
BUDGETS = 13


def share_intervals(evidence: Evidence, plan: Plan, writer: Writer) -> Section:
    """The plan's shares with their intervals, and whether it can be told from the baseline at all."""
    title, samples = "How sure the shares are", by_sample(evidence, plan)
    if samples is None:
        text = "Not shown: these laws have no bootstrap. Fit them with python -m tools.fit_laws RUNS --samples 200."
        return Section("sure", title, paragraph(text))
    laws, (name, other) = evidence.laws, baseline_of(evidence)
    shares, tail = laws.array(evidence.allocation.shares), 50 * (1 - COVERED)
    ends = np.percentile(samples, [tail, 100 - tail], 0).T
    body = writer.picture(
        "sure",
        plan_figures.share_intervals(laws.domains, shares, ends, (name, other)),
        alt="; ".join(
            f"{domain}: {percent(share)}, {percent(low)} to {percent(high)}"
            for domain, share, (low, high) in zip(laws.domains, shares.tolist(), ends.tolist(), strict=True)
        )
        + ".",
        caption=f"Shares of the plan, and {100 * COVERED:.0f} % of what they are when the laws of {len(samples)} "
        f"bootstrap samples are solved at {plan.budget:,.0f} draws. A tick is the {name} mixture’s share.",
    )
    return Section("sure", title, body + paragraph(_verdict(evidence, plan, name)))


def _verdict(evidence: Evidence, plan: Plan, name: str) -> str:
    found = gain_interval(evidence, plan)
    assert found is not None, "intervals of shares come from the same bootstrap"
    gain, low, high = found
    text = (
        f"Predicted mean loss of the plan: {percent(gain)} below the {name} mixture’s "
        f"({100 * COVERED:.0f} % interval {percent(low)} to {percent(high)})."
    )
    return text if low > 0 else f"{text} These runs cannot tell the plan from the {name} mixture."


def scaling(evidence: Evidence, plan: Plan, writer: Writer) -> Section:
    """Predicted losses over budgets under the plan and the baseline."""
    laws, (name, other) = evidence.laws, baseline_of(evidence)
    shares, planned = laws.array(evidence.allocation.shares), evidence.allocation.strategy or "plan"
    at = _budgets(evidence, 40)
    rivals = {planned if planned != name else "plan": shares, name: other}
    body = writer.picture(
        "scaling",
        plan_figures.scaling(evidence, plan, rivals, at),
        alt=f"Predicted loss against budget for the {planned} and the {name} mixture, mean and by domain.",
        caption="Predicted losses over budgets, both axes in logarithms; shaded, budgets beyond the fitted runs."
        + (" Dots were measured, full for the plan, open for the baseline." if evidence.trial else ""),
    )
    lines, largest = _lines(evidence, plan, list(rivals.values()), at), max(laws.data["budgets"])
    rows = [[label, *(f"{exponent(one, at, largest):.3f}" for one in pair)] for label, pair in lines.items()]
    ratio = same_loss(evidence, plan)
    needed = "more than a thousand times" if ratio is None else f"{ratio:.2f} times"
    note = (
        "The table has the exponents at the largest fitted budget: by how many percent a loss falls for one percent "
        f"more draws. For the loss that the plan is predicted to reach at {plan.budget:,.0f} draws, the {name} mixture "
        f"needs {needed} as many."
    )
    return Section("scaling", "Losses as budgets grow", body + table(["exponent", *rivals], rows) + paragraph(note))


def _lines(evidence: Evidence, plan: Plan, rivals: Sequence[Array], at: Array) -> dict[str, list[Array]]:
    """Losses at these budgets by target, the mean first, one line a rival."""
    losses = [evidence.laws.predict(np.multiply.outer(at, shares)) for shares in rivals]
    found = {"mean": [means(evidence.laws.curves, plan, shares, at)[0] for shares in rivals]}
    return found | {name: [each[:, row] for each in losses] for row, name in enumerate(evidence.laws.targets)}


def exponent(losses: Array, at: Array, budget: float) -> float:
    """By what power of the budget losses (N,) at these budgets fall, at one of them."""
    return float(-np.interp(np.log(budget), np.log(at), np.gradient(np.log(losses), np.log(at))))


def budgets(evidence: Evidence, plan: Plan, writer: Writer) -> Section:
    """How the best shares change with the budget."""
    at = _budgets(evidence, BUDGETS)
    shares = by_budget(evidence, plan, at)
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
        plan_figures.budgets(evidence, plan, at, shares),
        alt=text,
        caption=f"The best shares at each budget, under a floor of {percent(plan.floor)}; shaded, budgets beyond the "
        "fitted runs, where the law is extrapolated. The dotted line is the plan’s budget.",
    )
    return Section("budgets", "The best shares at other budgets", body + paragraph(text))


def floors(evidence: Evidence, plan: Plan, writer: Writer) -> Section:
    """What a floor does to shares and losses."""
    at = np.linspace(0, plan.highest, FLOORS)
    shares = by_floor(evidence, plan, at)
    losses = evidence.laws.predict(shares * plan.budget)
    mean = plan.terms.of(losses)
    body = writer.picture(
        "floors",
        plan_figures.floors(evidence, plan, at, shares),
        alt=f"Shares and losses for floors from 0 to {percent(plan.highest)}; the largest "
        f"raises the mean loss by {percent(float(mean[-1] / mean[0] - 1))}.",
        caption=f"The mixture solved again under each floor, at {plan.budget:,.0f} draws. Top: shares. Middle: the "
        "predicted mean loss. Bottom: each domain’s loss beside that without a floor. The dotted line is the plan’s "
        "floor.",
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
    header = ["floor", "mean loss, ×10⁻³", "cost", "largest share", "least raised", "most raised"]
    note = "Cost: how much it raises the mean loss. The last columns: how much it raises single domains’ losses."
    return Section("floors", "What a floor costs", body + table(header, rows) + paragraph(note))


def _budgets(evidence: Evidence, count: int) -> Array:
    """Budgets around the largest fitted one."""
    largest = max(evidence.laws.data["budgets"])
    return np.geomspace(RANGE[0] * largest, RANGE[1] * largest, count)

"""The parts of a report that judge the laws: mixtures trained at a budget that the fit never saw."""

from collections.abc import Mapping, Sequence

from tools import loss_figures
from tools.evidence import BASELINE, Evidence, Strategy, Trial, Verdict
from tools.page import Section, paragraph, percent, table
from tools.sections import Writer


def forecast(evidence: Evidence, writer: Writer) -> Section:
    """(6) Predicted against measured loss, with the verdict on the law and the nulls."""
    title = "Predicted and measured at a budget the fit never saw"
    if evidence.trial is None:
        return Section("forecast", title, paragraph("Not shown: no strategies were given (--strategies)."))
    caption = (
        f"Every strategy trained on {evidence.budget:,.0f} patches. Colour says the domain it was scored on, "
        "marker the strategy, the thin bar the range over seeds. On the dashed line the prediction was exact. "
        "The spread along the line is mostly that between domains, which proves little; the table "
        "compares mixtures at this one budget, beside two laws that know less."
    )
    body = writer.picture(
        "forecast",
        loss_figures.forecast(evidence.trial, evidence.laws),
        caption=caption,
        alt="Measured against predicted loss for every strategy and domain, with the identity line.",
    )
    body += writer.picture(
        "mixtures",
        loss_figures.mixtures(evidence.trial, evidence.laws),
        caption="The same with a panel and scales for each domain, so that the strategies come apart. Points that rise "
        "from left to right were foretold in the right order; their distance from the dashed line is what the law was "
        "off by for all of them.",
        alt="For every domain, measured against predicted loss of the strategies.",
    )
    rows = [[each.name, _correlation(each), percent(each.error)] for each in evidence.verdicts]
    seeds = max(len(each.measured) for each in evidence.trial.strategies)
    note = paragraph(
        f"Both are means over domains, the correlation over {len(evidence.trial.strategies)} mixtures of {seeds} seeds "
        "only, in brackets its least and largest. “None”: this law predicts the same loss for every mixture."
    )
    return Section(
        "forecast", title, body + table(["law", "correlation across mixtures", "mean relative error"], rows) + note
    )


def result(evidence: Evidence) -> Section:
    """(7) The final table."""
    title = "What each strategy reached"
    if evidence.trial is None:
        return Section("result", title, paragraph("Not shown: no strategies were given (--strategies)."))
    domains = evidence.laws.domains
    header = ["strategy", "measured loss, ×10⁻³", "gain", "predicted loss, ×10⁻³", *domains]
    rows = [_result_row(each, evidence.trial, domains) for each in evidence.trial.strategies]
    seeds = sorted({len(each.measured) for each in evidence.trial.strategies})
    note = (
        f"Losses are means over the domains at {evidence.budget:,.0f} patches; ± is the standard deviation over "
        f"{' or '.join(map(str, seeds))} seeds; gain is how much lower the measured loss is than that of "
        "sampling in proportion to the numbers of volumes, seed by seed, in brackets its 95 % interval. The mean is of "
        "raw losses, so domains of large losses count most. The crops are the held-out ones that the laws were fitted "
        "to: new is the budget, not the data. The last columns are the shares."
    )
    return Section("result", title, table(header, rows) + paragraph(note))


def _result_row(strategy: Strategy, trial: Trial, domains: Sequence[str]) -> list[str]:
    spread = strategy.spread
    measured = f"{1e3 * strategy.loss:.2f}" + ("" if spread is None else f" ± {1e3 * spread:.2f}")
    return [
        strategy.name,
        measured,
        _gain(trial, strategy),
        f"{1e3 * strategy.expected:.2f}",
        *(percent(strategy.shares.get(domain, 0.0)) for domain in domains),
    ]


def _gain(trial: Trial, strategy: Strategy) -> str:
    gain, ends = trial.gain(strategy), trial.interval(strategy)
    if gain is None:
        return "–"
    return f"{100 * gain:+.1f} %" + ("" if ends is None else f" ({100 * ends[0]:+.1f} to {100 * ends[1]:+.1f})")


def domains(evidence: Evidence, held_out: Mapping[str, int] | None) -> Section:
    """(8) Domain by domain: who gains, who loses, how often data are repeated."""
    title = "Domain by domain"
    if evidence.trial is None:
        return Section("domains", title, paragraph("Not shown: no strategies were given (--strategies)."))
    planned, strategies = evidence.allocation, evidence.trial.strategies
    baseline = next((each for each in strategies if each.name == BASELINE), None)
    chosen = next((each for each in strategies if each.name == planned.strategy), None)
    header = ["domain", *(each.name for each in strategies), "gain", "passes"] + (["held out"] if held_out else [])
    rows = []
    for name in evidence.laws.targets:
        losses = [f"{1e3 * each.predicted[name]:.1f} → {1e3 * each.measured_loss(name):.1f}" for each in strategies]
        gain = 1 - chosen.measured_loss(name) / baseline.measured_loss(name) if chosen and baseline else None
        draws, unique = planned.shares.get(name, 0.0) * evidence.budget, evidence.unique.get(name)
        passes = f"{draws / unique:.1f}" if unique else "–"
        row = [name, *losses, "–" if gain is None else f"{100 * gain:+.1f} %", passes]
        rows.append(row + ([str(held_out.get(name, 0))] if held_out else []))
    note = (
        f"Predicted → measured loss, ×10⁻³. Gain: {planned.strategy or 'the allocation'} against proportional. Passes: "
        "its draws over the patches that lie side by side in the training volumes; above 1 data are seen again, which "
        "the law does not know." + (" Held out: volumes that the losses come from." if held_out else "")
    )
    return Section("domains", title, table(header, rows) + paragraph(note))


def _correlation(verdict: Verdict) -> str:
    if verdict.correlation is None or verdict.least is None or verdict.largest is None:
        return "none"
    return f"{verdict.correlation:.2f} ({verdict.least:.2f} to {verdict.largest:.2f})"

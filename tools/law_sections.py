"""The parts of a report that judge the laws: validation, residuals, intervals, the choice of a form, calibration."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from tools import law_figures
from tools.calibration import LEVELS, Outcomes, coverage, outcomes, places
from tools.evidence import Evidence
from tools.forms import FORMS
from tools.laws import COVERED, Laws
from tools.page import Section, paragraph, percent, table
from tools.runlog import Run
from tools.scoring import score
from tools.sections import Writer, told

MANY = 12
"""With more domains than this, intervals of transfers are not drawn."""
_RESAMPLE = "Not shown: these laws have no bootstrap. Fit them with python -m tools.fit_laws RUNS --samples 200."


def validation(evidence: Evidence, writer: Writer) -> Section:
    """Predicted against measured loss of all runs, and of those that the fit has not seen."""
    figure = writer.picture(
        "validation",
        law_figures.validation(evidence),
        alt="Measured against predicted loss for every run and domain, fitted and held out, with the identity line.",
        caption="Each dot is one run’s loss on one domain. Full dots were fitted; open ones are of budgets, or of "
        "strategies, that the fit has not seen. On the dashed line the prediction was exact.",
    )
    header = ["runs", "count", "r", "r within a budget", "R²", "mean error"]
    parts = {"fitted": evidence.fitted, "held out": evidence.unseen}
    rows = [_validated(name, evidence.laws, runs) for name, runs in parts.items() if runs]
    note = (
        "All of log losses. r counts the differences between domains and between budgets, which any law foretells; r "
        "within a budget compares mixtures of equal cost, and R² leaves out what differs between domains."
    )
    if not evidence.unseen:
        note += " Nothing was held out: fit with --max-draws to keep the largest runs for a test."
    return Section("validation", "Predicted and measured, run by run", figure + table(header, rows) + paragraph(note))


def _validated(name: str, laws: Laws, runs: Sequence[Run]) -> list[str]:
    found: Outcomes = outcomes(laws, runs)
    known = [each.r for each in score(laws, runs).values() if each.r is not None]
    numbers = [found.correlation, fmean(known) if known else None, found.explained]
    return [name, str(len(runs)), *("–" if each is None else f"{each:.3f}" for each in numbers), percent(found.error)]


def residuals(evidence: Evidence, writer: Writer) -> Section:
    """What the laws leave unexplained."""
    caption = (
        "How far each measured loss lies above its prediction. The grey band is twice the scatter of the fitted runs. "
        "Large budgets are on the left: where dots bend away from the line there, the form is wrong just where it is "
        "needed. A single dot far off is a run gone astray. Open dots were not fitted."
    )
    figure = law_figures.residuals(evidence)
    alt = "How far measured losses lie above predicted ones, in percent, against the predicted loss, by domain."
    body = writer.picture("residuals", figure, alt=alt, caption=caption)
    astray = sorted({run for law in evidence.laws.targets.values() for run in law.diagnostics.get("astray", [])})
    text = f"Runs gone astray, which count little in the fit: {', '.join(astray)}." if astray else "No run went astray."
    return Section("residuals", "What the laws leave over", body + paragraph(text))


def intervals(evidence: Evidence, writer: Writer) -> Section:
    """Parameters with the intervals of the bootstrap."""
    title, laws = "How well the parameters are known", evidence.laws
    if laws.samples is None:
        return Section("intervals", title, paragraph(_RESAMPLE))
    form = laws.layout.form
    single = [one for one in form.local if not one.per_domain]
    header = ["domain", *(f"{one.name}, ×10⁻³" if one.unit == "loss" else one.name for one in single)]
    rows = [
        [target, *(_spread(law.parameters[one.name], laws.interval(one.name, target), one.unit) for one in single)]
        for target, law in laws.targets.items()
    ]
    body = table(header, rows) + _shared(laws)
    wide = next((one.name for one in form.local if one.per_domain), None)
    if wide and len(laws.domains) <= MANY:
        body += writer.picture(
            "intervals",
            law_figures.parameters(laws, wide),
            alt=f"{wide} of every domain for every target, with intervals.",
            caption=f"{wide} of each domain (line) for each target (panel), with its interval.",
        )
    note = f"In brackets, and as bars, {100 * COVERED:.0f} % of the bootstrap’s {len(laws.samples.local)} samples."
    return Section("intervals", title, body + paragraph(note))


def _shared(laws: Laws) -> str:
    """What all targets share, if anything."""
    rows = []
    for name, given in laws.shared.items():
        spread = laws.interval(name)
        if isinstance(given, Mapping):
            rows += [[f"{name} of {domain}", _spread(given[domain], spread[domain], "")] for domain in given]
        else:
            rows.append([name, _spread(given, spread, "")])
    return table(["shared by all", "value"], rows) if rows else ""


def _spread(value: float, ends: Sequence[float], unit: str) -> str:
    return f"{told(value, unit)} ({told(ends[0], unit)}–{told(ends[1], unit)})"


def comparison(evidence: Evidence) -> Section:
    """Every form's error on runs that its fit has not seen."""
    title, found = "Which form of law", evidence.laws.provenance.get("comparison")
    if not found:
        text = (
            f"The form {evidence.laws.form} was given, not chosen: {FORMS[evidence.laws.form].title}. Compare all "
            "forms on held-out runs with python -m tools.fit_laws RUNS --compare."
        )
        return Section("comparison", title, paragraph(text))
    entries = found["entries"]
    header = ["form", "error, %", "above the best, %", "larger budget, %", "other mixtures, %", "parameters"]
    rows = [_compared(each, found["chosen"]) for each in entries if each.get("error") is not None]
    refused = [f"{each['form']}: {each['refused']}" for each in entries if each.get("refused")]
    note = (
        f"Chosen: {found['chosen']}, {FORMS[found['chosen']].title}, the simplest whose error is within one standard "
        "error, or a hundredth, of the best one’s. Errors are mean absolute differences of log "
        "losses on runs kept from the fit: those of the largest budget, and mixtures left out in turn."
    )
    tail = paragraph("Not fitted: " + "; ".join(refused)) if refused else ""
    return Section("comparison", title, table(header, rows) + paragraph(note) + tail)


def _compared(entry: Mapping[str, Any], chosen: str) -> list[str]:
    parts = [entry[name] for name in ("error", "budget_error", "mixture_error")]
    name = entry["form"] + (" ← chosen" if entry["form"] == chosen else "")
    error, *both = ["–" if part is None else f"{100 * part:.2f}" for part in parts]
    worse = f"{100 * entry['worse']:.2f} ± {100 * entry['doubt']:.2f}"
    return [name, error, worse, *both, f"{entry['parameters']:.3g}"]


def calibration(evidence: Evidence) -> Section:
    """Whether intervals hold as many measurements as they say."""
    title, laws = "Whether the stated doubt is the real one", evidence.laws
    if laws.samples is None:
        return Section("calibration", title, paragraph(_RESAMPLE))
    rows = []
    for name, runs in {"fitted": evidence.fitted, "held out": evidence.unseen}.items():
        place = places(laws, runs)
        if place is not None:
            rows.append([name, str(len(place)), *(percent(part) for part in coverage(place))])
    note = (
        "What part of the measured losses lies inside the predicted intervals, from the bootstrap and the scatter of "
        "runs around the law. Calibrated laws give the percentage at the head of the column. Fitted runs test the "
        "scatter alone, as the law followed them; held-out runs are the test."
    )
    if not evidence.unseen:
        note += " There are none here: fit with --max-draws to keep the largest runs."
    if not rows:
        note = "Not shown: these laws do not record the scatter of their runs. Fit them again with tools.fit_laws."
        return Section("calibration", title, paragraph(note))
    header = ["runs", "losses", *(f"{100 * level:.0f} % interval" for level in LEVELS)]
    return Section("calibration", title, table(header, rows) + paragraph(note))

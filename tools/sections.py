"""The parts of a report: each function turns evidence into a heading, a picture or table, and plain words about it."""

import io
import os
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from tools import figures, loss_figures
from tools.evidence import Evidence
from tools.forms import FORMS
from tools.page import Section, paragraph, percent, picture, table
from tools.roles import structure
from tools.slices import Slices


class Writer:
    """Writes the files of a report to one folder, each under a temporary name first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.written: list[Path] = []

    def write(self, name: str, content: bytes) -> None:
        """Write one file."""
        path, part = self.folder / name, self.folder / f".{name}.part"
        part.write_bytes(content)
        os.replace(part, path)
        self.written.append(path)

    def picture(self, name: str, figure: Figure, *, alt: str, caption: str) -> str:
        """Save NAME.png; its HTML."""
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        self.write(f"{name}.png", buffer.getvalue())
        return picture(buffer.getvalue(), alt=alt, caption=caption)


def title_of(evidence: Evidence) -> str:
    """What was trained, and on what."""
    model = "A masked autoencoder" if evidence.config else "A model"
    return f"{model} trained on mixtures of {len(evidence.laws.domains)} domains"


def lead_of(evidence: Evidence) -> str:
    """The finding in two sentences, or only what was fitted where nothing was tested."""
    budgets = evidence.laws.data["budgets"]
    text = (
        f"Laws fitted to {evidence.laws.data['runs']} runs of {min(budgets):,.0f} to {max(budgets):,.0f} patches "
        "say what a patch of each domain is worth to every other."
    )
    trial, name = evidence.trial, evidence.allocation.strategy
    planned = next((each for each in trial.strategies if each.name == name), None) if trial else None
    gain = trial.gain(planned) if trial and planned else None
    if trial is None or planned is None or gain is None:
        return text
    if trial.is_noise(planned):
        return (
            f"{text} Trained on {evidence.budget:,.0f} patches, the {name} mixture and sampling in proportion to the "
            f"data differ by {100 * abs(gain):.1f} % of the mean held-out loss, within the noise of their seeds."
        )
    noise = f" Seeds of one mixture differ by {100 * planned.spread / planned.loss:.1f} %." if planned.spread else ""
    return (
        f"{text} Trained on {evidence.budget:,.0f} patches, the {name} mixture reaches a mean held-out loss "
        f"{100 * abs(gain):.1f} % {'lower' if gain > 0 else 'higher'} than sampling in proportion to the data." + noise
    )


def seen(slices: Slices | None, writer: Writer) -> Section:
    """(1) Slices of every domain."""
    if slices is None:
        return Section("slices", "What was trained on", paragraph("Not shown: no store was given (--store)."))
    body = writer.picture(
        "slices",
        figures.slices(slices),
        alt=f"Slices of {', '.join(slices)}.",
        caption="Slices through one volume of each domain, axial, coronal and sagittal, and the axial one of a "
        "second volume. Grey values are windowed as the model sees them, the patient's right is on the right.",
    )
    return Section("slices", "What was trained on", body)


def curves(evidence: Evidence, writer: Writer) -> Section:
    """(2) Losses with their fitted curves, and the laws' parameters."""
    unseen = len(evidence.fitted) < len(evidence.runs)
    opened = " Open dots are runs of budgets that the fit did not see." if unseen else ""
    warning = "" if evidence.same_runs else " The runs shown are not exactly those the laws were fitted on."
    caption = (
        "Each dot is a run, each panel a domain it was scored on. To the right: more effective draws, that is "
        "patches of the domain itself plus patches of others at what the law says they are worth. Down: better. "
        "Where dots of every kind lie on the line, the law holds." + opened + warning
    )
    body = writer.picture(
        "curves",
        loss_figures.curves(evidence),
        caption=caption,
        alt="Held-out loss against effective draws for every domain, with the fitted law as a line.",
    )
    single = [one for one in FORMS[evidence.laws.form].local if not one.per_domain]
    rows = [
        [
            name,
            *(told(law.parameters[one.name], one.unit) for one in single),
            percent(law.diagnostics.get("mre")),
            ", ".join(law.diagnostics.get("bounds_hit", [])) or "none",
        ]
        for name, law in evidence.laws.targets.items()
    ]
    named = [f"{one.name}, ×10⁻³" if one.unit == "loss" else one.name for one in single]
    header = ["domain", *named, "fit error", "parameters at a bound"]
    note = paragraph(
        "A parameter at a bound is one that these runs do not determine; predictions beyond their budgets are then "
        "unreliable for that domain. E is capped by the lowest loss seen."
    )
    return Section("curves", "Measured losses and the laws", body + table(header, rows) + note)


def transfer(evidence: Evidence, writer: Writer) -> Section:
    """(3) The transfer matrix."""
    caption = (
        "Read along a row: one patch of this source saves as many patches of each target as the number says. "
        "1 would be as good as the target's own data, 0 no help at all. The matrix need not be symmetric."
    )
    best = max(
        (
            (tau, source, target)
            for target, row in zip(evidence.laws.targets, evidence.laws.transfer().tolist(), strict=True)
            for source, tau in zip(evidence.laws.domains, row, strict=True)
            if source != target
        ),
        default=(0.0, "none", "none"),
    )
    alt = f"Matrix of transfer between domains; the largest is {best[0]:.2f}, from {best[1]} to {best[2]}."
    return Section(
        "transfer",
        "What one domain is worth to another",
        writer.picture("transfer", figures.heat_map(evidence.laws), alt=alt, caption=caption),
    )


def graph(evidence: Evidence, writer: Writer) -> Section:
    """(4) Hubs and islands."""
    shares = evidence.allocation.shares
    roles = structure(evidence.laws, shares, evidence.budget)
    named = {kind: [name for name, role in roles.items() if role.label == kind] for kind in ("hub", "island")}
    alt = "; ".join(f"{kind}s: {', '.join(names) or 'none'}" for kind, names in named.items()) + "."
    caption = (
        f"An arrow from A to B: patches of A help B, the wider the more (below {figures.ARROW:g} not drawn). "
        "A disc is as large as the domain's share of the allocation. A hub gives more than it takes and more "
        "than the average domain; an island gets less than a fifth of its effective draws from others."
    )
    return Section(
        "graph",
        "Hubs and islands",
        writer.picture("graph", figures.graph(evidence.laws, shares, roles), alt=alt, caption=caption),
    )


def shares(evidence: Evidence, writer: Writer) -> Section:
    """(5) Shares per strategy."""
    given: dict[str, Mapping[str, float]] = {evidence.allocation.strategy or "allocation": evidence.allocation.shares}
    if evidence.trial:
        given = {each.name: each.shares for each in evidence.trial.strategies}
    alt = (
        "; ".join(
            f"{name}: " + ", ".join(f"{domain} {percent(part)}" for domain, part in each.items())
            for name, each in given.items()
        )
        + "."
    )
    caption = "How each strategy divides the draws among the domains, in percent; parts under 7 are not numbered."
    return Section(
        "shares",
        "Shares of each strategy",
        writer.picture("shares", figures.shares(given, evidence.laws.domains), alt=alt, caption=caption),
    )


def footer_of(evidence: Evidence) -> str:
    """Where the numbers came from."""
    settings = {**evidence.config.get("model", {}), **evidence.config.get("training", {})}
    described = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in settings.items())
    return (
        f"{len(evidence.runs)} complete runs, {len(evidence.unfinished)} unfinished left out. "
        f"Laws {evidence.laws.fingerprint}, allocation {evidence.allocation.fingerprint}. "
        + (f"First run: {described}." if described else "")
    )


def told(value: float, unit: str) -> str:
    """A parameter: losses in thousandths, draws as whole ones."""
    return f"{1e3 * value:.2f}" if unit == "loss" else f"{value:,.0f}" if unit == "draws" else f"{value:.2f}"

"""The pictures of a report that judge the laws: predictions beside measurements, residuals, intervals of parameters."""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tools.calibration import Outcomes, noise_of, outcomes
from tools.evidence import Evidence
from tools.figures import STYLE, blank, colors, legend_columns, legend_height
from tools.forms.form import Array
from tools.laws import Laws
from tools.loss_figures import plain_log


@matplotlib.rc_context(STYLE)
def validation(evidence: Evidence) -> Figure:
    """Measured against predicted loss of every run on log scales: full dots were fitted, open ones were not."""
    laws, shade = evidence.laws, colors(evidence.laws.domains)
    figure = blank(4.44 + legend_height(laws.domains))
    ax = figure.subplots()
    parts = [(outcomes(laws, runs), full) for runs, full in ((evidence.fitted, True), (evidence.unseen, False)) if runs]
    for found, full in parts:
        for column, target in enumerate(laws.targets):
            face = shade[target] if full else "white"
            ax.plot(
                1e3 * found.predicted[:, column],
                1e3 * found.measured[:, column],
                "o",
                color=shade[target],
                markerfacecolor=face,
                markersize=3.5 if full else 4.5,
                alpha=0.55 if full else 1,
                markeredgewidth=0.9,
            )
    both = np.concatenate([np.concatenate([found.predicted, found.measured]) for found, _ in parts])
    limits = (0.93 * 1e3 * np.nanmin(both), 1.07 * 1e3 * np.nanmax(both))
    ax.plot(limits, limits, color="#777777", linewidth=1, linestyle="--", zorder=0)
    ax.set(xscale="log", yscale="log", xlim=limits, ylim=limits, aspect="equal")
    ax.set(xlabel="predicted loss, ×10⁻³", ylabel="measured loss, ×10⁻³")
    plain_log(ax)
    targets = [ax.plot([], [], "o", color=shade[name], label=name)[0] for name in laws.targets]
    kinds = [
        ax.plot([], [], "o", color="#555555", markerfacecolor=face, label=label)[0]
        for face, label in (("#555555", "fitted"), ("white", "held out"))
    ]
    figure.legend(handles=targets, loc="outside upper center", ncols=legend_columns(laws.domains))
    figure.legend(handles=kinds, loc="outside lower center", ncols=2)
    return figure


@matplotlib.rc_context(STYLE)
def residuals(evidence: Evidence) -> Figure:
    """How far measured losses lie above predicted ones, in percent, against the predicted, a panel a target."""
    laws, noise = evidence.laws, noise_of(evidence.laws)
    figure, panels = grid(len(laws.targets))
    parts = [(outcomes(laws, runs), full) for runs, full in ((evidence.fitted, True), (evidence.unseen, False)) if runs]
    for column, (target, ax) in enumerate(zip(laws.targets, panels, strict=False)):
        if noise is not None:
            ax.axhspan(-200 * noise[column], 200 * noise[column], color="#eeeeee", zorder=0)
        ax.axhline(0, color="#777777", linewidth=1, zorder=1)
        for found, full in parts:
            _residual_dots(ax, found, column, colors(laws.domains)[target], full=full)
        ax.set_xscale("log")
        ax.set_title(target, loc="left")
        plain_log(ax, only_x=True)
    figure.supxlabel("predicted loss, ×10⁻³", fontsize=9.5)
    figure.supylabel("measured above predicted, %", fontsize=9.5)
    return figure


def _residual_dots(ax: Axes, found: Outcomes, column: int, color: str, *, full: bool) -> None:
    ax.plot(
        1e3 * found.predicted[:, column],
        100 * found.residual[:, column],
        "o",
        color=color,
        markerfacecolor=color if full else "white",
        markersize=3.5,
        markeredgewidth=0.9,
    )


@matplotlib.rc_context(STYLE)
def parameters(laws: Laws, name: str) -> Figure:
    """A parameter that there is for each domain, with its intervals: a panel a target, a line a domain."""
    figure, panels = grid(len(laws.targets), height=0.19 * len(laws.domains) + 0.55)
    place = np.arange(len(laws.domains))
    for column, (target, law) in enumerate(laws.targets.items()):
        ax, given, spread = panels[column], law.parameters[name], laws.interval(name, target)
        rows = [row for row in place if laws.domains[row] in given]
        whiskers(ax, rows, [given[laws.domains[row]] for row in rows], [spread[laws.domains[row]] for row in rows])
        ax.set_yticks(place, laws.domains if column % 2 == 0 else [""] * len(place))
        ax.set_ylim(len(place) - 0.5, -0.5)
        ax.set_title(target, loc="left")
        ax.margins(x=0.08)
    figure.supxlabel(name, fontsize=9.5)
    return figure


def whiskers(ax: Axes, rows: Any, values: Any, spread: Any) -> None:
    """Dots with their intervals (N, 2), a row each."""
    ends: Array = np.array(spread).reshape(-1, 2)
    ax.hlines(rows, ends[:, 0], ends[:, 1], color="#0072B2", linewidth=2.5, alpha=0.5)
    ax.plot(values, rows, "o", color="#0072B2", markersize=4.5)


def grid(count: int, height: float = 1.85) -> tuple[Figure, list[Axes]]:
    """Panels in two columns, each so many inches high."""
    lines = -(-count // 2)
    figure = blank(height * lines + 0.5)
    panels = list(figure.subplots(lines, 2, squeeze=False).flat)
    for ax in panels[count:]:
        ax.axis("off")
    return figure, panels

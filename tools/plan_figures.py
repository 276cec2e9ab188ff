"""The pictures of a report about the plan: losses over budgets, shares over budgets and floors, intervals of shares."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tools.evidence import BASELINE, Evidence
from tools.figures import PALETTE, STYLE, blank, colors, legend_columns, legend_height
from tools.forms.form import Array
from tools.law_figures import grid, whiskers
from tools.loss_figures import plain_log
from tools.problem import Problem, predicted

BEYOND = "#f3f0e6"
"""The ground of budgets that no fitted run had."""


@matplotlib.rc_context(STYLE)
def scaling(evidence: Evidence, problem: Problem, rivals: Mapping[str, Array], budgets: Array) -> Figure:
    """Predicted loss against budget on log scales, a line a strategy: what counts first, then a panel a target."""
    laws, shade = evidence.laws, colors(evidence.laws.domains)
    figure, panels = grid(len(laws.targets) + 1)
    for (name, shares), style in zip(rivals.items(), ("-", "--"), strict=True):
        losses = laws.predict(np.multiply.outer(budgets, shares))  # (N, T)
        mean = predicted(evidence, problem.terms, shares, budgets)
        for ax, line, color in zip(panels, [mean, *losses.T], ["black", *map(shade.get, laws.targets)], strict=False):
            ax.plot(budgets, 1e3 * line, style, color=color, linewidth=1.5, label=name)
    _measured(evidence, problem, panels)
    for title, ax in zip([problem.terms.measured, *laws.targets], panels, strict=False):
        ax.set(xscale="log", yscale="log")
        ax.set_title(title, loc="left")
        _beyond(ax, evidence, budgets)
        plain_log(ax)
    styles = zip(rivals, ("-", "--"), strict=True)
    handles = [panels[0].plot([], [], style, color="#444444", label=name)[0] for name, style in styles]
    figure.legend(handles=handles, loc="outside upper center", ncols=2)
    figure.supxlabel("budget, draws", fontsize=9.5)
    figure.supylabel("predicted loss, ×10⁻³", fontsize=9.5)
    return figure


def _measured(evidence: Evidence, problem: Problem, panels: Sequence[Axes]) -> None:
    """What a trial measured for the strategies that have lines, full for the plan, open for the baseline."""
    targets = evidence.laws.targets
    for strategy in evidence.trial.strategies if evidence.trial else []:
        if strategy.name in (evidence.allocation.strategy, BASELINE) and set(targets) == set(strategy.predicted):
            face = "white" if strategy.name == BASELINE else "#444444"
            losses = [strategy.measured_loss(target) for target in targets]
            for ax, loss in zip(panels, [float(problem.terms.of(np.array(losses))), *losses], strict=False):
                ax.plot(
                    evidence.budget, 1e3 * loss, "o", color="#444444", markerfacecolor=face, markersize=4.5, zorder=3
                )


@matplotlib.rc_context(STYLE)
def budgets(evidence: Evidence, problem: Problem, at: Array, shares: Array) -> Figure:
    """Shares against budget (N,), (N, K), with the ground shaded where no run was fitted."""
    figure = blank(3.24 + legend_height(evidence.laws.domains))
    ax = figure.subplots()
    _shares(ax, evidence, at, shares)
    ax.set(xscale="log", xlabel="budget, draws", ylabel="share, %")
    _beyond(ax, evidence, at, text="beyond the runs")
    ax.axvline(problem.budget, color="#777777", linewidth=1, linestyle=":")
    plain_log(ax, only_x=True)
    figure.legend(
        *ax.get_legend_handles_labels(), loc="outside upper center", ncols=legend_columns(evidence.laws.domains)
    )
    return figure


@matplotlib.rc_context(STYLE)
def floors(evidence: Evidence, problem: Problem, at: Array, shares: Array) -> Figure:
    """Against the floor: the shares, what it costs in the mean, and each target's loss beside that without a floor."""
    laws = evidence.laws
    figure = blank(6.64 + legend_height(laws.domains))
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(1.2, 0.8, 1.2))
    _shares(top, evidence, 100 * at, shares)
    losses = laws.predict(shares * problem.budget)  # (N, T)
    mean = problem.terms.of(losses)
    middle.plot(100 * at, 1e3 * mean, color="black", linewidth=1.5)
    for column, target in enumerate(laws.targets):
        bottom.plot(100 * at, 100 * (losses[:, column] / losses[0, column] - 1), **_line(laws.domains, target))
    bottom.axhline(0, color="#777777", linewidth=0.8)
    top.set(ylabel="share, %")
    middle.set(ylabel=f"{problem.terms.measured}, ×10⁻³")
    bottom.set(ylabel="loss against\nno floor, %", xlabel="floor, %")
    for ax in (top, middle, bottom):
        ax.axvline(100 * problem.floor, color="#777777", linewidth=1, linestyle=":")
    figure.legend(*top.get_legend_handles_labels(), loc="outside upper center", ncols=legend_columns(laws.domains))
    return figure


@matplotlib.rc_context(STYLE)
def share_intervals(domains: Sequence[str], shares: Array, ends: Array, rivals: tuple[str, Array]) -> Figure:
    """The plan's share of each domain with its interval (K, 2), a tick at the baseline's."""
    figure = blank(0.32 * len(domains) + 1.1)
    ax = figure.subplots()
    rows = np.arange(len(domains))
    whiskers(ax, rows, 100 * shares, 100 * ends)
    ax.plot(100 * rivals[1], rows, "|", color="#B8530A", markersize=11, markeredgewidth=2, label=rivals[0])
    ax.plot([], [], "o-", color="#0072B2", markersize=4.5, label="plan, with its interval")
    ax.set_yticks(rows, domains)
    ax.set_ylim(len(domains) - 0.5, -0.5)
    ax.set(xlabel="share of all draws, %")
    ax.set_xlim(left=0)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def _shares(ax: Axes, evidence: Evidence, at: Array, shares: Array) -> None:
    for column, domain in enumerate(evidence.laws.domains):
        ax.plot(at, 100 * shares[:, column], label=domain, **_line(evidence.laws.domains, domain))


def _line(domains: Sequence[str], name: str) -> dict[str, Any]:
    """A domain's colour; dashes where there are more domains than colours."""
    dashes = ("-", "--", "-.", ":")[domains.index(name) // len(PALETTE) % 4]
    return {"color": colors(domains)[name], "linestyle": dashes, "linewidth": 1.6}


def _beyond(ax: Axes, evidence: Evidence, at: Array, *, text: str = "") -> None:
    """Shade the budgets above the largest that was fitted."""
    largest = max(evidence.laws.data["budgets"])
    ax.axvspan(largest, at[-1], color=BEYOND, zorder=0, linewidth=0)
    ax.set_xlim(at[0], at[-1])
    if text:
        ax.text(largest, 1.01, text, transform=ax.get_xaxis_transform(), va="bottom", fontsize=8.5, color="#555555")

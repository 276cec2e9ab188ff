"""The pictures of a report that show losses, in thousandths, on log scales."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from tools.evidence import Evidence, Strategy, Trial
from tools.figures import MARKERS, STYLE, blank, colors, legend_columns
from tools.laws import Laws


@matplotlib.rc_context(STYLE)
def curves(evidence: Evidence) -> Figure:
    """Loss against what a run's draws are worth in fresh ones of the target, on log scales, a panel a target.

    The law is a line, that of runs of the domain alone that repeat nothing, and every run a dot.
    """
    laws, shade = evidence.laws, colors(evidence.laws.domains)
    figure, axes = _panels(laws, margin=0.5)
    draws = np.array([laws.array(run.draws) for run in evidence.runs])  # (N, K)
    alone = np.geomspace(1e-4 * laws.d_ref, 1e4 * laws.d_ref, 2000)
    predicted = laws.predict(draws)  # (N, T)
    fresh = np.full(len(laws.domains), np.inf)
    fitted = {run.run for run in evidence.fitted}
    for column, (target, ax) in enumerate(zip(laws.targets, axes, strict=True)):
        line = laws.predict(alone[:, None] * laws.own[column], fresh)[:, column]
        worth = np.exp(np.interp(-predicted[:, column], -line, np.log(alone)))
        own = draws[:, laws.domains.index(target)] == draws.sum(1)
        single = (draws > 0).sum(1) == 1
        for marker, chosen in (("o", own), ("x", single & ~own), (".", ~single)):
            for face, part in ((shade[target], True), ("none", False)):
                rows = [
                    n
                    for n, run in enumerate(evidence.runs)
                    if chosen[n] and target in run.loss and (run.run in fitted) is part
                ]
                loss = [1e3 * evidence.runs[n].loss[target] for n in rows]
                _dots(ax, worth[rows], loss, marker, shade[target], face)
        _law_line(ax, target, worth, alone, line)
    _curve_legend(figure, all_fitted=len(fitted) == len(evidence.runs))
    figure.supxlabel("worth in fresh draws of the domain itself", fontsize=9.5)
    figure.supylabel("held-out loss, ×10⁻³", fontsize=9.5)
    return figure


@matplotlib.rc_context(STYLE)
def forecast(trial: Trial, laws: Laws) -> Figure:
    """Measured against predicted loss, log scales: colour says the target, marker the strategy, bars the seeds."""
    shade = colors(laws.domains)
    figure = blank(4.8)
    ax = figure.subplots()
    ends = []
    for marker, strategy in _marked(trial):
        for target, expected in strategy.predicted.items():
            seeds = [1e3 * losses[target] for losses in strategy.measured]
            ax.plot([1e3 * expected] * 2, [min(seeds), max(seeds)], color=shade[target], linewidth=1)
            ax.plot(
                1e3 * expected,
                1e3 * strategy.measured_loss(target),
                marker,
                color=shade[target],
                markersize=6,
                markeredgecolor="white",
                markeredgewidth=0.6,
            )
            ends += [1e3 * expected, *seeds]
    limits = (0.9 * min(ends), 1.1 * max(ends))
    ax.plot(limits, limits, color="#777777", linewidth=1, linestyle="--", zorder=0)
    ax.set(
        xscale="log",
        yscale="log",
        xlim=limits,
        ylim=limits,
        aspect="equal",
        xlabel="predicted loss, ×10⁻³",
        ylabel="measured loss, ×10⁻³",
    )
    plain_log(ax)
    targets = [ax.plot([], [], "o", color=color, label=name)[0] for name, color in shade.items()]
    figure.legend(handles=targets, loc="outside upper center", ncols=legend_columns(laws.domains))
    _strategy_legend(figure, ax, trial, "lower")
    return figure


@matplotlib.rc_context(STYLE)
def mixtures(trial: Trial, laws: Laws) -> Figure:
    """Measured against predicted loss of the strategies, a panel a target with scales of its own, bars over seeds."""
    shade = colors(laws.domains)
    figure, axes = _panels(laws, margin=0.7)
    for target, ax in zip(laws.targets, axes, strict=True):
        for marker, strategy in _marked(trial):
            expected, seeds = 1e3 * strategy.predicted[target], [1e3 * losses[target] for losses in strategy.measured]
            ax.plot([expected] * 2, [min(seeds), max(seeds)], color=shade[target], linewidth=1, zorder=1)
            ax.plot(expected, 1e3 * strategy.measured_loss(target), marker, color=shade[target], markersize=6)
        ax.margins(0.12)
        ax.axline((expected, expected), slope=1, color="#777777", linewidth=1, linestyle="--", zorder=0)
        ax.set_title(target, loc="left")
        ax.xaxis.set_major_locator(MaxNLocator(3))
        ax.yaxis.set_major_locator(MaxNLocator(4))
    _strategy_legend(figure, axes[0], trial, "upper")
    figure.supxlabel("predicted loss, ×10⁻³", fontsize=9.5)
    figure.supylabel("measured loss, ×10⁻³", fontsize=9.5)
    return figure


def _panels(laws: Laws, margin: float) -> tuple[Figure, list[Axes]]:
    """A figure with axes for every target, two in a row; `margin` inches are for what all share."""
    rows = -(-len(laws.targets) // 2)
    figure = blank(1.85 * rows + margin)
    axes = list(figure.subplots(rows, 2, squeeze=False).flat)
    for ax in axes[len(laws.targets) :]:
        ax.axis("off")
    return figure, axes[: len(laws.targets)]


def _marked(trial: Trial) -> list[tuple[str, Strategy]]:
    """Every strategy after its marker."""
    return list(zip(np.resize(MARKERS, len(trial.strategies)), trial.strategies, strict=True))


def _strategy_legend(figure: Figure, ax: Axes, trial: Trial, end: str) -> None:
    """Which marker is which strategy, at the `upper` or `lower` end."""
    kinds = [ax.plot([], [], marker, color="#555555", label=strategy.name)[0] for marker, strategy in _marked(trial)]
    figure.legend(handles=kinds, loc=f"outside {end} center", ncols=2, handletextpad=0.2)


def _dots(ax: Axes, x: NDArray[np.float64], y: Sequence[float], marker: str, edge: str, face: str) -> None:
    size = {"o": 5, "x": 4, ".": 5}[marker]
    ax.plot(x, y, marker, color=edge, markerfacecolor=face, markersize=size, alpha=0.8, markeredgewidth=0.9)


def _law_line(
    ax: Axes, target: str, worth: NDArray[np.float64], alone: NDArray[np.float64], line: NDArray[np.float64]
) -> None:
    """The law over the range of the runs, and the panel's frame."""
    within = (alone >= 0.9 * worth.min()) & (alone <= 1.1 * worth.max())
    ax.plot(alone[within], 1e3 * line[within], color="#444444", linewidth=1.2, zorder=1)
    ax.set(xscale="log", yscale="log")
    ax.set_title(target, loc="left")
    plain_log(ax)


def plain_log(ax: Axes, *, only_x: bool = False) -> None:
    """Ticks at 1, 2 and 5 times a power of ten (fewer over many decades), or a few round ones over less than a factor
    of five, as plain numbers, thousands as k.
    """
    for axis in (ax.xaxis,) if only_x else (ax.xaxis, ax.yaxis):
        low, high = axis.get_view_interval()
        decades = np.log10(high / low)
        steps = (1, 2, 5) if decades < 1.6 else (1, 3) if decades < 2.6 else (1,)
        axis.set_major_locator(LogLocator(subs=steps) if decades > 0.7 else MaxNLocator(4, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1e3:g}k" if value >= 1e3 else f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def _curve_legend(figure: Figure, *, all_fitted: bool) -> None:
    ax = figure.axes[0]
    kinds = [
        ("o", "this domain only", "#555555"),
        ("x", "another only", "#555555"),
        (".", "mixture", "#555555"),
    ]
    if not all_fitted:
        kinds.append((".", "not in the fit", "none"))
    handles = [
        ax.plot([], [], mark, color="#555555", markerfacecolor=face, label=label)[0] for mark, label, face in kinds
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, handletextpad=0.1, columnspacing=0.8)

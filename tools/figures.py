"""The pictures of a report: each function returns one matplotlib figure, drawn to be read at 400 pixels' width.

One colour a domain, from the palette of Okabe and Ito (2008), which colour-blind readers can tell apart; its
yellow is darkened to show on white. Where colour matters a marker or a name says the same.
"""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from tools.laws import Laws
from tools.roles import Role

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000", "#B8A800")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
WIDTH = 4.7
ARROW = 0.1
"""Transfers below this get no arrow."""

STYLE = {
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#777777",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "figure.dpi": 200,
    "figure.constrained_layout.use": True,
}


def colors(domains: Sequence[str]) -> dict[str, str]:
    """A colour for each domain, the same in every figure."""
    return {domain: PALETTE[index % len(PALETTE)] for index, domain in enumerate(domains)}


@matplotlib.rc_context(STYLE)
def slices(volumes: Mapping[str, Sequence[NDArray[np.float32]]]) -> Figure:
    """A row a domain of slices `(H, W)` in [0, 1], of square pixels."""
    columns = max(len(images) for images in volumes.values())
    figure = blank(1.15 * len(volumes))
    axes = figure.subplots(len(volumes), columns, squeeze=False)
    for row, (domain, images) in zip(axes, volumes.items(), strict=True):
        for ax in row:
            ax.axis("off")
        for ax, image in zip(row, images, strict=False):
            ax.imshow(image, cmap="gray", vmin=0, vmax=1, origin="lower", interpolation="bilinear")
            ax.set_anchor("W")
        row[0].set_title(domain, loc="left", fontsize=9, pad=3)
    return figure


@matplotlib.rc_context(STYLE)
def heat_map(laws: Laws) -> Figure:
    """Transfer as numbers on shades: a row a source, a column a target."""
    table = laws.transfer().T  # (K, T)
    figure = blank(0.5 * len(laws.domains) + 1.4)
    ax = figure.subplots()
    top = max(1.0, float(table.max()))
    ax.imshow(table, cmap="Blues", vmin=0, vmax=top, aspect="auto")
    for (source, target), value in np.ndenumerate(table):
        own = laws.domains[source] == list(laws.targets)[target]
        ax.text(
            target,
            source,
            "own" if own else f"{value:.2f}",
            ha="center",
            va="center",
            fontsize=9,
            color="white" if value > 0.55 * top else "black",
        )
    ax.set_xticks(range(table.shape[1]), list(laws.targets), rotation=35, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(table.shape[0]), laws.domains)
    ax.set(xlabel="is worth to this target", ylabel="one draw of this source")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    return figure


@matplotlib.rc_context(STYLE)
def graph(laws: Laws, shares: Mapping[str, float], roles: Mapping[str, Role]) -> Figure:
    """Who helps whom: domains on a circle, discs as large as their share, arrows as wide as the transfer."""
    shade, angle = colors(laws.domains), 2 * np.pi * np.arange(len(laws.domains)) / len(laws.domains) + np.pi / 6
    place = {name: np.array([np.cos(a), np.sin(a)]) for name, a in zip(laws.domains, angle, strict=True)}
    figure = blank(4.4)
    ax = figure.subplots()
    for target, row in zip(laws.targets, laws.transfer().tolist(), strict=True):
        for source, tau in zip(laws.domains, row, strict=True):
            if source != target and tau >= ARROW:
                ax.add_patch(
                    FancyArrowPatch(
                        place[source],
                        place[target],
                        connectionstyle="arc3,rad=0.13",
                        arrowstyle="-|>",
                        mutation_scale=8 + 5 * tau,
                        linewidth=4 * tau,
                        color=shade[source],
                        alpha=0.75,
                        shrinkA=16,
                        shrinkB=9 + 26 * shares.get(target, 0) ** 0.5,
                        zorder=1,
                    )
                )
    for name, (x, y) in place.items():
        share, label = shares.get(name, 0.0), roles[name].label if name in roles else ""
        ax.scatter(x, y, s=120 + 2600 * share, color=shade[name], edgecolor="white", linewidth=1.5, zorder=2)
        below = y < 0
        text = f"{name}\n{_percent(share)}" + (f", {label}" if label else "")
        ax.text(
            1.05 * x,
            y + (-1 if below else 1) * (0.1 + 0.24 * share**0.5),
            text,
            ha="center",
            va="top" if below else "bottom",
            fontsize=9.5,
            fontweight="bold" if label else "normal",
        )
    ax.set(xlim=(-1.5, 1.5), ylim=(-1.45, 1.45), aspect="equal")
    ax.axis("off")
    return figure


@matplotlib.rc_context(STYLE)
def shares(strategies: Mapping[str, Mapping[str, float]], domains: Sequence[str]) -> Figure:
    """A bar a strategy, cut into the shares of the domains."""
    figure = blank(0.5 * len(strategies) + 0.74 + legend_height(domains))
    ax = figure.subplots()
    left = np.zeros(len(strategies))
    for domain, color in colors(domains).items():
        part = np.array([each.get(domain, 0.0) for each in strategies.values()])
        ax.barh(list(strategies), part, left=left, color=color, edgecolor="white", label=domain)
        for row, (start, width) in enumerate(zip(left, part, strict=True)):
            if width >= 0.07:
                ax.text(
                    start + width / 2,
                    row,
                    f"{100 * width:.0f}",
                    ha="center",
                    va="center",
                    fontsize=8.5,
                    color=_ink(color),
                )
        left += part
    ax.invert_yaxis()
    ax.set(xlim=(0, 1), xlabel="share of all draws, %")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}"))
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=legend_columns(domains))
    return figure


def legend_columns(domains: Sequence[str]) -> int:
    """How many of the domains fit beside each other in a legend."""
    longest = max(map(len, domains))
    return 3 if longest <= 17 else 2 if longest <= 30 else 1


def legend_height(domains: Sequence[str]) -> float:
    """Inches that a legend of the domains takes."""
    return 0.18 * -(-len(domains) // legend_columns(domains))


def blank(height: float) -> Figure:
    """An empty figure of the report's width, `height` in inches."""
    return Figure(figsize=(WIDTH, height))


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _ink(color: str) -> str:
    """Black or white, whichever reads better on a colour (relative luminance, WCAG 2)."""
    channels = np.array([int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return "black" if linear @ (0.2126, 0.7152, 0.0722) > 0.18 else "white"

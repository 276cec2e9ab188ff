"""Deviation against the number of draws, log-log: each contestant a line with its name at its end."""

from collections.abc import Mapping, Sequence
from math import log10
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.mixers.deviation import guaranteed
from benchmarks.mixers.roster import OURS
from benchmarks.mixers.trial import WEIGHTS

SHOWN = "six"
COLOURS = ("#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#7f6000", "#555555", "#a65ea6")
"""Told apart with every kind of colour blindness, as far as eight can be; each line has its name beside it."""
BLUE = "#0b4f8a"
APART = 0.105
"""Decades between two names."""


def draw(answers: Mapping[str, Any], path: Path) -> None:
    """Write a PNG of the weights `SHOWN`."""
    curves = {name: one[SHOWN]["curve"] for name, one in answers.items() if "curve" in one.get(SHOWN, {})}
    figure = Figure(figsize=(8.0, 5.2), layout="constrained")
    axes = figure.subplots()
    peers = [name for name in curves if name != OURS]
    colours = dict(zip(peers, COLOURS, strict=False)) | {OURS: BLUE}
    for name, curve in curves.items():
        thick = 2.8 if name == OURS else 1.4
        axes.plot(curve["n"], curve["largest"], color=colours[name], linewidth=thick, zorder=3 if name == OURS else 2)
    bound = guaranteed(len(WEIGHTS[SHOWN]))
    axes.axhline(bound, color=BLUE, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(f"guaranteed: {bound:g}", (70, bound * 1.08), color=BLUE, fontsize=9)
    _label(axes, curves, colours)
    axes.set(xscale="log", yscale="log", xlabel="draws n, at ends of windows of 64", xlim=(60, 1.6e7))
    axes.set_ylabel("largest |count - n w| of any domain so far, draws")
    axes.set_xticks([10**power for power in range(2, 7)])
    axes.set_title(f"How far from the shares {', '.join(f'{weight:g}' for weight in WEIGHTS[SHOWN])}", fontsize=10)
    axes.grid(which="major", color="#e4e4e4", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=125)


def _label(axes: Any, curves: Mapping[str, Any], colours: Mapping[str, str]) -> None:
    ends = {name: (curve["n"][-1], curve["largest"][-1]) for name, curve in curves.items()}
    names = sorted(ends, key=lambda name: ends[name][1])
    for name, height in zip(names, apart([log10(ends[name][1]) for name in names]), strict=True):
        axes.annotate(
            name,
            ends[name],
            (1.5e6, 10**height),
            color=colours[name],
            fontsize=9,
            fontweight="bold" if name == OURS else "normal",
            va="center",
            arrowprops={"arrowstyle": "-", "color": colours[name], "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2},
        )


def apart(heights: Sequence[float], least: float = APART) -> list[float]:
    """Sorted heights moved so that neighbours are at least so far apart, and no further from their places than need be.

    >>> apart([0.0, 0.0, 1.0], least=0.5)
    [-0.25, 0.25, 1.0]
    """
    groups: list[list[float]] = []
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and _top(groups[-2], least) + least > _bottom(groups[-1], least):
            groups[-2:] = [groups[-2] + groups[-1]]
    return [_bottom(group, least) + place * least for group in groups for place in range(len(group))]


def _bottom(group: Sequence[float], least: float) -> float:
    return sum(group) / len(group) - (len(group) - 1) * least / 2


def _top(group: Sequence[float], least: float) -> float:
    return _bottom(group, least) + (len(group) - 1) * least

"""The rates of a contest as bars, fastest at the top; ours stand out, limits recede; whiskers are quartiles."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import StrMethodFormatter

from benchmarks.measure import Entry

OURS, PEER, LIMIT = "#1b6ca8", "#b8c4ce", "#e3d9c6"
WIDTH, ROW = 9.0, 0.34


def draw(entries: Sequence[Entry], title: str, path: Path) -> None:
    """Write a PNG. The axis is logarithmic: the slowest and the fastest are some hundredfold apart."""
    ranked = sorted((e for e in entries if e.turns and not e.left_out), key=lambda entry: entry.median("rate"))
    figure = Figure(figsize=(WIDTH, 1.6 + ROW * len(ranked)), layout="constrained")
    axes = figure.subplots()
    rates = [entry.median("rate") for entry in ranked]
    spread = [[r - e.quartiles()[0], e.quartiles()[1] - r] for r, e in zip(rates, ranked, strict=True)]
    bars = axes.barh(
        [entry.name for entry in ranked],
        rates,
        color=[_colour(entry.name) for entry in ranked],
        xerr=list(zip(*spread, strict=True)),
        error_kw={"ecolor": "#444444", "elinewidth": 1, "capsize": 2},
    )
    axes.bar_label(bars, [f" {rate:,.0f}" if rate >= 10 else f" {rate:.1f}" for rate in rates], padding=6)
    axes.set_xscale("log")
    axes.set_xlim(min(rates) / 2, max(rates) * 2.2)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel("patches a second (logarithmic)")
    kinds = {"mixio": OURS, "peers": PEER, "no file is read": LIMIT}
    axes.legend(handles=[Patch(color=colour, label=kind) for kind, colour in kinds.items()], loc="lower right")
    axes.margins(y=0.01)
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(fill(title, 90), fontsize=10)
    figure.savefig(path, dpi=130)


def _colour(name: str) -> str:
    if name.startswith("mixio"):
        return OURS
    return LIMIT if name.startswith("in-memory") else PEER

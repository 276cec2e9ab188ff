"""The picture: patches a second against workers or threads, with the limits as dashed lines."""

from math import log
from pathlib import Path
from typing import Any

from mixio.errors import require
from tools.bench_loaders import PROCESSES, THREADS
from tools.bench_report import Results

_COLORS = {PROCESSES: "#0072B2", THREADS: "#D55E00", "reader alone": "#009E73"}
_MARKERS = {PROCESSES: "o", THREADS: "s", "reader alone": "^"}
_LABELS = {PROCESSES: "DataLoader", THREADS: "MixtureLoader", "reader alone": "reader alone (integers)"}


def save_figure(results: Results, path: Path) -> None:
    """Draw the warm rows without a step, with quartiles as bars, and every limit in patches a second."""
    try:  # here, for every worker process imports the command
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise require("matplotlib", "train") from error
    style = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(8, 4.8), dpi=150, layout="constrained")
        axes = figure.subplots()
        for name, rows in _series(results).items():
            counts, spreads = [count for count, _ in rows], [spread for _, spread in rows]
            rates = [spread.median for spread in spreads]
            bars = [[s.median - s.low for s in spreads], [s.high - s.median for s in spreads]]
            axes.errorbar(
                counts, rates, bars, marker=_MARKERS[name], color=_COLORS[name], label=_LABELS[name], capsize=3
            )
        _limits(axes, results)
        _finish(axes, results)
        figure.savefig(path)


def _series(results: Results) -> dict[str, list[tuple[int, Any]]]:
    """Rows by series, in the order of their counts."""
    series: dict[str, list[tuple[int, Any]]] = {}
    for row in results.loaders:
        if not row.is_cold and not row.step:
            series.setdefault(row.kind, []).append((row.count, row.patches))
    series["reader alone"] = [(row.processes, row.patches) for row in results.reader if not row.is_cold]
    return {name: sorted(rows, key=lambda row: row[0]) for name, rows in series.items()}


def apart(places: list[float], gap: float) -> list[float]:
    """Rising places, moved up as little as keeps each at least `gap` above the one before.

    >>> apart([0.25, 0.25, 0.75], 0.25)
    [0.25, 0.5, 0.75]
    """
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + gap) if moved else place)
    return moved


def _limits(axes: Any, results: Results) -> None:
    """Dashed lines, their names beside the axes so far apart that they can be read."""
    lines = sorted(results.limit_lines().items(), key=lambda item: item[1])
    series = [spread for rows in _series(results).values() for _, spread in rows]
    low = min(rate for rate in [*(rate for _, rate in lines), *(spread.low for spread in series)] if rate > 0) / 1.4
    high = 1.4 * max([*(rate for _, rate in lines), *(spread.high for spread in series)])
    axes.set(yscale="log", ylim=(low, high))
    places = apart([log(rate / low) / log(high / low) for _, rate in lines], 0.045)
    for (name, rate), place in zip(lines, places, strict=True):
        axes.axhline(rate, linestyle="--", linewidth=1, color="#777777", zorder=0)
        axes.text(1.01, place, f"{name}: {rate:,.0f}", transform=axes.transAxes, va="center", fontsize=8.5)


def _finish(axes: Any, results: Results) -> None:
    counts = sorted({count for rows in _series(results).values() for count, _ in rows})
    if max(counts) > 8:
        axes.set_xscale("symlog", base=2, linthresh=1)
    axes.set_xticks(counts, [str(count) for count in counts])
    size = " x ".join(map(str, results.patch_size))
    axes.set(xlabel="worker processes, or threads", ylabel=f"patches/s of {size} voxels, log scale")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.yaxis.set_minor_formatter(lambda value, _: f"{value:,.0f}" if str(value)[0] in "25" else "")
    machine = results.machine
    axes.set_title(f"{Path(results.store).name} on {machine['processor']}, {machine['cores']} cores", fontsize=10)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3)

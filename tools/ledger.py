"""Draws what a run delivered against what it intended: how far the share of each domain was off, draw by draw.

    python -m tools.train store --mixture uniform --draws 4096 --run mine
    python -m tools.ledger runs/mine.ledger.jsonl -o ledger.png

The grey band is what the mixture guarantees: no domain is ever farther off than that. A line that leaves it is that of
a run whose draws were not the planned ones. Prints the counts of the last line of the ledger too.
"""

import json
from collections.abc import Sequence
from typing import Any

import click
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mixio.errors import InvalidArgument
from mixio.ledger import read_ledger
from tools.command import command
from tools.figures import MARKERS, PALETTE, STYLE
from tools.table import table

Lines = Sequence[dict[str, Any]]
MOST_MARKERS = 25
"""Of one line; more would hide it."""
NOTHING = {"share": 0.0, "intended": 0.0}
COLUMNS = ("draws", "share", "intended", "passes", "volumes_seen", "most_repeats", "replaced", "padded")


def onward(lines: Lines) -> list[dict[str, Any]]:
    """The lines of the run as it went: what came after a checkpoint that was gone back to is left out.

    >>> onward([{"draws": 10}, {"draws": 20}, {"draws": 30}, {"draws": 20}, {"draws": 25}])
    [{'draws': 10}, {'draws': 20}, {'draws': 25}]
    """
    kept: list[dict[str, Any]] = []
    for line in lines:
        while kept and kept[-1]["draws"] >= line["draws"]:
            kept.pop()
        kept.append(line)
    return [line for line in kept if line["draws"]]


def deviations(lines: Lines) -> dict[str, NDArray[np.float64]]:
    """Realised less intended share of each domain in percentage points (N,); the largest at the end comes first."""
    off = {
        domain: 100
        * np.array([of["share"] - of["intended"] for of in (at["domains"].get(domain, NOTHING) for at in lines)])
        for domain in lines[-1]["domains"]
    }
    return dict(sorted(off.items(), key=lambda item: -abs(item[1][-1])))


def band(lines: Lines) -> NDArray[np.float64]:
    """How far the share of any domain may be off at each line, in percentage points (N,)."""
    return np.array([100 * max(of["bound"] for of in line["domains"].values()) / line["draws"] for line in lines])


@matplotlib.rc_context({**STYLE, "font.size": 10, "figure.dpi": 150})
def figure_of(lines: Lines) -> Figure:
    """A line a domain over the band; of more domains than the palette has, those off the least at the end are grey."""
    figure = Figure(figsize=(8, 4.5))
    axes = figure.subplots()
    draws, allowed, off = np.array([line["draws"] for line in lines]), band(lines), deviations(lines)
    axes.fill_between(draws, -allowed, allowed, color="#E4E4E4", linewidth=0, label="guaranteed", zorder=0)
    axes.axhline(0, color="#777777", linewidth=0.8, zorder=1)
    shown = sorted([*off][: len(PALETTE)])
    for number, domain in enumerate([*off][len(PALETTE) :]):
        axes.plot(draws, off[domain], color="#AAAAAA", linewidth=1, label="" if number else "other domains", zorder=2)
    for domain, color, marker in zip(shown, PALETTE, MARKERS, strict=False):
        often = max(1, len(lines) // MOST_MARKERS)
        axes.plot(draws, off[domain], color=color, marker=marker, markevery=often, markersize=4, label=domain, zorder=3)
    # The band is widest where the run begins; the axis is for what comes after.
    top = 1.15 * max(*(np.abs(each).max() for each in off.values()), float(np.median(allowed))) or 1.0
    axes.set(xlabel="draws", ylabel="realised minus intended share, percentage points", ylim=(-top, top))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    figure.legend(loc="outside right center")
    return figure


@command()
@click.argument("ledger", type=click.Path(exists=True, dir_okay=False))
@click.option("-o", "--output", default="ledger.png", type=click.Path(dir_okay=False), help="The picture, a PNG.")
@click.option("--json", "as_json", is_flag=True, help="Print the last line as one JSON object instead of a table.")
def main(ledger: str, output: str, as_json: bool) -> None:
    """Draw LEDGER, which Ledger.write or tools.train wrote."""
    lines = onward(read_ledger(ledger))
    if not lines:
        raise InvalidArgument(f"{ledger} has no draws yet; write it once batches have been observed")
    figure_of(lines).savefig(output)
    last = lines[-1]
    if as_json:
        click.echo(json.dumps({**last, "figure": output}))
        return
    rows = [[domain, *(of[column] for column in COLUMNS)] for domain, of in last["domains"].items()]
    click.echo(table(["domain", *(column.replace("_", " ") for column in COLUMNS)], rows))
    click.echo(f"{last['draws']} draws, {last['padded']:.1%} padding, {len(last['damaged'])} damaged volumes")
    click.echo(f"wrote {output}")


if __name__ == "__main__":
    main()

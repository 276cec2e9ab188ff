"""How a run comes along: a bar on a terminal, a line for every line of the log elsewhere.

    draw 1024/4096  loss 0.01234  lr 1.95e-03  512 patches/s  waiting 3 %  0:06 left  abdomen-ct 49.9 of 50.0 %

The shares are those delivered so far, of the planned ones.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import click
from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

START = {"draw": 0, "seconds": 0.0, "waiting": 0.0}


class TrainingProgress:
    """A context that shows the step events of a run of `draws` draws, and what was delivered.

    `start` has the draw, the seconds and the seconds of waiting from which a run goes on.
    """

    def __init__(self, draws: int, *, start: Mapping[str, float] = START, quiet: bool = False) -> None:
        self.draws, self.start, self.last, self.quiet = draws, start, start, quiet
        self.figures = self.shares = ""
        console = Console()
        self._live: Live | None = None
        if console.is_terminal and not quiet:
            self._bar = Progress(
                TextColumn("draw {task.completed}/{task.total}"), BarColumn(bar_width=None), expand=True
            )
            self._task = self._bar.add_task("", total=draws, completed=int(start["draw"]))
            self._live = Live(console=console, get_renderable=self._renderable)

    def __enter__(self) -> "TrainingProgress":
        if self._live:
            self._live.start()
        return self

    def step(self, draw: int) -> None:
        """Move the bar."""
        if self._live:
            self._bar.update(self._task, completed=draw)

    def told(self, event: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
        """Show a step event beside the summary of the ledger at that step."""
        self.shares = shares_line(summary)
        self.figures = figures_line(event, self.last, self.start, self.draws)
        self.last = event
        if not self._live and not self.quiet:
            draw = f"{event['draw']:>{len(str(self.draws))}}/{self.draws}"
            click.echo(f"draw {draw}  {self.figures}  {self.shares}")

    def _renderable(self) -> Group:
        """The bar over the figures over as many columns of shares as have room."""
        shares = Columns([Text(each, style="dim") for each in self.shares.split("  ")], padding=(0, 2))
        return Group(self._bar, Text(self.figures), shares)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()


def figures_line(event: Mapping[str, Any], last: Mapping[str, float], start: Mapping[str, float], draws: int) -> str:
    """The loss, the speed and the share of waiting since the `last` event, and the time left at the speed so far."""
    seconds = max(event["seconds"] - last["seconds"], 1e-9)
    speed = (event["draw"] - last["draw"]) / seconds
    waiting = (event["waiting"] - last["waiting"]) / seconds
    each = (event["seconds"] - start["seconds"]) / max(event["draw"] - start["draw"], 1)
    left = _clock((draws - event["draw"]) * each)
    return (
        f"loss {event['loss']:.5f}  lr {event['lr']:.2e}  {speed:.0f} patches/s  waiting {waiting:.0%}  {left} left"
    ).replace("%", " %")


def shares_line(summary: Mapping[str, Any]) -> str:
    """Each domain's delivered share and its planned one, from the summary of a ledger."""
    shares = {name: (100 * of["share"], 100 * of["intended"]) for name, of in summary["domains"].items()}
    return "  ".join(f"{name} {share:.1f} of {planned:.1f} %" for name, (share, planned) in shares.items())


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

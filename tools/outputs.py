"""What the command of `tools.train` writes and shows while a run goes on, on its first rank.

runs/<run>.jsonl               the log
runs/<run>.ledger.jsonl        what was delivered at every line of it
runs/<run>.draw-<draw>.png     reconstructions, if wanted
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import click

from mixio.ledger import Ledger
from tools.board import Board
from tools.distributed import on_first_rank, rank
from tools.heldout import HeldOut
from tools.progress import START, TrainingProgress
from tools.resume import ledger_of
from tools.run import Run, Trained
from tools.runlog import append_event


@dataclass(frozen=True)
class Wanted:
    """Where the log goes, how many pictures, and the folder of the TensorBoard; `quiet` shows no progress."""

    log: Path
    pictures: int = 0
    tensorboard: Path | None = None
    quiet: bool = False


class Outputs:
    """A context whose methods `train` calls: `emit`, `record` and `watch`.

    The run is of `draws` draws and goes on from the checkpoint `saved`, if there is one.
    """

    def __init__(self, wanted: Wanted, draws: int, saved: Mapping[str, Any] | None) -> None:
        self.wanted, self.draws = wanted, draws
        start = {**START, "draw": saved["data"]["consumed"], **_times(saved)} if saved else START
        self._shown = int(start["draw"])
        self._progress = TrainingProgress(draws, start=start, quiet=wanted.quiet or rank() > 0)
        self._board = on_first_rank(self._open_board, share=False)
        self._event: dict[str, Any] = {}

    def _open_board(self) -> Board | None:
        folder = self.wanted.tensorboard
        return None if folder is None else Board(folder / self.wanted.log.stem, start=self._shown)

    def __enter__(self) -> "Outputs":
        self._progress.__enter__()
        return self

    def emit(self, event: dict[str, Any]) -> None:
        """Write an event into the log."""
        append_event(self.wanted.log, event)
        self._event = event
        if self._board and event["event"] == "result":
            self._board.result(event["loss"], self.draws)

    def record(self, ledger: Ledger) -> None:
        """Write what was delivered, and show it beside the event of this step."""
        ledger.write(ledger_of(self.wanted.log))
        summary = ledger.summary()
        self._progress.told(self._event, summary)
        if self._board:
            self._board.told(self._event, summary)

    def watch(self, run: Run, held_out: HeldOut) -> None:
        """Move the bar, and draw a picture when it is time for one of them; the last is due at the end."""
        self._progress.step(run.draw)
        number = self.wanted.pictures
        if run.draw * number // self.draws > self._shown * number // self.draws:
            from tools.reconstructions import draw  # here, for matplotlib is slow to load

            draw(self.wanted.log.with_name(f"{self.wanted.log.stem}.draw-{run.draw}.png"), run.learner.result, held_out)
        self._shown = run.draw

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.__exit__(kind, error, traceback)
        if self._board:
            self._board.close()


def print_result(trained: Trained, store: str, log: Path, checkpoint: Path, *, as_json: bool) -> None:
    """What came of it, for a reader, or as one line of JSON."""
    if as_json:
        summary = {"log": str(log), "ledger": str(ledger_of(log)), "checkpoint": str(checkpoint), "loss": trained.loss}
        summary |= {"seconds": trained.seconds, "waiting": trained.waiting}
        click.echo(json.dumps({**summary, "mixture": trained.ledger.summary()}))
        return
    click.echo(f"delivered: {trained.ledger.line()}")
    for domain, loss in trained.loss.items():
        click.echo(f"held-out loss {domain}: {loss:.5f}")
    click.echo(f"waited for data: {trained.waiting / trained.seconds:.1%} of {trained.seconds:.1f} s")
    click.echo(f"wrote {log}, {ledger_of(log)}, {checkpoint}")
    click.echo(f"next: python -m tools.sweep {store} --runs {log.parent}   (more mixtures, to fit laws to)")


def _times(saved: Mapping[str, Any]) -> dict[str, float]:
    return {name: saved["training"][name] for name in ("seconds", "waiting")}

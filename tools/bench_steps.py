"""Says what a long command is doing now: a moving line on a terminal, plain lines elsewhere; all on stderr."""

import sys
import time
from types import TracebackType

import click
from rich.console import Console
from rich.status import Status


class Steps:
    """A context that is told of each step as it begins."""

    def __init__(self, what: str) -> None:
        self._what, self._started = what, time.monotonic()
        self._status: Status | None = None
        if sys.stderr.isatty():
            self._status = Console(stderr=True).status(what)

    def __enter__(self) -> "Steps":
        if self._status:
            self._status.start()
        return self

    def begin(self, step: str) -> None:
        """Say that this step begins."""
        text = f"{self._what}: {step} ({time.monotonic() - self._started:.0f} s so far)"
        if self._status:
            self._status.update(text)
        else:
            click.echo(text, err=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._status:
            self._status.stop()

"""What the commands say on a terminal: progress, and errors in one line.

Progress is a bar on a terminal and a plain line every few seconds elsewhere.
"""

import logging
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mixio.errors import MixioError

OUR_FAULT = 3
"""Exit code of a traceback: Python's own 1 would say that the work is done, with faults."""

_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def one_line_errors(context: click.Context) -> Iterator[None]:
    """Turn a `MixioError`, or a failing file system, into one line and exit code 2; a bug exits with 3."""
    try:
        yield
    except MixioError as error:
        click.echo(f"error: {error}", err=True)
        context.exit(2)
    except OSError as error:
        click.echo(f"error: {error.filename or 'the system'}: {error.strerror or error}", err=True)
        context.exit(2)
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception:
        traceback.print_exc()
        click.echo("error: a fault of mixio itself; please report it with the lines above", err=True)
        context.exit(OUR_FAULT)


class Reporter:
    """A context that shows `done` of `total` on stderr; `quiet` shows nothing."""

    def __init__(self, what: str, *, quiet: bool = False) -> None:
        self._what = what
        self._bar = self._make_bar() if sys.stderr.isatty() and not quiet else None
        self._quiet = quiet
        self._started = self._last = time.monotonic()

    def _make_bar(self) -> Progress:
        columns = (MofNCompleteColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn(), TimeRemainingColumn())
        return Progress(
            TextColumn("{task.description}"), BarColumn(), *columns, console=Console(stderr=True), transient=True
        )

    def __enter__(self) -> "Reporter":
        if self._bar:
            self._bar.start()
            self._bar.add_task(self._what, total=None, note="")
        return self

    def update(self, done: int, total: int, *, faults: int = 0) -> None:
        """Say that `done` of `total` are finished, `faults` of them badly."""
        note = f"{faults} faults" if faults else ""
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=done, total=total, note=note)
            return
        now = time.monotonic()
        if self._quiet or (now - self._last < _SECONDS_BETWEEN_LINES and done < total):
            return
        self._last = now
        tail = f", {note}" if note else ""
        click.echo(f"{self._what}: {done} of {total}{tail}, {now - self._started:.0f} s", err=True)

    @contextmanager
    def log(self, name: str) -> Iterator[None]:
        """Show what the logger of this name says while the context lasts."""
        logger, handler = logging.getLogger(name), _Lines(self)
        level, logger.level = logger.level, logging.INFO
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.level = level

    def say(self, text: str) -> None:
        """A line on stderr, above the bar."""
        if self._quiet:
            return
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            click.echo(text, err=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()


class _Lines(logging.Handler):
    """Hands log records to a reporter."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self._reporter = reporter

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        self._reporter.say(prefix + record.getMessage())

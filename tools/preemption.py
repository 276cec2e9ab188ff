"""Being told to stop: SIGTERM, as clusters send it before they take a machine away, and Ctrl-C."""

import signal
from types import FrameType, TracebackType

GRACE = 10
"""Seconds that a process that reads lives on after a SIGTERM."""


class Stopped(Exception):
    """A run that was told to stop, and has saved where it was: after `draw` draws."""

    def __init__(self, draw: int) -> None:
        super().__init__(f"stopped after {draw} draws")
        self.draw = draw


class StopSignals:
    """A context in which the first SIGTERM or SIGINT is only `received`; the second one ends the process as usual."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def __enter__(self) -> "StopSignals":
        self._before = {each: signal.signal(each, self._remember) for each in (signal.SIGTERM, signal.SIGINT)}
        return self

    def came(self) -> bool:
        """Whether one has been received."""
        return self.received is not None

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._restore()


def finish_before_stopping(worker: int) -> None:
    """For processes that read: SIGTERM to a whole job reaches them too, and the training loop needs one batch more."""
    signal.signal(signal.SIGTERM, lambda number, frame: signal.alarm(GRACE))

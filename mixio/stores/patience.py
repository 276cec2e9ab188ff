"""Trying again, with pauses that grow and are drawn at random, so that many readers do not come back all at once."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from random import SystemRandom
from typing import TypeVar

SECONDS = 120.0
"""From the first try of a request to the last: a server that is restarted is waited for."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
SILENT_SECONDS = 5.0
"""A wait that is longer is told of."""

_Answer = TypeVar("_Answer")
_random = SystemRandom()
logger = logging.getLogger(__name__)


def patiently(work: Callable[[], _Answer], passes: Callable[[Exception], bool], kinds: type[Exception]) -> _Answer:
    """What `work` returns in the end; of its errors of these kinds those that `passes` calls passing are waited out."""
    end, longest = time.monotonic() + SECONDS, FIRST_PAUSE
    while True:
        try:
            return work()
        except kinds as error:
            pause = _random.uniform(0, longest)
            if not passes(error) or time.monotonic() + pause > end:
                raise
        time.sleep(pause)
        longest = min(2 * longest, LONGEST_PAUSE)


def interruptibly(work: Callable[[], _Answer], place: str) -> _Answer:
    """What `work` returns or raises, done by another thread while this one stays open for signals."""
    future: Future[_Answer] = Future()
    threading.Thread(target=_fulfil, args=(future, work), name="mixio-request", daemon=True).start()
    if not wait([future], SILENT_SECONDS).done:
        logger.warning("%s: no answer yet; it is tried for %.0f s", place, SECONDS)
    return future.result()


def _fulfil(future: "Future[_Answer]", work: Callable[[], _Answer]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # raised by who waits
        future.set_exception(error)

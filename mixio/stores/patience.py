"""Trying again, with pauses that grow and are drawn at random, so that many readers do not come back all at once."""

import time
from collections.abc import Callable
from random import SystemRandom
from typing import TypeVar

SECONDS = 120.0
"""From the first try of a request to the last: a server that is restarted is waited for."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0

_Answer = TypeVar("_Answer")
_random = SystemRandom()


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

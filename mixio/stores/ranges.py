"""Many byte ranges of an object by few requests, many of them in flight.

Each request costs a round trip, whatever it brings; so ranges that lie near each other come by one request, what is
between them with them. A request stays small enough that several share the line.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

GAP = 256 * 2**10
"""Bytes between two ranges that are brought for nothing rather than asked round: some milliseconds of a good line."""
LARGEST = 8 * 2**20
"""Bytes of one request for several ranges; a single larger range is not cut."""
IN_FLIGHT = 32
"""Requests of this process under way at once, from however many threads they are asked."""

Range = tuple[int, int]
_pool: ThreadPoolExecutor | None = None


class Request(NamedTuple):
    """Bytes `[start, stop)`, and which of the ranges lie in them."""

    start: int
    stop: int
    ranges: list[int]


def requests_for(ranges: Sequence[Range]) -> list[Request]:
    """The fewest requests for ranges of (offset, length), under `GAP` and `LARGEST`; empty ranges need none.

    >>> [(r.start, r.stop) for r in requests_for([(0, 10), (5_000_000, 10), (20, 10), (0, 0)])]
    [(0, 30), (5000000, 5000010)]
    """
    requests: list[Request] = []
    for number in sorted((n for n, (_, length) in enumerate(ranges) if length), key=ranges.__getitem__):
        offset, length = ranges[number]
        if requests:
            last = requests[-1]
            stop = max(last.stop, offset + length)
            if offset - last.stop <= GAP and (stop - last.start <= LARGEST or stop == last.stop):
                requests[-1] = Request(last.start, stop, [*last.ranges, number])
                continue
        requests.append(Request(offset, offset + length, [number]))
    return requests


def fetched(ranges: Sequence[Range], get: Callable[[int, int], bytes]) -> list[bytes]:
    """The bytes of each range in the order asked; `get` brings `[start, stop)` and is called by several threads."""
    found = [b""] * len(ranges)
    requests = requests_for(ranges)
    for request, data in zip(requests, _answers(requests, get), strict=True):
        for number in request.ranges:
            offset, length = ranges[number]
            found[number] = data[offset - request.start : offset - request.start + length]
    return found


def _answers(requests: Sequence[Request], get: Callable[[int, int], bytes]) -> Iterator[bytes]:
    if len(requests) < 2:
        return map(get, *zip(*((r.start, r.stop) for r in requests), strict=True)) if requests else iter(())
    return _threads().map(get, *zip(*((r.start, r.stop) for r in requests), strict=True))


def _threads() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(IN_FLIGHT, "mixio-ranges")
    return _pool


def _forget() -> None:
    global _pool
    _pool = None


os.register_at_fork(after_in_child=_forget)

"""Requests for ranges bring every byte asked for, and not much more."""

import doctest

from hypothesis import given
from hypothesis import strategies as st

from mixio.stores import ranges as module
from mixio.stores.ranges import GAP, LARGEST, fetched, requests_for

SIZE = 40 * 2**20
RANGES = st.lists(st.tuples(st.integers(0, SIZE), st.sampled_from([0, 1, 1000, 2**20, 9 * 2**20])), max_size=30)


@given(RANGES)
def test_every_range_lies_in_one_request(ranges: list[tuple[int, int]]) -> None:
    requests = requests_for(ranges)
    assert sorted(n for request in requests for n in request.ranges) == [n for n, r in enumerate(ranges) if r[1]]
    for start, stop, numbers in requests:
        assert all(start <= ranges[n][0] and sum(ranges[n]) <= stop for n in numbers)
        assert stop - start <= max(LARGEST, *(ranges[n][1] for n in numbers))
        assert stop - start <= sum(ranges[n][1] + GAP for n in numbers)


@given(st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, 1000)), max_size=9))
def test_what_is_fetched_is_what_lies_there(ranges: list[tuple[int, int]]) -> None:
    line = bytes(range(256))

    def get(start: int, stop: int) -> bytes:
        return (line * ((stop - start) // 256 + 2))[start % 256 :][: stop - start]

    for (offset, length), data in zip(ranges, fetched(ranges, get), strict=True):
        assert data == get(offset, offset + length)


def test_the_example_in_the_docstring_is_true() -> None:
    assert doctest.testmod(module).failed == 0

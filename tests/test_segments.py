import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixio import segments
from mixio.mixture import Mixture
from mixio.schedule import Schedule
from mixio.segments import MARKED, Segments
from mixio.taken import Taken

SCHEDULE = [(7 * i, {"a": 0.5, "b": 0.25, "c": 0.25} if i % 2 else {"a": 0.125, "c": 0.875}) for i in range(100)]
LAST = 7 * 99


@pytest.fixture
def built(monkeypatch):
    """Where the segments begin that are built."""
    starts = []

    class Counted(segments.Segment):
        def __init__(self, start, *parts, **options):
            starts.append(start)
            super().__init__(start, *parts, **options)

    monkeypatch.setattr(segments, "Segment", Counted)
    return starts


def test_each_segment_counts_on_from_the_one_before():
    schedule = Schedule.of([(0, {"a": 1.0}), (10, {"b": 1.0}), (20, {"a": 0.5, "b": 0.5})], 0)
    last = Segments(schedule, ["a", "b"], {0: {}}, seed=0, window=5, end=None)[2]
    assert last.before == [Taken(10), Taken(10)]


def test_only_the_segments_up_to_the_draw_are_built_and_each_once(built):
    mixture = Mixture(SCHEDULE, window=4)
    mixture.locate(6)
    assert built == [0]
    for g in (30, 3, 29, 30):
        mixture.locate(g)
    assert built == [0, 7, 14, 21, 28]


def test_a_copy_begins_at_the_last_mark(built):
    mixture = Mixture(SCHEDULE, window=4)
    mixture.counts(LAST)
    copy = pickle.loads(pickle.dumps(mixture))
    built.clear()
    copy.locate(LAST)
    assert built == [7 * place for place in range(3 * MARKED, 100)]
    copy.locate_many(2 * MARKED * 7, 7)
    assert built[4:] == [2 * MARKED * 7]


@settings(max_examples=30)
@given(st.lists(st.integers(0, LAST + 70), min_size=1, max_size=9), st.integers(0, 9), st.integers(1, 20))
def test_in_whatever_order_they_are_asked_for_draws_are_the_same(draws, dumped, window):
    one, other = Mixture(SCHEDULE, window=window), Mixture(SCHEDULE, window=window)
    expected = {g: one.locate(g) for g in range(LAST + 71)}
    for number, g in enumerate(draws):
        other = pickle.loads(pickle.dumps(other)) if number == dumped else other
        assert other.locate(g) == expected[g]
        leaves, numbers = other.locate_many(g // 2, 80)
        found = zip([other.domains[leaf] for leaf in leaves], numbers, strict=True)
        assert [*found] == [expected[i] for i in range(g // 2, g // 2 + 80)]
        assert other.taken(g) == one.taken(g)


@given(st.integers(0, 40), st.integers(1, 20))
def test_marks_are_of_what_came_before_the_mixture_too(before, window):
    earlier = Mixture({"a": 0.5, "b": 0.5}, window=7).taken(before)
    mixture = Mixture(SCHEDULE, window=window).after(earlier)
    mixture.counts(LAST)
    copy = pickle.loads(pickle.dumps(mixture))
    assert [copy.taken(n) for n in (before, 300, LAST)] == [mixture.taken(n) for n in (before, 300, LAST)]

import json
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mixio.repeats import Repeats

numbers = st.integers(0, 2) | st.integers(0, 30)
names = st.lists(numbers.map("case-{:02}".format), max_size=60)


def counted(volumes, limit):
    repeats = Repeats(limit)
    for volume in volumes:
        repeats.add(volume)
    return repeats


@given(names)
def test_up_to_the_limit_every_volume_is_counted(volumes):
    repeats, counts = counted(volumes, 31), Counter(volumes)
    assert repeats.reads == counts
    assert (repeats.volumes, repeats.most) == (len(counts), max(counts.values(), default=0))


@given(names, st.integers(1, 12), st.randoms(), st.integers(0, 60))
def test_beyond_it_a_sample_is_kept_whose_counts_are_exact_whatever_the_order_and_split(volumes, limit, random, split):
    counts, whole = Counter(volumes), counted(volumes, limit)
    assert len(whole.reads) <= limit
    assert whole.reads.items() <= counts.items()
    random.shuffle(volumes)
    split %= len(volumes) + 1
    part = counted(volumes[:split], limit)
    part.merge(counted(volumes[split:], limit))
    assert part == whole


def test_merging_adds_the_reads_of_a_volume():
    repeats = counted("aab", 5)
    repeats.merge(counted("aaac", 5))
    assert repeats.reads == {"a": 5, "b": 1, "c": 1}


def test_of_many_volumes_the_number_is_estimated():
    repeats = counted(map(str, range(100_000)), 4096)
    assert repeats.halved == 5  # 100,000 / 2^5 = 3,125
    assert abs(repeats.volumes / 100_000 - 1) < 5 / 3125**0.5
    assert repeats.most == 1


def test_which_volumes_stay_does_not_depend_on_when_they_came():
    early, late = counted(map(str, range(1000)), 100), counted(map(str, range(999, -1, -1)), 100)
    assert early == late
    assert 50 < len(early.reads) <= 100


@given(names, st.integers(1, 12), st.integers(1, 12))
def test_its_state_survives_json_and_another_limit(volumes, limit, other):
    repeats = counted(volumes, limit)
    state = json.loads(json.dumps(repeats.state()))
    assert Repeats.from_state(state, limit=limit) == repeats
    assert Repeats.from_state(state, limit=min(limit, other)) == counted(volumes, min(limit, other))

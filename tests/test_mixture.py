import json
import math
import pickle
import re
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixio.allocation import Allocation
from mixio.errors import AllocationError, InvalidArgument, MixtureEnded
from mixio.mixture import Mixture

LITERAL = [("brain-t1", 400000000006), ("brain-t1", 400000000007), ("abdomen-ct", 600000000017)]

weights = st.lists(st.just(0.0) | st.just(1e-6) | st.floats(1e-9, 1), min_size=1, max_size=64).filter(any)
seeds = st.integers(0, 2**63)


def shares_of(weights):
    return {f"d{i:02}": weight / sum(weights) for i, weight in enumerate(weights)}


def due(shares, domain, n):
    return n * Fraction(shares[domain]) / sum(map(Fraction, shares.values()))


@given(weights, seeds, st.integers(1, 300), st.integers(0, 10**12))
def test_at_every_window_end_counts_are_within_half_the_tree_depth(weights, seed, window, end):
    shares = shares_of(weights)
    n = end * window
    counts = Mixture(shares, seed=seed, window=window).counts(n)
    bound = Fraction(math.ceil(math.log2(len(shares))), 2)  # 3 for 64 domains
    assert sum(counts.values()) == n
    assert all(abs(counts[domain] - due(shares, domain, n)) <= bound + n * Fraction(1, 2**60) for domain in shares)


@given(st.lists(st.floats(1e-6, 1), min_size=64, max_size=64), st.integers(0, 10**12))
def test_with_64_domains_every_window_end_is_less_than_3_draws_off(weights, end):
    shares = shares_of(weights)
    counts = Mixture(shares).counts(end * 64)
    assert all(abs(counts[domain] - due(shares, domain, end * 64)) < 3 for domain in shares)


def test_roundings_of_63_rare_domains_do_not_pile_up_on_the_last():
    rare = {f"rare{i:02}": 0.6 / 640 for i in range(63)}  # each due 0.6 draws of 640
    counts = Mixture({**rare, "the rest": 1 - sum(rare.values())}).counts(640)
    assert abs(counts["the rest"] - 602.2) < 3


@given(weights, st.integers(1, 100), st.integers(0, 400))
def test_counts_are_what_counting_the_draws_gives(weights, window, n):
    mixture = Mixture(shares_of(weights), window=window)
    assert +Counter(mixture.counts(n)) == Counter(mixture.locate(g)[0] for g in range(n))


@given(weights, seeds, st.integers(1, 40), st.integers(0, 10**12))
def test_a_window_holds_consecutive_numbers_of_each_domain_once(weights, seed, window, start):
    mixture = Mixture(shares_of(weights), seed=seed, window=window)
    first = start * window
    before, after = mixture.counts(first), mixture.counts(first + window)
    held = {(domain, n) for domain in before for n in range(before[domain], after[domain])}
    drawn = [mixture.locate(g) for g in range(first, first + window)]
    assert set(drawn) == held
    assert len(drawn) == len(held)


@given(seeds, st.integers(0, 10**15))
def test_the_seed_moves_the_order_within_windows_and_never_their_composition(seed, window):
    shares = {"a": 0.5, "b": 0.3, "c": 0.2}
    draws = range(window * 64, window * 64 + 64)
    one, other = ([Mixture(shares, seed=s).locate(g) for g in draws] for s in (seed, seed + 1))
    assert sorted(one) == sorted(other)
    assert one != other


def test_zero_shares_are_never_drawn_and_change_nothing():
    without = Mixture({"a": 0.7, "c": 0.3})
    mixture = Mixture({"a": 0.7, "b": 0.0, "c": 0.3})
    assert mixture.counts(10**12) == {"a": 7 * 10**11, "b": 0, "c": 3 * 10**11}
    assert [mixture.locate(g) for g in range(200)] == [without.locate(g) for g in range(200)]


def test_a_share_of_a_millionth_is_drawn_once_in_a_million():
    mixture = Mixture({"common": 1 - 1e-6, "rare": 1e-6})
    assert [mixture.counts(64 * 15625 * million)["rare"] for million in (0, 1, 5, 10**6)] == [0, 1, 5, 10**6]


def test_no_stride_of_ranks_sees_one_domain_only():
    mixture = Mixture({"a": 0.5, "b": 0.5})
    seen = [Counter(mixture.locate(g)[0] for g in range(rank, 6400, 2)) for rank in range(2)]
    assert all(1400 < count < 1800 for counts in seen for count in counts.values())


def test_two_equal_domains_alternate_when_nothing_is_shuffled():
    mixture = Mixture({"a": 0.5, "b": 0.5}, window=1)
    assert [mixture.locate(g) for g in range(4)] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]


def test_integers_of_numpy_do_not_overflow():
    mixture = Mixture({"a": 0.4, "b": 0.6}, seed=5, window=100)
    of_numpy = Mixture({"a": np.float64(0.4), "b": 0.6}, seed=np.uint8(5), window=np.int64(100))
    assert of_numpy.locate(np.int64(10**15)) == mixture.locate(10**15)
    assert of_numpy.fingerprint == mixture.fingerprint


def test_a_mixture_survives_pickling_and_serves_as_a_key():
    mixture = Mixture({"b": 0.75, "a": 0.25}, seed=3, window=128)
    copy = pickle.loads(pickle.dumps(mixture))
    assert {mixture: 1}[copy] == 1
    assert copy.locate(10**12) == mixture.locate(10**12)
    assert repr(copy) == "Mixture(a: 0.25, b: 0.75; seed=3, window=128)"
    assert copy.domains == ("a", "b")


def test_the_fingerprint_covers_shares_seed_and_window():
    one = Mixture({"a": 0.5, "b": 0.5}, seed=1, window=8)
    others = [
        Mixture({"a": 0.4, "b": 0.6}, seed=1, window=8),
        Mixture({"a": 0.5, "b": 0.5}, seed=2, window=8),
        Mixture({"a": 0.5, "b": 0.5}, seed=1, window=9),
    ]
    assert one.fingerprint not in {other.fingerprint for other in others}
    assert one.fingerprint == Mixture({"b": 0.5, "a": 0.5}, seed=1, window=8).fingerprint


def test_it_loads_an_allocation(tmp_path):
    Allocation({"a": 0.25, "b": 0.75}).save(tmp_path / "allocation.json")
    assert Mixture.load(tmp_path / "allocation.json", seed=5) == Mixture({"a": 0.25, "b": 0.75}, seed=5)


def test_wrong_use_is_refused():
    with pytest.raises(AllocationError, match=r"shares must sum to 1, got 0.5 for"):
        Mixture({"a": 0.5})
    with pytest.raises(InvalidArgument, match="window must be from 1 draw to 65536, got 0; 1 means no shuffle"):
        Mixture({"a": 1.0}, window=0)
    with pytest.raises(InvalidArgument, match="window must be a whole number, got 6.5"):
        Mixture({"a": 1.0}, window=6.5)
    with pytest.raises(AllocationError, match=r"got 100 for \['00', .*, '19'\] and 80 more; a missing domain\?$"):
        Mixture({f"{number:02d}": 1.0 for number in range(100)})
    with pytest.raises(InvalidArgument, match="a draw must be at least 0, got -1"):
        Mixture({"a": 1.0}).locate(-1)
    with pytest.raises(InvalidArgument, match="a draw must be a whole number, got 0.5"):
        Mixture({"a": 1.0}).locate(0.5)


schedules = st.lists(st.tuples(st.integers(1, 300), weights), min_size=1, max_size=4)


def scheduled(parts, **options):
    """Segments of so many draws each, the first at draw 0."""
    starts = [0]
    for length, _ in parts[:-1]:
        starts.append(starts[-1] + length)
    return Mixture([(start, shares_of(each)) for start, (_, each) in zip(starts, parts, strict=True)], **options)


@given(schedules, seeds, st.integers(1, 100))
def test_where_shares_change_no_draw_is_skipped_and_none_comes_twice(parts, seed, window):
    mixture = scheduled(parts, seed=seed, window=window)
    whole = mixture.schedule[-1][0] + 3 * window  # the end of a window: no number is left out
    drawn = [mixture.locate(g) for g in range(whole)]
    assert len(set(drawn)) == len(drawn)
    assert set(drawn) == {(domain, n) for domain, count in mixture.counts(whole).items() for n in range(count)}


@given(schedules, seeds, st.integers(1, 100))
def test_a_segment_more_changes_no_domain_before_it_and_no_number_of_a_whole_window(parts, seed, window):
    shorter, longer = (scheduled(each, seed=seed, window=window) for each in (parts[:1], parts))
    stop = longer.schedule[1][0] if len(parts) > 1 else 300
    one, other = ([mixture.locate(g) for g in range(stop)] for mixture in (longer, shorter))
    assert [domain for domain, _ in one] == [domain for domain, _ in other]
    whole = stop - stop % window
    assert one[:whole] == other[:whole]


@given(schedules, st.integers(1, 100), st.integers(0, 1_200), st.integers(0, 400))
def test_many_draws_at_once_are_what_each_is_alone(parts, window, start, count):
    mixture = scheduled(parts, window=window)
    leaves, numbers = mixture.locate_many(start, count)
    found = [(mixture.domains[leaf], n) for leaf, n in zip(leaves.tolist(), numbers.tolist(), strict=True)]
    assert found == [mixture.locate(g) for g in range(start, start + count)]


@given(schedules, st.integers(1, 100), st.integers(0, 1_200))
def test_counts_of_a_schedule_are_what_counting_the_draws_gives(parts, window, n):
    mixture = scheduled(parts, window=window)
    assert +Counter(mixture.counts(n)) == Counter(mixture.locate(g)[0] for g in range(n))


@given(schedules, st.integers(1, 64), st.integers(0, 1_200), weights)
def test_another_mixture_goes_on_with_what_has_not_been_drawn(parts, window, n, others):
    first = scheduled(parts, window=window)
    taken = json.loads(json.dumps(first.taken(n)))
    second = Mixture(shares_of(others), window=window).after(taken)
    assert second.start == n
    drawn = [first.locate(g) for g in range(n)] + [second.locate(g) for g in range(n, n + 300)]
    assert len(set(drawn)) == len(drawn)
    assert second == Mixture(shares_of(others), window=window, before=taken)
    assert second.counts(n) == {**dict.fromkeys(second.domains, 0), **first.counts(n)}


@given(schedules, st.integers(1, 64), st.integers(0, 500))
def test_the_draw_after_so_many_is_found_without_looking_for_it(parts, window, count):
    mixture = scheduled(parts, window=window)
    domain, last = mixture.domains[0], mixture.schedule[-1][0] + 2_000
    of_domain = [g for g in range(last) if mixture.locate(g)[0] == domain]
    found = mixture.draw_after(domain, count)
    if count < len(of_domain):
        assert found == of_domain[count]
    else:
        assert found is None or found >= last


def test_a_change_at_a_windows_end_is_exact():
    mixture = Mixture([(0, {"a": 0.5, "b": 0.5}), (640, {"a": 0.1, "b": 0.9})])
    assert mixture.counts(640) == {"a": 320, "b": 320}
    assert mixture.counts(1280) == {"a": 384, "b": 896}
    assert (mixture.shares_at(639)["a"], mixture.shares_at(640)["a"], mixture.shares["a"]) == (0.5, 0.1, 0.1)
    assert repr(mixture) == "Mixture(a: 0.5, b: 0.5; from 640 a: 0.1, b: 0.9; seed=0, window=64)"


def test_a_domain_may_come_late_or_leave():
    mixture = Mixture([(0, {"old": 1.0}), (128, {"new": 1.0})])
    assert mixture.counts(192) == {"new": 64, "old": 128}
    assert mixture.drawn == {"new": 1.0, "old": 1.0}
    assert Mixture([(0, {"a": 1.0, "b": 0.0})]).drawn == {"a": 1.0}


def test_a_schedule_survives_pickling_and_is_part_of_the_fingerprint():
    mixture = Mixture([(0, {"a": 0.5, "b": 0.5}), (100, {"a": 1.0})], before={}, end=500)
    copy = pickle.loads(pickle.dumps(mixture))
    assert copy == mixture
    assert [copy.locate(g) for g in range(500)] == [mixture.locate(g) for g in range(500)]
    assert mixture != Mixture([(0, {"a": 0.5, "b": 0.5}), (101, {"a": 1.0})], end=500)
    assert mixture != Mixture([(0, {"a": 0.5, "b": 0.5}), (100, {"a": 1.0})])
    assert len(pickle.dumps(mixture)) < 500


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ([], "a schedule begins with draw 0 and goes on to later ones, got \\[\\]"),
        ([(5, {"a": 1.0})], "a schedule begins with draw 0 .* got \\[5\\]"),
        ([(0, {"a": 1.0}), (0, {"a": 1.0})], "and goes on to later ones, got \\[0, 0\\]"),
        ([{"a": 1.0}], "a schedule is a list of \\(first draw, shares\\)"),
        ([(0.5, {"a": 1.0})], "the first draw of a segment must be a whole number, got 0.5"),
        ([(0, {"a": 0.5})], "shares must sum to 1"),
    ],
)
def test_schedules_that_cannot_be_are_refused(schedule, message):
    with pytest.raises((InvalidArgument, AllocationError), match=message):
        Mixture(schedule)


def test_draws_outside_of_the_mixture_are_refused():
    mixture = Mixture({"a": 1.0}, before={"a": 10}, end=20)
    with pytest.raises(InvalidArgument, match="draw 9 was made by another mixture; this one begins with draw 10"):
        mixture.locate(9)
    with pytest.raises(MixtureEnded, match="there is no draw 20: this mixture ends after 20 draws"):
        mixture.locate_many(15, 6)
    with pytest.raises(MixtureEnded, match="this mixture ends after 20 draws; asked for the first 21"):
        mixture.counts(21)
    with pytest.raises(InvalidArgument, match="the first 10 draws were made by another mixture; asked for 3"):
        mixture.counts(3)
    assert mixture.counts(10) == {"a": 10}
    with pytest.raises(InvalidArgument, match="a mixture that begins with draw 10 cannot end at 5"):
        Mixture({"a": 1.0}, before={"a": 10}, end=5)
    with pytest.raises(InvalidArgument, match="draws below 2\\^62 are located together, asked for 2 from 4611"):
        Mixture({"a": 1.0}).locate_many(2**62 - 1, 2)
    with pytest.raises(InvalidArgument, match=r"the mixture has the domains \['a'\], asked for \['b'\]"):
        mixture.draw_after("b", 3)


def test_draws_are_these_or_states_of_before_would_be_taken_for_others():
    mixture = Mixture({"abdomen-ct": 0.6, "brain-t1": 0.4}, seed=5)
    assert [mixture.locate(10**12 + i) for i in range(3)] == LITERAL


def test_the_examples_of_the_page_give_what_it_says():
    page = (Path(__file__).parents[1] / "docs" / "mixture.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names, checked = {}, 0
    for line in block.splitlines():
        code, _, said = line.partition("  # ")
        if said:
            assert repr(eval(code, names)) == said
            checked += 1
        else:
            exec(code, names)
    assert checked == 2


def test_arguments_of_the_wrong_kind_are_named():
    mixture = Mixture({"a": 0.5, "b": 0.5})
    with pytest.raises(AllocationError, match=r"got Allocation\(shares=.*; give its .shares"):
        Mixture(Allocation({"a": 1.0}))
    for use in (mixture.after, lambda before: Mixture({"a": 1.0}, before=before)):
        for before in (3, [3], {3: 4, "a": 1}):
            with pytest.raises(InvalidArgument, match="what is drawn before is a dictionary by domain, as `Mixture.ta"):
                use(before)
    with pytest.raises(InvalidArgument, match="the count of 'a' must be a whole number, got nan"):
        mixture.draw_after("a", float("nan"))
    with pytest.raises(InvalidArgument, match=r"counts must map domains to how often .*, got \['a'\]"):
        mixture.first_after(["a"])
    with pytest.raises(InvalidArgument, match="a draw must be a whole number, got nan"):
        mixture.shares_at(float("nan"))


def test_the_end_of_a_mixture_names_the_way_out():
    with pytest.raises(
        MixtureEnded, match="there is no draw 200: .* ask for fewer, or have it end later: by `end`, or"
    ):
        Mixture({"a": 1.0}, end=100).locate(200)

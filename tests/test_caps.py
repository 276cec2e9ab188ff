import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixio import caps, segments
from mixio.caps import capped
from mixio.errors import MixtureEnded
from mixio.mixture import Mixture
from mixio.segment import Segment

SHARES = {"ct": 0.5, "mri": 0.3, "pet": 0.2}
limits = st.dictionaries(st.sampled_from(["ct", "mri", "pet"]), st.integers(1, 300))
windows = st.sampled_from([1, 7, 64])


def drawn(mixture, most=2_000):
    stop = most if mixture.end is None else min(most, mixture.end)
    return [mixture.locate(g) for g in range(mixture.start, stop)]


@given(limits, windows, st.integers(0, 9))
def test_without_redistributing_it_ends_before_the_first_draw_too_many(limits, window, seed):
    plain = Mixture(SHARES, window=window, seed=seed)
    mixture = capped(plain, limits, redistribute=False)
    domains = [domain for domain, _ in drawn(plain)]
    one_too_many = [[g for g, each in enumerate(domains) if each == domain][limit] for domain, limit in limits.items()]
    assert mixture.end == min(one_too_many, default=None)
    assert [domain for domain, _ in drawn(mixture)] == domains[: mixture.end]


@given(limits, windows, st.integers(0, 9))
def test_redistributed_every_domain_has_all_numbers_below_its_limit_and_no_other(limits, window, seed):
    mixture = capped(Mixture(SHARES, window=window, seed=seed), limits, redistribute=True)
    draws = drawn(mixture)
    assert len(set(draws)) == len(draws)
    assert all(number < limits.get(domain, 10**9) for domain, number in draws)
    assert mixture.end == (sum(limits.values()) if len(limits) == len(SHARES) else None)
    if mixture.end is not None:
        assert set(draws) == {(domain, n) for domain, limit in limits.items() for n in range(limit)}


def test_the_others_have_their_proportion_afterwards():
    mixture = capped(Mixture(SHARES), {"ct": 320}, redistribute=True)
    (first, _), (g, shares) = mixture.schedule
    assert (first, mixture.end) == (0, None)
    assert shares == pytest.approx({"ct": 0.0, "mri": 0.6, "pet": 0.4})
    assert 576 < g <= 704  # 320 draws of half of all, to within a window
    assert mixture.counts(g)["ct"] == 320
    before, after = mixture.counts(g), mixture.counts(g + 64_000)
    assert after["ct"] == before["ct"]
    assert after["mri"] - before["mri"] == pytest.approx(38_400, abs=2)


def test_a_schedule_that_brings_a_domain_later_counts_what_it_had_before():
    mixture = Mixture([(0, {"ct": 1.0}), (100, {"mri": 1.0}), (200, {"ct": 1.0})], window=1)
    ends = {limit: capped(mixture, {"ct": limit}, redistribute=True).end for limit in (50, 100, 130)}
    assert ends == {50: 50, 100: 200, 130: 230}
    with pytest.raises(MixtureEnded, match="there is no draw 230: this mixture ends after 230 draws"):
        capped(mixture, {"ct": 130}, redistribute=True).locate(230)


def test_a_cap_that_is_reached_as_shares_change_counts_from_the_next_draw_of_the_domain():
    mixture = Mixture([(0, {"pet": 1.0}), (100, {"mri": 0.5, "pet": 0.5})], window=1)
    found = capped(mixture, {"pet": 100}, redistribute=True)
    assert [first for first, _ in found.schedule] == [0, 100, 101]  # draw 100 is of mri, 101 would be of pet


def test_draws_of_before_are_counted():
    mixture = Mixture({"ct": 1.0}, window=1, before={"ct": 40, "mri": 5})
    assert capped(mixture, {"ct": 100}, redistribute=False).end == 105
    assert capped(mixture, {"ct": 30}, redistribute=False).end == 45


def test_a_hundred_domains_may_all_hand_on_their_share():
    shares = {f"d{i:02}": 0.01 for i in range(100)}
    mixture = capped(Mixture(shares), dict.fromkeys(shares, 5), redistribute=True)
    assert mixture.end == 500
    assert set(mixture.counts(500).values()) == {5}


@settings(max_examples=20)
@given(st.integers(0, 9), windows, st.integers(0, 150))
def test_the_marks_of_many_segments_change_nothing(seed, window, before):
    shares = {f"d{i:02}": (i + 1) / 820 for i in range(40)}
    earlier = Mixture(shares, window=window).taken(before)
    mixture = capped(
        Mixture(shares, seed=seed, window=window, before=earlier),
        {domain: 3 + 7 * i % 11 for i, domain in enumerate(shares)},
        redistribute=True,
    )
    plain = Mixture(list(mixture.schedule), seed=seed, window=window, before=earlier, end=mixture.end)
    assert mixture.fingerprint == plain.fingerprint
    assert drawn(mixture) == drawn(plain)
    assert mixture.taken(mixture.end) == plain.taken(mixture.end)


def test_each_segment_is_built_once_and_a_copy_builds_those_from_a_mark_on(monkeypatch):
    starts = []

    class Counted(Segment):
        def __init__(self, start, *parts, **options):
            starts.append(start)
            super().__init__(start, *parts, **options)

    monkeypatch.setattr(caps, "Segment", Counted)
    monkeypatch.setattr(segments, "Segment", Counted)
    shares = {f"d{i:02}": (i + 1) / 5050 for i in range(100)}
    mixture = capped(Mixture(shares), {domain: 50 + i for i, domain in enumerate(shares)}, redistribute=True)
    firsts = [first for first, _ in mixture.schedule]
    assert len(firsts) > 80
    assert len(starts) == len(shares)
    copy = pickle.loads(pickle.dumps(mixture))
    starts.clear()
    copy.locate(copy.end - 1)
    assert starts == firsts[len(firsts) - 1 - (len(firsts) - 1) % 32 :]


def test_an_end_that_was_given_stays_an_end():
    mixture = Mixture([(0, {"ct": 1.0}), (100, {"ct": 1.0})], end=50)
    assert capped(mixture, {"ct": 90}, redistribute=False).end == 50
    assert [mixture.locate(g)[1] for g in range(50)] == list(range(50))


def test_a_thousand_domains_may_all_be_capped():
    shares = {f"d{i:03}": 0.001 for i in range(1000)}
    mixture = capped(Mixture(shares), dict.fromkeys(shares, 5), redistribute=False)
    assert 4_000 < mixture.end <= 5_000
    assert max(mixture.counts(mixture.end).values()) == 5


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("share", "limit"), [(1e-17, 400), (1e-13, 10**7), (1e-12, 10**7)])
def test_a_cap_that_no_run_reaches_is_none(share, limit):
    assert capped(Mixture({"a": 1.0, "b": share}), {"b": limit}, redistribute=True).end is None

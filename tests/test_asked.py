"""Caps and units as a data set takes them, and what a sampler makes of a run that they end."""

from collections import Counter

import pytest

from mixio.dataset import MixtureDataset
from mixio.errors import InvalidArgument, MixtureEnded
from mixio.mixture import Mixture
from tests.test_dataset import LISTS, of_lists, of_run, of_store


def capped_lists(on_cap, max_repeats=2, **options):
    return MixtureDataset(LISTS, Mixture({"a": 0.6, "b": 0.4}), max_repeats=max_repeats, on_cap=on_cap, **options)


def test_a_run_stops_where_a_domain_has_been_drawn_often_enough():
    dataset = capped_lists("stop")  # 5 and 3 volumes, twice: 10 and 6 draws
    sampler = of_run(dataset, 0, 1, 1, 400)
    drawn = Counter((draw.domain, draw.volume) for draw in map(dataset.plan, sampler))
    assert max(drawn.values()) == 2
    assert 10 <= len(sampler) == dataset.mixture.end < 16
    assert sampler.state_dict()["consumed"] == len(sampler)


def test_a_run_that_would_repeat_too_often_is_refused_before_it_begins():
    with pytest.raises(MixtureEnded, match="400 draws are asked for, but after .* max_repeats is reached for '[ab]'"):
        of_run(capped_lists("raise"), 0, 1, 1, 400)
    end = capped_lists("raise").mixture.end
    assert len(of_run(capped_lists("raise"), 0, 1, 1, end)) == end


def test_the_share_of_a_domain_that_is_spent_goes_to_the_others():
    dataset = capped_lists("redistribute", max_repeats={"b": 2})
    drawn = Counter(draw.domain for draw in map(dataset.plan, of_run(dataset, 0, 1, 1, 400)))
    assert drawn == {"a": 394, "b": 6}
    with pytest.raises(MixtureEnded, match="max_repeats is reached for every domain"):
        of_run(capped_lists("redistribute"), 0, 1, 1, 400)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_cap": "end"}, 'on_cap must be "raise", "stop" or "redistribute", got \'end\''),
        ({"max_repeats": 0}, "max_repeats of 'a' must be a number of passes above 0, got 0"),
        ({"max_repeats": float("nan")}, "max_repeats of 'a' must be a number of passes above 0, got nan"),
        ({"max_repeats": "4"}, "max_repeats of 'a' must be a number of passes above 0, got '4'"),
        ({"max_repeats": {"a": None}}, "max_repeats of 'a' must be a number of passes above 0, got None"),
        ({"subsets": 3}, "subsets maps domains to numbers of volumes, got 3"),
        ({"max_repeats": {"c": 1}}, "max_repeats names 'c', which is none of"),
        ({"patches_per_volume": {"a": 2}}, "patches_per_volume and on_fault need a store"),
        ({"patches_per_volume": 0}, "patches_per_volume of 'a' must be a whole number from 1, got 0"),
    ],
)
def test_caps_that_cannot_be_are_refused(options, message):
    with pytest.raises(InvalidArgument, match=message):
        of_lists(**options)


def test_the_state_of_other_caps_is_refused():
    state = of_run(capped_lists("redistribute", {"b": 2}), 0, 1, 1, 40).state_dict()
    with pytest.raises(InvalidArgument, match="differs from this data set in mixture and unit or caps"):
        of_run(of_lists(), 0, 1, 1, 40).load_state_dict(state)


def test_caps_count_the_patches_of_a_volume_in_each_pass(small_store):
    dataset = of_store(small_store, patches_per_volume=4, max_repeats=3, on_cap="redistribute")
    drawn = Counter(dataset.plan(g).volume for g in range(dataset.mixture.end))
    assert drawn == {volume: 12 for volumes in dataset.volumes.values() for volume in volumes}


def test_a_capped_run_that_is_changed_counts_what_was_drawn_before(small_store):
    first = of_store(small_store)
    state = of_run(first, 0, 1, 1, 400).state_dict(consumed=60)
    second = of_store(small_store, max_repeats={"pet": 30}, on_cap="stop")
    sampler = of_run(second, 0, 1, 1, 10**6)
    sampler.load_state_dict(state, allow_change=True)
    drawn = Counter(draw.domain for draw in map(second.plan, sampler)) + Counter(first.mixture.counts(60))
    assert drawn["pet"] == 30 * len(second.volumes["pet"])


def test_passes_are_counted_exactly_and_may_be_without_end():
    dataset = MixtureDataset({"a": range(100), "b": [1]}, Mixture({"a": 1.0, "b": 0.0}), max_repeats=2.3, on_cap="stop")
    assert len(of_run(dataset, 0, 1, 1, 10**4)) == 230
    endless = MixtureDataset(LISTS, Mixture({"a": 0.5, "b": 0.5}), max_repeats={"a": 4, "b": float("inf")})
    assert endless.mixture.draw_after("a", 20) is None
    assert len(of_run(endless, 0, 1, 1, endless.mixture.end)) == endless.mixture.end


def test_options_of_a_domain_that_is_not_drawn_do_no_harm(small_store):
    shares = {"abdomen-ct": 1.0, "pet": 0.0}
    options = {"max_repeats": {"pet": 2}, "patches_per_volume": {"pet": 3}, "subsets": {"pet": 1}, "patch_size": 16}
    dataset = MixtureDataset(small_store, Mixture(shares), **options)
    plain = MixtureDataset(small_store, Mixture(shares), patch_size=16)
    assert dataset.fingerprint == plain.fingerprint


def test_raising_and_stopping_are_the_same_draws():
    state = of_run(capped_lists("raise"), 0, 1, 1, 8).state_dict()
    of_run(capped_lists("stop"), 0, 1, 1, 8).load_state_dict(state)


def test_a_cap_that_leaves_no_step_is_named():
    with pytest.raises(InvalidArgument, match="4000 were asked for, max_repeats allows no more"):
        of_run(capped_lists("stop", max_repeats=0.1), 0, 1, 4, 4000)


def test_a_mixture_that_ends_by_itself_says_so_to_the_sampler():
    dataset = MixtureDataset(LISTS, Mixture({"a": 0.6, "b": 0.4}, end=20))
    with pytest.raises(MixtureEnded, match="40 draws are asked for, but the mixture ends after 20; ask for fewer, or"):
        of_run(dataset, 0, 1, 4, 40)

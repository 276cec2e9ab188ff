from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixio.dataset import MixtureDataset
from mixio.errors import InvalidArgument
from mixio.mixture import Mixture
from mixio.pools import Chosen, Pools, spelled

LISTS = {"a": [{"x": i} for i in range(50)], "b": [{"x": i} for i in range(9)]}


@given(st.integers(1, 40), st.integers(1, 9), st.sampled_from([1, 8, 64]), st.integers(0, 10**6), st.integers(0, 9))
def test_each_pass_reads_so_many_patches_of_every_volume(volumes, patches, window, number, seed):
    pools = Pools({"ct": range(volumes)}, seed, {"ct": patches}, window)
    draws = range(number * volumes * patches, (number + 1) * volumes * patches)
    assert Counter(pools.volume("ct", n) for n in draws) == dict.fromkeys(range(volumes), patches)


@given(st.integers(1, 60), st.integers(2, 9), st.sampled_from([8, 64]), st.integers(0, 9))
def test_the_patches_of_a_volume_lie_within_a_window(volumes, patches, window, seed):
    pools = Pools({"ct": range(volumes)}, seed, {"ct": patches}, window)
    places = {}
    for n in range(volumes * patches):
        places.setdefault(pools.volume("ct", n), []).append(n)
    assert all(max(ns) - min(ns) < max(window, patches) for ns in places.values())


def test_the_patches_of_a_volume_are_not_all_side_by_side():
    pools = Pools({"ct": range(100)}, 0, {"ct": 4}, 64)
    volumes = [pools.volume("ct", n) for n in range(400)]
    assert sum(one == other for one, other in pairwise(volumes)) < 60


@given(st.integers(1, 300), st.data())
def test_a_larger_subset_holds_the_smaller_one(size, data):
    small, large = sorted(data.draw(st.tuples(*[st.integers(1, size)] * 2)))
    one, other = (list(Chosen(range(size), count, 5)) for count in (small, large))
    assert other[:small] == one
    assert len(set(other)) == large


@given(st.integers(1, 600), st.integers(0, 2**64 - 1), st.data())
def test_the_places_of_a_subset_are_those_of_its_members(size, key, data):
    chosen = Chosen(range(1000, 1000 + size), data.draw(st.integers(1, size)), key)
    assert [1000 + place for place in chosen.places] == list(chosen)


def test_shapes_are_those_of_the_members():
    class Known:
        def shapes(self, names):
            return np.array([[name, 1, 1] for name in names])

    pools = Pools({"ct": Chosen(range(50), 20, 5), "mri": range(3)}, 0, {"ct": 1, "mri": 1}, 64)
    for domain, members in pools.members.items():
        assert pools.shapes(Known(), domain)[:, 0].tolist() == list(members)


def test_only_the_subset_is_drawn_from_and_another_seed_has_another_one():
    chosen = []
    for seed in (0, 1):
        dataset = MixtureDataset(LISTS, Mixture({"a": 0.5, "b": 0.5}), subsets={"a": 20}, seed=seed)
        drawn = {dataset.plan(g).volume for g in range(640) if dataset.plan(g).domain == "a"}
        assert drawn == set(dataset.volumes["a"])
        assert len(drawn) == 20
        chosen.append(drawn)
    assert chosen[0] != chosen[1]


@pytest.mark.parametrize(
    ("subsets", "message"),
    [
        ({"a": 51}, "subsets asks for 51 volumes of 'a', which has 50"),
        ({"a": 0}, "subsets of 'a' must be a whole number from 1, got 0"),
        ({"a": 4.0}, "subsets of 'a' must be a whole number from 1, got 4.0"),
        ({"c": 1}, "subsets names 'c', which is none of .*; a misspelled domain"),
    ],
)
def test_subsets_that_cannot_be_are_refused(subsets, message):
    with pytest.raises(InvalidArgument, match=message):
        MixtureDataset(LISTS, Mixture({"a": 0.5, "b": 0.5}), subsets=subsets)


@given(st.dictionaries(st.text(max_size=3), st.lists(st.text(max_size=3)) | st.integers(0, 9).map(range), max_size=4))
def test_members_are_spelled_as_python_prints_them(members):
    assert "".join(spelled(members)) == repr(sorted(members.items()))


def test_subsets_have_digests_of_their_own_without_being_listed():
    def digest(members):
        return Pools(members, 0, {"a": 1}, 64).digest

    members = range(10**7)
    some = [Chosen(members, 300, 5), Chosen(members, 301, 5), Chosen(members, 300, 6), Chosen(range(10**6), 300, 5)]
    assert len({digest({"a": each}) for each in [members, *some]}) == 5


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"a": "volumes"}, "the data set of 'a' is map-style, with items by number from 0 on, got the str 'volumes'"),
        ({"a": {"train": [1]}}, "the data set of 'a' is map-style, .* got the dict {'train'"),
        ({"a": {1, 2}}, "the data set of 'a' is map-style, .* got the set {1, 2}"),
        ({"a": [1], 3: [2]}, "has the names of domains as its keys, got 3"),
    ],
)
def test_what_is_no_data_set_is_refused_by_name(source, message):
    with pytest.raises(InvalidArgument, match=message):
        MixtureDataset(source, Mixture({"a": 1.0}))

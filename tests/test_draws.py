from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from mixio.draws import augmentation_seed, flip_of, key_of, mix64, permute, permute_many, volume_of

keys = st.integers(0, 2**64 - 1)
seeds = st.integers(-(2**70), 2**70)


@given(st.integers(1, 600), keys)
def test_permute_is_a_bijection(size, key):
    assert sorted(permute(index, size, key) for index in range(size)) == list(range(size))


@given(st.integers(1, 2**60), keys, st.data())
def test_permute_stays_inside_any_size(size, key, data):
    assert 0 <= permute(data.draw(st.integers(0, size - 1)), size, key) < size


@given(st.integers(1, 600), st.lists(keys, min_size=1, max_size=3))
def test_many_orders_at_once_are_what_each_is_alone(size, keys):
    orders = permute_many(size, np.array(keys, np.uint64))
    assert orders.tolist() == [[permute(index, size, key) for index in range(size)] for key in keys]


@pytest.mark.parametrize("size", [3, 5, 17, 64, 257, 1000])
def test_neighbors_come_next_to_each_other_no_more_often_than_by_chance(size):
    passes = 400_000 // size
    orders = permute_many(size, np.random.default_rng(size).integers(0, 2**64, passes, dtype=np.uint64))
    found, tries, chance = (np.diff(orders, axis=1) == 1).sum(), passes * (size - 1), 1 / size
    assert abs(found - tries * chance) < 5 * np.sqrt(tries * chance * (1 - chance))


def test_all_orders_of_four_occur_and_none_is_rare():
    orders = Counter(tuple(permute(index, 4, mix64(key)) for index in range(4)) for key in range(24_000))
    assert len(orders) == 24
    assert 650 < min(orders.values()) <= max(orders.values()) < 1350


def test_every_place_of_a_window_is_equally_likely_for_every_member():
    counts = np.zeros((64, 64))
    for key in range(3_000):
        for index in range(64):
            counts[index, permute(index, 64, mix64(key))] += 1
    assert chisquare(counts.ravel()).pvalue > 1e-3


def test_mix64_is_the_first_output_of_splitmix64():
    # The reference implementation's sequence for the state 1234567 (https://rosettacode.org/wiki/SplitMix64).
    golden = 0x9E3779B97F4A7C15
    assert mix64(1234567) == 6457827717110365317
    assert mix64(1234567 + golden) == 3203168211198807973


def test_streams_differ_by_seed_purpose_domain_and_counter():
    base = ("a", "corner", "x", 1)
    keys = {key_of(0, *base[1:]), key_of(1, *base[1:]), key_of(0, "volume", "x", 1)}
    keys |= {key_of(0, "corner", "y", 1), key_of(0, "corner", "x", 2), key_of(0, "corner", "1/x", 1)}
    assert len(keys) == 6


@given(seeds, st.integers(1, 200), st.integers(0, 10**9))
def test_each_pass_reads_every_volume_once(seed, volumes, number):
    draws = range(number * volumes, (number + 1) * volumes)
    assert sorted(volume_of(seed, "ct", n, volumes) for n in draws) == list(range(volumes))


@given(seeds, st.integers(1, 50), st.integers(0, 10**9), st.integers(0, 200))
def test_what_comes_later_is_what_the_draws_after_it_read_round_the_pass(seed, volumes, number, later):
    first, position = number * volumes, later % volumes
    assert volume_of(seed, "ct", first, volumes, later=later) == volume_of(seed, "ct", first + position, volumes)
    last = first + volumes - 1
    assert volume_of(seed, "ct", last, volumes, later=1) == volume_of(seed, "ct", first, volumes)


@given(st.integers(0, 10_000), st.integers(8, 200))
def test_neighboring_passes_go_in_different_orders(seed, volumes):
    first, second = (
        [volume_of(seed, "ct", number * volumes + i, volumes) for i in range(volumes)] for number in (0, 1)
    )
    assert first != second


@pytest.mark.parametrize("n", [0, 10**12])
def test_augmentation_seeds_suit_every_generator(n):
    seed = augmentation_seed(0, "ct", n)
    np.random.RandomState(seed)
    assert seed != augmentation_seed(0, "ct", n + 1)
    assert seed != augmentation_seed(1, "ct", n)


@given(seeds, st.integers(0, 10**15), st.sets(st.integers(0, 2)))
def test_flips_are_along_the_axes_asked_for_and_do_not_depend_on_them(seed, n, axes):
    every = flip_of(seed, "ct", n, (0, 1, 2))
    assert flip_of(seed, "ct", n, tuple(axes)) == tuple(flipped and axis in axes for axis, flipped in enumerate(every))


def test_all_eight_flips_are_equally_likely():
    counts = Counter(flip_of(0, "ct", n, (0, 1, 2)) for n in range(80_000))
    assert len(counts) == 8
    assert chisquare(list(counts.values())).pvalue > 1e-3

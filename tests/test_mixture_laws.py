"""What the mathematics promises, against closed forms: uniform choices, independent streams, bounded counts.

Seeds are fixed. A p-value below `ALARM`, or above 1 - `ALARM`, fails: a fair generator gives such a one less than once
in a million tries. A million draws are made with NumPy, by code that is first compared with the library's.
"""

import math
from fractions import Fraction
from functools import lru_cache
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

from mixio.corners import CANDIDATES, Foreground, Lattice, corner_of
from mixio.draws import GOLDEN, flip_of, key_of, mix64, permute_many, volume_of
from mixio.mixture import Mixture

ALARM = 1e-7
DRAWS = 10**6
SHARES = {
    "abdomen-ct": 0.563,
    "abdomen-mr": 0.025,
    "brain-t1": 0.337,
    "brain-t2": 0.025,
    "neck-ct": 0.025,
    "pet": 0.025,
}


@lru_cache
def streams(purpose, count=DRAWS, seed=5, domain="ct"):
    """The keys of so many draws."""
    return np.fromiter((key_of(seed, purpose, domain, n) for n in range(count)), np.uint64, count)


def mixed(values):
    """`mix64` of an array."""
    values = values + np.uint64(GOLDEN)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    return values ^ (values >> np.uint64(31))


def places(counts, draws=DRAWS):
    """Where on each axis of a lattice the draws' corners lie, (draws, 3); up to 2^32 places along an axis."""
    found = []
    for axis, count in enumerate(counts):
        values = mixed(streams("corner", draws) + np.uint64(axis * GOLDEN % 2**64))
        low = (values & np.uint64(2**32 - 1)) * np.uint64(count) >> np.uint64(32)
        found.append(((values >> np.uint64(32)) * np.uint64(count) + low) >> np.uint64(32))
    return np.stack(found, 1).astype(np.int64)


def orders(size, passes):
    """The place in the order of the domain that each draw of each pass has, (passes, size)."""
    return permute_many(size, streams("volume", passes))


def counted(*columns):
    """How often each combination of values of these columns occurs."""
    sizes = [int(column.max()) + 1 for column in columns]
    return np.bincount(np.ravel_multi_index(columns, sizes), minlength=math.prod(sizes)).reshape(sizes)


def assert_fair(p):
    assert ALARM < p < 1 - ALARM


def assert_uniform(counts):
    assert_fair(chisquare(np.ravel(counts)).pvalue)


def assert_independent(table):
    assert_fair(chi2_contingency(table, correction=False).pvalue)


def assert_rows_uniform(table):
    """Each row is a sample of its own; rows of permutations depend on one another."""
    p = chisquare(table, axis=1).pvalue
    assert ALARM / len(p) < p.min()
    assert p.max() < 1 - ALARM / len(p)


def test_the_code_of_these_tests_draws_what_the_library_draws():
    assert mixed(np.array([0, 1, 2**64 - 1], np.uint64)).tolist() == [mix64(0), mix64(1), mix64(2**64 - 1)]
    lattice = Lattice((320, 24, 20), (96, 16, 16))
    corners = [corner_of(key_of(5, "corner", "ct", n), lattice) for n in range(500)]
    assert places(lattice.counts, 500).tolist() == [list(corner) for corner in corners]
    for size in (1, 2, 3, 7, 12, 64, 101, 300):
        drawn = [volume_of(5, "ct", n, size) for n in range(20 * size)]
        assert orders(size, 20).ravel().tolist() == drawn
    flips = [flip_of(5, "ct", n, (0, 1, 2)) for n in range(500)]
    assert (streams("flip", 500)[:, None] >> np.arange(3, dtype=np.uint64) & np.uint64(1)).tolist() == [
        [int(flipped) for flipped in flip] for flip in flips
    ]


@pytest.mark.slow
def test_every_corner_of_a_small_lattice_is_equally_likely():
    assert_uniform(counted(*places((11, 9, 5)).T))


@pytest.mark.slow
@pytest.mark.parametrize("axes", [(0,), (1,), (2,), *combinations(range(3), 2)])
def test_every_place_on_an_axis_and_on_two_is_equally_likely_in_a_large_one(axes):
    assert_uniform(counted(*places((225, 225, 161))[:, axes].T))


@pytest.mark.slow
@pytest.mark.parametrize("distance", [1, 2, 64])
def test_corners_of_two_draws_are_independent(distance):
    x, y, z = places((6, 6, 6)).T
    for one, other in product((x, y, z), repeat=2):
        assert_independent(counted(one[:-distance], other[distance:]))


@pytest.mark.slow
def test_corners_with_foreground_have_the_probabilities_of_sixteen_tries_and_a_choice():
    occupancy = (np.random.default_rng(0).random((5, 5, 4)) < 0.5).astype(np.uint8) * 255
    lattice, draws = Lattice((40, 36, 30), (16, 16, 16), (4, 4, 4)), 10_000
    foreground = Foreground(occupancy, lattice, 0.6)

    def fitting(of):
        corners = {of.corner(place) for place in product(*map(range, of.counts))}
        return {corner for corner in corners if occupancy[of.cells(corner)].mean() / 255 >= 0.6}

    every, coarse = fitting(lattice), fitting(lattice.coarse())
    none_hits = (1 - len(every) / math.prod(lattice.counts)) ** CANDIDATES
    expected = {c: (1 - none_hits) / len(every) + none_hits * (c in coarse) / len(coarse) for c in every}
    found = [corner_of(key_of(5, "corner", "ct", n), lattice, foreground) for n in range(draws)]
    assert set(found) <= every
    assert_fair(chisquare([found.count(c) for c in every], [draws * expected[c] for c in every]).pvalue)


def places_of_volumes(size):
    """How often each volume came at each place of a pass, in a million draws."""
    drawn = orders(size, DRAWS // size)
    return counted(drawn.ravel(), np.broadcast_to(np.arange(size), drawn.shape).ravel())


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3, 4, 5, 8, 11, 12, 17, 64, 100, 257, 300])
def test_every_volume_is_equally_likely_at_each_place_of_a_pass(size):
    assert_rows_uniform(places_of_volumes(size))


@pytest.mark.slow
@pytest.mark.parametrize("size", [3, 5, 17, 64, 257])
def test_the_step_from_one_volume_of_a_pass_to_the_next_may_be_any(size):
    steps = np.diff(orders(size, DRAWS // size), axis=1).ravel()
    due = [size - abs(step) for step in range(1 - size, size) if step]  # pairs of volumes that are a step apart
    found = np.array([(steps == step).sum() for step in range(1 - size, size) if step])
    assert_fair(chisquare(found, np.array(due) * len(steps) / sum(due)).pvalue)


@pytest.mark.slow
@pytest.mark.parametrize("size", [3, 4, 5, 12, 100])
@pytest.mark.parametrize("distance", [1, 2])
def test_the_place_of_a_volume_in_one_pass_says_nothing_of_that_in_another(size, distance):
    where = orders(size, DRAWS // size).argsort(1)  # place of each volume in each pass
    for volume in range(0, size, 7):
        assert_independent(counted(where[:-distance, volume], where[distance:, volume]))


@pytest.mark.slow
def test_orders_of_neighboring_passes_are_independent():
    drawn = orders(4, DRAWS // 4)
    order = np.unique(drawn @ 4 ** np.arange(4), return_inverse=True)[1]
    assert order.max() == 23
    assert_independent(counted(order[::2], order[1::2]))


@pytest.mark.slow
def test_all_eight_flips_are_equally_likely_and_independent_of_corner_order_and_each_other():
    flips = (streams("flip") & np.uint64(7)).astype(np.int64)
    assert_uniform(counted(flips))
    assert_uniform(counted(flips, *places((4, 4, 4)).T))
    assert_uniform(counted(flips, orders(8, DRAWS // 8).ravel()))
    assert_uniform(counted(flips[::2], flips[1::2]))


@pytest.mark.slow
def test_the_choices_of_seeds_domains_and_purposes_are_uncorrelated():
    kinds = product((0, 1, 2**63), ("ct", "ct1", "mr"), ("corner", "volume", "flip", "augmentation", "window"))
    count = DRAWS // 45
    values = np.stack([streams(purpose, count, seed, domain) for seed, domain, purpose in kinds]) / 2.0**64 - 0.5
    for later in range(3):
        ahead, behind = values[:, later:], values[:, : count - later]
        scores = 12 * ahead @ behind.T / math.sqrt(count - later)  # normal with deviation 1 off the diagonal
        scores -= np.diag(np.diag(scores)) if later == 0 else 0
        assert np.abs(scores).max() < 6.5  # of 6,000 normal numbers, one in 2,000,000 times


@lru_cache
def drawn(draws=64 * 4000):
    """The number of the domain of each draw of a mixture, and of the flip of each."""
    mixture = Mixture(SHARES, seed=5)
    located = [mixture.locate(g) for g in range(draws)]
    flips = [key_of(5, "flip", domain, n) & 7 for domain, n in located]
    return np.array([mixture.domains.index(domain) for domain, _ in located]), np.array(flips)


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3, 8, 64])
@pytest.mark.parametrize("batch", [1, 4])
def test_every_rank_has_its_share_of_each_domain_to_within_four_standard_errors(world, batch):
    domains = drawn()[0]
    steps = len(domains) // (world * batch)
    ranks = domains[: steps * world * batch].reshape(steps, world, batch).swapaxes(0, 1).reshape(world, -1)
    for number, share in enumerate(SHARES.values()):
        error = math.sqrt(share * (1 - share) / ranks.shape[1])
        assert np.abs((ranks == number).mean(1) - share).max() < 4 * error


@pytest.mark.slow
def test_flips_do_not_depend_on_the_domain():
    assert_independent(counted(*drawn()))


@st.composite
def many_shares(draw):
    """Up to 1,000 domains of any proportions, some of share 0 and some of 10^-6."""
    count, seed = draw(st.integers(1, 1000)), draw(st.integers(0, 2**32))
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet([draw(st.sampled_from([0.05, 0.3, 1, 30]))] * count)
    kinds = rng.random(count)
    weights[kinds < 0.1] = 0
    weights[kinds > 0.9] = 1e-6
    weights[0] += 1e-3
    return {f"d{i:03}": float(weight) for i, weight in enumerate(weights / weights.sum())}


def levels(shares):
    return math.ceil(math.log2(sum(map(bool, shares.values()))))


@pytest.mark.slow
@settings(max_examples=40)
@given(many_shares(), st.integers(1, 300), st.integers(0, 10**9))
def test_up_to_a_thousand_domains_are_within_half_the_levels_at_every_window_end(shares, window, end):
    n = end * window
    counts, total = Mixture(shares, window=window).counts(n), sum(map(Fraction, shares.values()))
    off = [abs(counts[domain] - n * Fraction(share) / total) for domain, share in shares.items()]
    assert sum(counts.values()) == n
    assert max(off) <= Fraction(levels(shares), 2) + n * Fraction(1, 2**60)
    assert all(counts[domain] == 0 for domain, share in shares.items() if not share)


@pytest.mark.slow
@settings(max_examples=40)
@given(many_shares(), st.integers(0, 2**63), st.integers(0, 10**12))
def test_a_window_holds_of_each_domain_its_due_to_within_the_levels_whatever_the_seed(shares, seed, number):
    mixture = Mixture(shares, seed=seed)
    before, after = mixture.counts(number * 64), mixture.counts(number * 64 + 64)
    held = {domain: after[domain] - before[domain] for domain in shares}
    found = [mixture.locate(g)[0] for g in range(number * 64, number * 64 + 64)]
    assert all(found.count(domain) == count for domain, count in held.items())
    assert all(abs(held[domain] - 64 * share) <= levels(shares) + 1e-6 for domain, share in shares.items())

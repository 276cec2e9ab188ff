import pickle
from collections import Counter
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from mixio.corners import KEPT, CornerRule, Foreground, Lattice, corner_of
from mixio.draws import key_of
from mixio.errors import InvalidArgument

keys = st.integers(0, 2**64 - 1)
sizes = st.tuples(*[st.integers(1, 40)] * 3)


def corners_of(lattice):
    return [lattice.corner(place) for place in product(*map(range, lattice.counts))]


def share_of(mask, corner, size):
    """Foreground of the cells that a patch touches, voxel by voxel."""
    low = [max(c, 0) // 8 * 8 for c in corner]
    high = [-(-min(c + s, n) // 8) * 8 for c, s, n in zip(corner, size, mask.shape, strict=True)]
    return mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].mean()


def grid_of(mask):
    """The occupancy grid of a mask whose shape is a multiple of 8 and whose cells are full or empty."""
    return mask[::8, ::8, ::8].astype(np.uint8) * 255


@st.composite
def grids(draw):
    """A shape, a patch of at most 24 voxels a side, a step no longer than it, and cells that are full or empty."""
    cells = draw(st.tuples(*[st.integers(1, 6)] * 3))
    size = draw(st.tuples(*[st.integers(1, 24)] * 3))
    step = tuple(draw(st.integers(1, edge)) for edge in size)
    seed, full = draw(st.integers(0, 2**32)), draw(st.sampled_from([0.02, 0.3]))
    mask = (np.random.default_rng(seed).random(cells) < full).repeat(8, 0).repeat(8, 1).repeat(8, 2)
    return mask, size, step


@given(keys, sizes, sizes)
def test_a_patch_lies_in_its_volume_or_the_volume_lies_centered_in_it(stream, shape, size):
    for corner, voxels, patch in zip(corner_of(stream, Lattice(shape, size)), shape, size, strict=True):
        before, after = -corner, corner + patch - voxels
        assert (before <= 0 and after <= 0) or (before >= 0 and after - before in (0, 1))


def test_every_corner_is_equally_likely():
    counts = np.zeros((10, 5, 1))
    for n in range(20_000):
        counts[corner_of(key_of(0, "corner", "ct", n), Lattice((20, 14, 10), (11, 10, 10)))] += 1
    assert chisquare(counts.ravel()).pvalue > 1e-3


def test_every_aligned_corner_is_equally_likely():
    lattice = Lattice((20, 14, 10), (11, 10, 10), (4, 4, 4))
    counts = Counter(corner_of(key_of(0, "corner", "ct", n), lattice) for n in range(20_000))
    assert set(counts) == set(product((0, 4, 8, 9), (0, 4), (0,)))
    assert chisquare(list(counts.values())).pvalue > 1e-3


def test_corners_anywhere_are_those_of_the_versions_before_alignment():
    # What corner_of of mixio 0.1.0 gave for the draws 0, 1 and 10**12 of "ct" under seed 7.
    lattice = Lattice((320, 320, 256), (96, 96, 96))
    found = [corner_of(key_of(7, "corner", "ct", n), lattice) for n in (0, 1, 10**12)]
    assert found == [(5, 8, 16), (142, 216, 19), (121, 143, 28)]


@given(grids(), keys)
def test_an_aligned_corner_is_a_multiple_or_the_last_or_centered(case, stream):
    mask, size, step = case
    corner = corner_of(stream, Lattice(mask.shape, size, step))
    for c, n, p, s in zip(corner, mask.shape, size, step, strict=True):
        assert (c >= 0 and c % s == 0) or c == n - p or (n < p and c == -((p - n) // 2))
        assert c <= max(n - p, 0)


@given(grids())
def test_every_voxel_can_be_seen_whatever_the_alignment(case):
    mask, size, step = case
    seen = np.zeros(mask.shape, bool)
    for corner in corners_of(Lattice(mask.shape, size, step)):
        seen[tuple(slice(max(c, 0), c + s) for c, s in zip(corner, size, strict=True))] = True
    assert seen.all()


@pytest.mark.parametrize(
    ("step", "count"), [((1, 1, 1), 8_150_625), ((8, 8, 8), 17_661), ((32, 32, 32), 384), ((48, 48, 48), 180)]
)
def test_the_variety_that_alignment_leaves(step, count):
    lattice = Lattice((320, 320, 256), (96, 96, 96), step)
    assert np.prod(lattice.counts) == count
    if count < 1000:
        assert len(set(corners_of(lattice))) == count


@given(grids(), keys, st.floats(0.01, 1))
def test_the_share_is_reached_wherever_some_place_a_cell_apart_has_it(case, stream, share):
    mask, size, step = case
    lattice = Lattice(mask.shape, size, step)
    corner = corner_of(stream, lattice, Foreground(grid_of(mask), lattice, share))
    best = max(share_of(mask, place, size) for place in corners_of(lattice.coarse()))
    assert corner in corners_of(lattice)
    assert share_of(mask, corner, size) >= min(share, best) - 1e-12


@given(grids())
def test_places_a_cell_apart_are_corners_of_the_lattice(case):
    mask, size, step = case
    lattice = Lattice(mask.shape, size, step)
    assert set(corners_of(lattice.coarse())) <= set(corners_of(lattice))
    assert all(s <= max(8, own) for s, own in zip(lattice.coarse().step, step, strict=True))


def test_rare_places_with_foreground_are_found_and_all_alike():
    mask = np.zeros((256, 256, 256), bool)
    mask[40:48, 200:208, 96:104] = True  # one cell of 32,768
    lattice = Lattice(mask.shape, (16, 16, 16))
    foreground = Foreground(grid_of(mask), lattice, 1 / 8)
    found = Counter(corner_of(key_of(0, "corner", "ct", n), lattice, foreground) for n in range(4000))
    aligned = set(product((32, 40), (192, 200), (88, 96)))
    assert aligned <= set(found)
    assert chisquare([found[corner] for corner in sorted(aligned)]).pvalue > 1e-3
    assert sum(found.values()) - sum(found[corner] for corner in aligned) < 40  # those that a try hit


def test_a_share_that_no_patch_has_gives_the_best_there_is():
    mask = np.zeros((64, 64, 64), bool)
    mask[:, 56:, :8] = True
    lattice = Lattice(mask.shape, (32, 32, 32), (32, 32, 32))
    for n in range(50):
        x, y, z = corner_of(key_of(0, "corner", "ct", n), lattice, Foreground(grid_of(mask), lattice, 0.9))
        assert (y, z) == (32, 0)
        assert x in (0, 32)


@given(keys)
def test_with_foreground_asked_for_the_first_corner_that_has_it_is_taken(stream):
    occupancy = np.zeros((8, 8, 8), np.uint8)
    occupancy[:4] = 255  # the left half of a 64^3 volume
    lattice = Lattice((64, 64, 64), (16, 16, 16))
    x, _, _ = corner_of(stream, lattice, Foreground(occupancy, lattice, 0.5))
    plain = corner_of(stream, lattice)
    assert x <= 24
    assert x == plain[0] or plain[0] > 16


def test_without_any_foreground_the_first_corner_is_taken():
    lattice = Lattice((64, 64, 64), (16, 16, 16))
    empty = Foreground(np.zeros((8, 8, 8), np.uint8), lattice, 0.2)
    assert corner_of(7, lattice, empty) == corner_of(7, lattice)


@given(keys)
def test_foreground_is_estimated_for_padded_patches_too(stream):
    occupancy = np.zeros((2, 4, 1), np.uint8)
    occupancy[0, 2:] = 255  # where x < 8 and y >= 16
    lattice = Lattice((10, 32, 8), (24, 8, 8))
    x, y, _ = corner_of(stream, lattice, Foreground(occupancy, lattice, 0.2))
    assert x == -7
    assert y > 8


def row_of(name, shape, chunk=(48, 48, 48)):
    return SimpleNamespace(name=name, shape=shape, chunk=chunk)


def test_aligned_to_chunks_each_volume_has_steps_of_its_own():
    rule = CornerRule((24, 24, 24), "chunk")
    for chunk, places in (((16, 16, 20), (0, 16, 32, 40)), ((48, 16, 20), (0, 24, 40))):
        rows = row_of("ct/a", (64, 64, 64), chunk)
        corners = {rule.corner(key_of(0, "corner", "ct", n), rows, None) for n in range(500)}
        assert {x for x, _, _ in corners} == set(places)
        assert {z for _, _, z in corners} == {0, 20, 40}


def test_a_rule_asks_once_for_the_foreground_of_a_volume_and_forgets_in_the_end():
    asked = []

    def occupancy(name):
        asked.append(name)
        return np.full((8, 8, 8), 255, np.uint8)

    rule = CornerRule((16, 16, 16), None, 0.5)
    names = [f"ct/{n}" for n in range(KEPT + 1)]
    for name in [*names[:KEPT], *names[:KEPT], names[KEPT], names[0]]:
        rule.corner(7, row_of(name, (64, 64, 64)), occupancy)
    assert asked == [*names, names[0]]


def test_a_rule_survives_pickling_without_what_it_remembers():
    rule = CornerRule((16, 16, 16), (4, 8, 16), 0.5)
    bare = len(pickle.dumps(rule))
    rule.corner(7, row_of("ct/a", (64, 64, 64)), lambda name: np.zeros((8, 8, 8), np.uint8))
    assert len(pickle.dumps(rule)) == bare
    copy = pickle.loads(pickle.dumps(rule))
    assert (copy.size, copy.align, copy.foreground) == (rule.size, (4, 8, 16), 0.5)


@pytest.mark.parametrize(
    ("align", "recorded"), [(None, None), (1, None), (8, [8, 8, 8]), ((1, 2, 3), [1, 2, 3]), ("chunk", "chunk")]
)
def test_what_alignment_is_recorded_as(align, recorded):
    assert CornerRule((16, 16, 16), align).recorded == recorded


@pytest.mark.parametrize("align", [0, -1, 17, (8, 8), (8, 8, 32), "chunks", (8, 8, 8.0)])
def test_alignments_that_would_leave_out_voxels_are_refused(align):
    with pytest.raises(InvalidArgument, match='align must be "chunk", or one or three numbers of voxels from 1'):
        CornerRule((16, 16, 16), align)

"""Deviation, waits and standard errors against sequences that can be counted by hand, and the tables made of them."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.mixers.deviation import guaranteed, longest_gap, standard_errors, window_deviations
from benchmarks.mixers.picture import apart
from benchmarks.mixers.tables import deviations, elastics
from benchmarks.mixers.trial import state_bytes
from mixio.mixture import Mixture

SHARES = (Fraction(1, 2), Fraction(1, 3), Fraction(1, 6))


@given(st.lists(st.integers(0, 2), min_size=1, max_size=60), st.integers(1, 9))
def test_deviations_are_those_of_counting_every_prefix(domains: list[int], window: int) -> None:
    ends, off = window_deviations(np.array(domains), [float(share) for share in SHARES], window)
    assert ends.tolist() == list(range(window, len(domains) + 1, window))
    for n, largest in zip(ends.tolist(), off.tolist(), strict=True):
        counts = Counter(domains[:n])
        assert largest == pytest.approx(max(abs(counts[d] - n * share) for d, share in enumerate(SHARES)))


def test_two_halves_that_come_one_after_the_other_are_half_of_them_off() -> None:
    ends, off = window_deviations(np.array([0] * 4 + [1] * 4), (0.5, 0.5), window=4)
    assert (ends.tolist(), off.tolist()) == ([4, 8], [2.0, 0.0])


@pytest.mark.parametrize(("size", "bound"), [(1, 0), (2, 0.5), (3, 1), (4, 1), (6, 1.5), (64, 3), (65, 3.5)])
def test_the_bound_is_half_a_draw_for_each_level_of_the_tree(size: int, bound: float) -> None:
    assert guaranteed(size) == bound
    shares = dict.fromkeys(map(str, range(size)), 1 / size)
    mixture = Mixture(shares)
    assert all(abs(count - 64 * 7 / size) <= bound for count in mixture.counts(64 * 7).values())


def test_the_longest_gap_is_the_largest_step_between_two_draws_of_a_domain() -> None:
    assert longest_gap(np.array([1, 0, 0, 1, 1, 1, 0, 1]), 0) == 4


@pytest.mark.parametrize(("domains", "gap"), [([1, 1, 1, 0], 4), ([0, 1, 1, 1], 4), ([1, 1, 1, 1], 5)])
def test_waits_at_both_ends_count(domains: list[int], gap: int) -> None:
    assert longest_gap(np.array(domains), 0) == gap


def test_ten_draws_too_many_of_a_hundred_are_two_standard_errors() -> None:
    even, uneven = [0, 1] * 50, [0] * 60 + [1] * 40
    assert standard_errors(np.array([even, uneven]), (0.5, 0.5)) == pytest.approx(2)


def test_domains_of_few_draws_do_not_count() -> None:
    domains = np.array([[0] * 95 + [1] * 5])
    assert standard_errors(domains, (0.99, 0.01)) == pytest.approx(4 / 0.99**0.5)
    assert standard_errors(np.array([[0, 0, 1, 1]]), (0.5, 0.25, 0.25), least=2) == 0


def test_names_are_moved_apart_around_their_middle_and_no_further() -> None:
    assert apart([0.0, 0.0, 1.0], least=0.5) == [-0.25, 0.25, 1.0]
    moved = apart([0.0, 0.05, 0.1, 3.0], least=0.1)
    assert moved == pytest.approx([-0.05, 0.05, 0.15, 3.0])


def test_what_json_has_no_form_for_counts_in_base64() -> None:
    assert state_bytes({"n": 12}) == len('{"n": 12}')
    assert state_bytes(torch.zeros(300, dtype=torch.uint8)) == 400 + 2
    assert state_bytes(b"\0" * 300) == 400 + 2


def test_a_refusal_is_told_once_in_its_own_words() -> None:
    ours = {"same": {"goes on": True}, "other": {"goes on": False}}
    lines = elastics({"ours": ours, "theirs": {"refused": "no state"}})
    assert [line.split() for line in lines[2:4]] == [["ours", "yes", "no"], ["theirs", "refused", "refused"]]
    assert lines[4:] == ["theirs: refused: no state"]


def test_the_number_of_draws_is_told_where_it_is_smaller() -> None:
    lines = deviations(
        {"ours": {"six": {"largest": 1.5, "draws": 10**6}}, "theirs": {"six": {"largest": 81, "draws": 640}}}
    )
    assert [line.split() for line in lines[2:]] == [["ours", "1.5", "-", "-"], ["theirs", "81", "(n=640)", "-", "-"]]

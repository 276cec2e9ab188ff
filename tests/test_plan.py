"""Intervals of shares and gains, where it is known what they must be."""

from dataclasses import replace

import numpy as np
import pytest

from tests.truths import planted
from tools.laws import Samples
from tools.plan import gain, share_intervals
from tools.solve import solve, terms_of

BUDGET = 8192
TRUTH = planted(0)
CERTAIN = replace(TRUTH, samples=Samples(np.stack([TRUTH.local] * 3), np.empty((3, 0))))
"""Laws whose bootstrap always finds the same."""


def test_a_bootstrap_without_doubt_gives_the_plan_itself() -> None:
    best, terms = solve(CERTAIN, BUDGET), terms_of(CERTAIN)
    intervals = share_intervals(CERTAIN, BUDGET, terms)
    assert intervals is not None
    for domain, share in best.shares.items():
        assert intervals[domain] == pytest.approx([share, share], abs=1e-6)
    told = gain(CERTAIN, CERTAIN.array(best.shares), np.full(6, 1 / 6), BUDGET, terms)
    expected = 1 - best.objective / best.uniform_objective
    assert (told.value, told.low, told.high) == pytest.approx((expected, expected, expected))


def test_without_a_bootstrap_there_are_no_intervals() -> None:
    terms = terms_of(TRUTH)
    assert share_intervals(TRUTH, BUDGET, terms) is None
    told = gain(TRUTH, np.full(6, 1 / 6), np.eye(6)[0], BUDGET, terms)
    assert (told.low, told.high) == (None, None)

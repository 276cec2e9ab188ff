import numpy as np
import pytest
from scipy.stats import ttest_rel

from tools.paired import bootstrap, by_seed, interval, paired, summary

FIRST, SECOND = [0.70, 0.72, 0.69], [0.74, 0.73, 0.75]


def test_the_interval_over_seeds_is_that_of_the_paired_t_test():
    found = paired("dice", FIRST, SECOND)
    theirs = ttest_rel(SECOND, FIRST).confidence_interval(0.95)
    assert found.over_seeds == pytest.approx((theirs.low, theirs.high))
    assert found.difference == pytest.approx(0.11 / 3)
    assert found.over_subjects is None


def test_one_seed_has_no_spread_and_no_interval():
    found = paired("dice", [0.7], [0.8])
    assert (found.over_seeds, found.arms[0].deviation) == (None, None)
    assert interval(np.array([1.0])) is None


def test_mean_and_deviation_are_those_of_a_sample():
    arm = summary([1.0, 2.0, 3.0])
    assert (arm.mean, arm.deviation) == (2.0, 1.0)


def test_the_interval_over_many_subjects_is_near_the_normal_one():
    values = np.random.default_rng(1).normal(0.1, 1, 400)
    low, high = bootstrap(values, [str(n) for n in range(400)])
    reach = 1.96 * values.std(ddof=1) / 20
    assert (low, high) == pytest.approx((values.mean() - reach, values.mean() + reach), abs=0.02)


def test_scans_of_one_subject_are_drawn_together():
    values = np.repeat(np.random.default_rng(2).normal(0, 1, 20), 10)
    apart = bootstrap(values, [str(n) for n in range(200)])
    together = bootstrap(values, [str(n // 10) for n in range(200)])
    assert together[1] - together[0] > 2.5 * (apart[1] - apart[0])  # sqrt(10) in the limit


def test_cases_that_are_not_defined_are_left_out_of_the_subjects():
    cases = np.array([[1.0, np.nan, 3.0]]), np.array([[2.0, 5.0, 4.0]])
    assert paired("hd95", [2.0], [3.0], cases=cases, subjects=["a", "b", "c"]).over_subjects == (1.0, 1.0)
    assert bootstrap(np.array([1.0, np.nan]), ["a", "b"]) is None


def test_a_metric_that_a_run_lacks_is_not_compared():
    assert by_seed([{"hd95": 1.0}, {"hd95": None}], "hd95") is None
    assert by_seed([{"hd95": 1.0}, {"hd95": 0.0}], "hd95") == [1.0, 0.0]

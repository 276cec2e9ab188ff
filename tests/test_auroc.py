import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, norm

from mixio.errors import InvalidArgument
from tools.auroc import auroc, one_against_rest

SCORES = st.lists(st.integers(0, 9), min_size=2, max_size=12)


@given(SCORES, SCORES)
def test_the_area_is_mann_and_whitneys_share_of_pairs(high, low):
    area, _ = auroc([*high, *low], [1] * len(high) + [0] * len(low))
    assert area == pytest.approx(mannwhitneyu(high, low).statistic / (len(high) * len(low)))


def test_the_interval_is_delongs_by_pairs_on_the_logit_scale():
    rng = np.random.default_rng(0)
    high, low = rng.normal(1, 1, 30), rng.normal(0, 1, 40)
    area, interval = auroc([*high, *low], [1] * 30 + [0] * 40)
    wins = (high[:, None] > low).astype(float)  # the kernel of DeLong et al., equation 1
    variance = wins.mean(1).var(ddof=1) / 30 + wins.mean(0).var(ddof=1) / 40
    logit = np.log(area / (1 - area)) + norm.ppf([0.025, 0.975]) * np.sqrt(variance) / (area * (1 - area))
    assert interval == pytest.approx(1 / (1 + np.exp(-logit)))


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    truth, hits = norm.cdf(1 / np.sqrt(2)), 0  # of two normals one deviation apart
    for seed in range(400):
        rng = np.random.default_rng(seed)
        _, (low, high) = auroc([*rng.normal(1, 1, 40), *rng.normal(0, 1, 40)], [1] * 40 + [0] * 40)
        hits += low <= truth <= high
    assert 0.92 <= hits / 400 <= 0.98


def test_without_a_wrongly_ordered_pair_there_is_no_interval():
    assert auroc([1, 2, 3, 4], [0, 0, 1, 1]) == (1.0, None)
    assert auroc([1, 2, 3, 4], [1, 1, 0, 0]) == (0.0, None)


@pytest.mark.parametrize("of", [0, 1])
def test_one_class_only_is_refused(of):
    with pytest.raises(
        InvalidArgument, match=r"cases of both classes, got \d positive and \d negative; choose another"
    ):
        auroc([0.1, 0.2, 0.3], [of] * 3)


def test_more_than_two_classes_are_told_one_against_the_rest():
    chances = np.eye(3)[[0, 1, 2, 0, 1, 2]] * 0.5 + 0.1
    assert [area for area, _ in one_against_rest(chances, [0, 1, 2, 0, 1, 2])] == [1.0, 1.0, 1.0]
    assert len(one_against_rest(chances[:, :2], [0, 1, 1, 0, 1, 1])) == 1

"""Predicted beside measured losses, against numbers that are known in closed form."""

from dataclasses import replace

import numpy as np
import pytest

from tests.truths import planted, runs_under
from tools.calibration import LEVELS, Outcomes, coverage, noise_of, outcomes, places
from tools.laws import Laws, Samples

TRUTH = planted(0)


def certain(noise: float) -> Laws:
    """The truth, with a bootstrap that always finds it, and the noise that it claims."""
    told = {name: replace(law, diagnostics={"n": 10**6, "noise": noise}) for name, law in TRUTH.targets.items()}
    return replace(TRUTH, targets=told, samples=Samples(np.stack([TRUTH.local] * 3), np.empty((3, 0))))


def test_losses_a_tenth_too_low_have_a_tenth_of_error() -> None:
    found = Outcomes(np.array([[1.0, 2.0], [4.0, 8.0]]), np.array([[1.1, 2.2], [4.4, np.nan]]))
    assert found.residual[0].tolist() == pytest.approx([np.log(1.1)] * 2)
    assert found.error == pytest.approx(1 - 1 / 1.1)
    assert found.correlation == pytest.approx(1)


def test_what_is_explained_is_told_from_the_mean_of_each_target() -> None:
    measured = np.exp([[0.0, 5.0], [2.0, 7.0]])
    assert Outcomes(measured, measured).explained == pytest.approx(1)
    assert Outcomes(np.exp([[1.0, 6.0], [1.0, 6.0]]), measured).explained == pytest.approx(0)
    assert Outcomes(measured[:1], measured[:1]).explained is None


def test_an_exact_law_has_no_residuals() -> None:
    assert np.abs(outcomes(TRUTH, runs_under(TRUTH)).residual).max() < 1e-12


def test_noise_allows_for_what_was_fitted() -> None:
    told = {name: replace(law, diagnostics={"n": 18, "noise": 0.03}) for name, law in TRUTH.targets.items()}
    noise = noise_of(replace(TRUTH, targets=told))
    assert noise is not None
    assert noise.tolist() == pytest.approx([0.03 * 2**0.5] * 6)  # E, a, beta, d0 and five transfers leave half of 18
    assert noise_of(TRUTH) is None


def test_intervals_of_the_true_noise_hold_what_they_say() -> None:
    runs = [run for seed in range(6) for run in runs_under(TRUTH, noise=0.03, seed=seed)]
    place = places(certain(0.03), runs)
    assert place is not None
    assert coverage(place) == pytest.approx(LEVELS, abs=0.04)  # 1,944 losses: three standard errors are 0.034


@pytest.mark.parametrize(("claimed", "sense"), [(0.01, -1), (0.09, 1)])
def test_intervals_of_another_noise_do_not(claimed: float, sense: int) -> None:
    place = places(certain(claimed), runs_under(TRUTH, noise=0.03))
    assert place is not None
    assert sense * (coverage(place)[0] - 0.5) > 0.2


def test_without_a_bootstrap_or_runs_there_is_nothing_to_tell() -> None:
    assert places(replace(certain(0.03), samples=None), runs_under(TRUTH)) is None
    assert places(certain(0.03), []) is None

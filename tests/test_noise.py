from dataclasses import replace

import numpy as np
import pytest

from tests.truths import planted, runs_under
from tools.noise import noise_of
from tools.runlog import Run


def test_noise_is_the_pooled_deviation_of_log_losses_between_replicates():
    losses = [[1.0, np.e], [1.0, 1.0, np.e]]  # sums of squares 0.5 and 2/3, of 1 and 2 degrees of freedom
    runs = [
        Run(f"{group}-{seed}", seed, {"ct": 10.0 * (group + 1)}, None, {"ct": loss}, {})
        for group, each in enumerate(losses)
        for seed, loss in enumerate(each)
    ]
    noise = noise_of([*runs, Run("alone", 0, {"ct": 99.0}, None, {"ct": 5.0}, {})])
    assert (noise.groups, noise.degrees) == (2, 3)
    assert noise.deviation == pytest.approx(((0.5 + 2 / 3) / 3) ** 0.5)


def test_without_replicates_there_is_none():
    assert noise_of(runs_under(planted(0))) is None


def test_replicates_of_planted_noise_show_it():
    planned, runs = runs_under(planted(0)), []
    for number, noise in enumerate(np.random.default_rng(0).standard_normal((250, 6))):
        run = planned[number % 50]
        loss = dict(zip(run.loss, np.exp(0.05 * noise) * [*run.loss.values()], strict=True))
        runs.append(replace(run, run=f"{run.run}-{number}", loss=loss))
    assert noise_of(runs).deviation == pytest.approx(0.05, rel=0.05)

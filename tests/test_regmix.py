import csv
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from mixio.errors import FitError
from tests.conftest import RUNS
from tests.truths import DOMAINS, planted, runs_under
from tools.regmix import around, best_mixture, regression
from tools.runlog import Run

REGMIX = RUNS / "regmix"
PILE_CC = "metric/the_pile_pile_cc_val_loss"


def swarm(size, kind):
    """The public runs: shares (N, 17) and the loss of Pile-CC (N,)."""
    with open(REGMIX / f"{kind}_mixture_{size}.csv") as file:
        mixtures = {row.pop("index"): [float(cell) for cell in row.values()] for row in csv.DictReader(file)}
    with open(REGMIX / f"{kind}_pile_loss_{size}.csv") as file:
        losses = {row["index"]: float(row[PILE_CC]) for row in csv.DictReader(file)}
    return np.array(list(mixtures.values())), np.array([losses[index] for index in mixtures])


def runs_of(shares, losses):
    return [
        Run(str(place), 0, {f"{domain:02d}": share for domain, share in enumerate(row)}, None, {"cc": loss}, {})
        for place, (row, loss) in enumerate(zip(shares, losses, strict=True))
    ]


@pytest.fixture(scope="module")
def public():
    if not REGMIX.is_dir():
        pytest.skip(f"no public runs at {REGMIX}")
    return regression(runs_of(*swarm("1m", "train")))


@pytest.mark.parametrize(("size", "published"), [("1m", 99.0), ("60m", 98.6), ("1B", 96.2)])
def test_unseen_public_runs_are_ranked_as_well_as_the_repository_ranks_them(public, size, published):
    shares, losses = swarm(size, "test")
    rank = 100 * spearmanr(public.predict(shares, 1.0)[:, 0], losses).statistic
    assert rank == pytest.approx(published, abs=0.3)


def test_the_best_mixture_for_web_text_is_mostly_web_text(public):
    shares = best_mixture(public, draws=1.0, mixtures=20_000)
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=shares.get) == "11"  # the column of Pile-CC
    assert shares["11"] > 0.5


@pytest.fixture(scope="module")
def found():
    return regression(runs_under(planted(0), noise=0.01))


def test_the_mixture_is_better_than_uniform_under_the_law_that_made_the_runs(found):
    truth, shares = planted(0), best_mixture(found, mixtures=5000)
    mixed, even = (truth.predict(4096 * np.array(one)).mean() for one in ([*shares.values()], [1 / 6] * 6))
    assert mixed < even


def test_only_the_targets_that_count_are_looked_at(found):
    shares = best_mixture(found, mixtures=5000, weights={"headneck-pet": 1.0})
    assert max(shares, key=shares.get) == "headneck-pet"  # the island, which no other helps


def test_the_same_runs_give_the_same_mixture(found):
    again = regression(runs_under(planted(0), noise=0.01))
    assert best_mixture(again, mixtures=500) == best_mixture(found, mixtures=500)


def test_random_mixtures_lie_around_the_prior_and_leave_out_what_it_leaves_out():
    prior = np.array([0.6, 0.3, 0.1, 0.0])
    drawn = around(prior, 20_000, seed=0)
    assert drawn.sum(1) == pytest.approx(1)
    assert drawn.mean(0) == pytest.approx(prior, abs=0.01)
    assert not drawn[:, 3].any()


def test_runs_that_trees_cannot_be_made_of_are_refused():
    runs = runs_under(planted(0))
    with pytest.raises(FitError, match="15 runs have a loss of 'abdomen-ct', and regression needs 16"):
        regression(runs[:15])
    with pytest.raises(FitError, match="no run has a loss"):
        regression([replace(run, loss={}) for run in runs])
    with pytest.raises(FitError, match="the best 128 needs at least as many mixtures, got 64"):
        best_mixture(regression([replace(run, loss={DOMAINS[0]: run.loss[DOMAINS[0]]}) for run in runs]), mixtures=64)


def test_weights_of_what_is_no_target_are_refused(found):
    with pytest.raises(FitError, match=r"weights for \['liver'\], but the runs have the targets \['abdomen-ct'"):
        best_mixture(found, weights={"liver": 1.0})
    with pytest.raises(FitError, match="weights must be finite, not negative and not all zero"):
        best_mixture(found, weights={"brain-t1": 0.0})


def test_without_lightgbm_one_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(FitError, match=r"pip install 'mixio\[laws\]'"):
        regression(runs_under(planted(0)))

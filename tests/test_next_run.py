from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixio.errors import InvalidArgument
from tests.truths import DOMAINS, planted
from tools.designs import cost, singles_and_mixtures
from tools.fitting import fit_laws
from tools.next_run import Aim, Doubt, candidates, choose, rank
from tools.regret import optima
from tools.runlog import Run
from tools.solve import solve, terms_of

BUDGET, NOISE = 8192, 0.03


def made(truth, designs, key):
    """These runs, as the truth and noise have them."""
    rng, runs = np.random.default_rng(key), []
    for design in designs:
        draws = {name: share * design.draws for name, share in design.shares.items()}
        losses = truth.predict(truth.array(draws)) * np.exp(NOISE * rng.standard_normal(6))
        runs.append(Run(design.run, design.seed, draws, None, dict(zip(DOMAINS, losses.tolist(), strict=True)), {}))
    return runs


def first_runs(truth, seed):
    return made(truth, singles_and_mixtures(DOMAINS, [512, 1024], 6, seed=seed), [seed, 1])


@pytest.fixture(scope="module")
def laws():
    return fit_laws(first_runs(planted(0), 0), samples=80)


def aim(laws):
    return Aim(BUDGET, terms_of(laws), NOISE)


def by_chance(designs, draws, key):
    """Designs drawn at random until the next one would cost too much."""
    order = np.random.default_rng(key).permutation(len(designs))
    until = np.cumsum([designs[at].draws for at in order]) <= draws
    return [designs[at] for at in order[until]]


def regret(truth, runs):
    shares = truth.array(solve(fit_laws(runs), BUDGET).shares)
    return truth.predict(shares * BUDGET).mean() / solve(truth, BUDGET).objective - 1


def test_runs_that_were_chosen_leave_less_regret_than_as_many_draws_of_random_ones():
    chosen, random = [], []
    for seed in range(7):
        truth, runs = planted(seed), first_runs(planted(seed), seed)
        laws = fit_laws(runs, samples=50)
        offered = [design for design in candidates(laws, [1024, 4096], 8, seed=seed) if design.draws == 4096]
        advised = [one.design for one in choose(laws, offered, aim(laws), 16384).runs]
        chosen.append(regret(truth, runs + made(truth, advised, [seed, 2])))
        for trial in (3, 4):
            rivals = by_chance(offered, 16384, [seed, trial])
            assert cost(rivals) == cost(advised) == 16384
            random.append(regret(truth, runs + made(truth, rivals, [seed, trial])))
    assert np.mean(chosen) < 0.6 * np.mean(random)


@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_one_number_that_a_run_shows_narrows_as_the_normal_law_has_it(variance, told):
    # x of variance v seen as x g + noise of 1 has v / (1 + g^2 v) left; here told = g^2
    x = np.array([-1.0, 0.0, 1.0]) * np.sqrt(variance / 2)  # sum of squares: v
    doubt = Doubt(x[:, None], np.sqrt(told) * x[None, :, None])
    assert doubt.regret == pytest.approx(variance / 2)
    assert doubt.after(0).regret == pytest.approx(variance / (1 + told * variance) / 2)


def test_what_a_run_is_expected_to_leave_is_what_is_left_after_it_but_for_chance():
    rng = np.random.default_rng(0)
    law = rng.standard_normal((400, 3)) / np.sqrt(399)
    losses = np.stack([law @ rng.standard_normal((3, 4)), rng.standard_normal((400, 4)) / np.sqrt(399)])
    doubt = Doubt(law, losses)
    assert doubt.left[0] == pytest.approx(doubt.after(0).regret, rel=0.05)
    assert doubt.left[1] == pytest.approx(doubt.regret, rel=0.01)  # its losses have nothing to do with the shares


def test_the_spread_of_optima_is_the_mean_regret_of_the_mean_mixture(laws):
    best = optima(laws.resampled, BUDGET, terms_of(laws))
    losses = laws.resampled.predict(np.concatenate([best, best.mean(0)[None]]) * BUDGET).mean(1)  # (U, U + 1)
    direct = np.mean(losses[:, -1] / losses.diagonal() - 1)
    assert rank(laws, candidates(laws, [1024], 1), aim(laws)).regret == pytest.approx(direct, rel=0.5)


def test_the_first_in_rank_is_the_one_chosen_and_more_draws_leave_less(laws):
    offered = candidates(laws, [512, 4096], 4)
    ranked, chosen = rank(laws, offered, aim(laws)), choose(laws, offered, aim(laws), 12288)
    assert chosen.runs[0].design.shares == ranked.runs[0].design.shares
    assert chosen.runs[0].regret == ranked.runs[0].regret
    assert chosen.runs[-1].regret < 0.5 * chosen.regret
    assert cost(one.design for one in chosen.runs) <= 12288


def test_chosen_runs_have_names_and_seeds_that_no_run_has_had(laws):
    runs = [one.design for one in choose(laws, candidates(laws, [512], 2), aim(laws), 5120).runs]
    assert [run.run for run in runs] == [f"next-{number:03d}-512" for number in range(18, 28)]
    assert len({run.seed for run in runs} | {run.seed for run in first_runs(planted(0), 0)}) == 10 + 18


def test_more_fitted_runs_bring_other_mixtures_to_choose_from(laws):
    later = replace(laws, data=laws.data | {"runs": 19})
    assert candidates(laws, [512], 2)[:6] != candidates(later, [512], 2)[:6]
    assert candidates(laws, [512], 2)[-1].shares != candidates(later, [512], 2)[-1].shares


def test_laws_without_samples_and_draws_for_no_run_are_refused(laws):
    offered = candidates(laws, [512], 1)
    with pytest.raises(InvalidArgument, match="no bootstrap samples to tell doubt from; fit them with --samples 200"):
        rank(replace(laws, samples=None), offered, aim(laws))
    with pytest.raises(InvalidArgument, match="511 draws do not pay for one run; the smallest takes 512"):
        choose(laws, offered, aim(laws), 511)

"""A plan solved again at other floors and budgets, and what it is compared with."""

from dataclasses import replace

import numpy as np
import pytest

from mixio.allocation import Allocation
from tests.reports import BUDGET, evidence_of
from tools.evidence import Evidence
from tools.laws import Samples
from tools.plan import baseline_of, by_budget, by_floor, by_sample, gain_interval, means, plan_of, same_loss
from tools.solve import solve


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    """Laws whose bootstrap always finds the same."""
    found = evidence_of()
    laws = replace(found.laws, samples=Samples(np.stack([found.laws.local] * 2), np.empty((2, 0))))
    return replace(found, laws=laws)


def with_terms(evidence: Evidence, **terms: object) -> Evidence:
    return replace(evidence, allocation=Allocation(evidence.allocation.shares, BUDGET, "x", terms))


def test_the_terms_are_those_that_the_allocation_was_solved_with(evidence: Evidence) -> None:
    plan = plan_of(with_terms(evidence, floor=0.02, weights={"brain-t1": 1}, caps={"brain-t2": 0.1}))
    assert (plan.floor, plan.highest) == (0.02, 0.1)
    assert plan.terms.high.tolist() == [1, 1, 1, 0.1, 1, 1]
    assert plan.terms.weight.tolist() == [0, 0, 1, 0, 0, 0]


def test_an_allocation_that_does_not_say_has_a_floor_of_a_twentieth_or_less(evidence: Evidence) -> None:
    assert plan_of(with_terms(evidence)).floor == 0.05
    assert plan_of(with_terms(evidence, caps={"brain-t2": 0.03})).floor == 0.03


def test_other_floors_and_budgets_are_solved_as_allocate_does(evidence: Evidence) -> None:
    plan = plan_of(evidence)
    shares = by_floor(evidence, plan, [0, plan.highest])
    assert shares[0].tolist() == pytest.approx(list(solve(evidence.laws, BUDGET, floor=0).shares.values()), abs=1e-6)
    assert shares[1].tolist() == pytest.approx([1 / 6] * 6)
    expected = list(solve(evidence.laws, 512, floor=0.05).shares.values())
    assert by_budget(evidence, plan, [512])[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_a_bootstrap_without_doubt_gives_the_plan_itself(evidence: Evidence) -> None:
    samples = by_sample(evidence, plan_of(evidence))
    assert samples is not None
    for row in samples.tolist():
        assert row == pytest.approx(list(evidence.allocation.shares.values()), abs=1e-6)
    best = solve(evidence.laws, BUDGET)
    gain = 1 - best.objective / best.uniform_objective
    assert gain_interval(evidence, plan_of(evidence)) == pytest.approx((gain, gain, gain))


def test_without_a_bootstrap_there_are_no_intervals() -> None:
    evidence = evidence_of()
    assert by_sample(evidence, plan_of(evidence)) is None
    assert gain_interval(evidence, plan_of(evidence)) is None


def test_a_trials_proportional_mixture_is_the_baseline() -> None:
    assert baseline_of(evidence_of())[0] == "uniform"
    name, shares = baseline_of(evidence_of(trial=True))
    assert (name, shares.tolist()) == ("proportional", [0.4, 0.2, 0.15, 0.15, 0.06, 0.04])


def test_the_baseline_reaches_the_plans_loss_with_so_many_times_the_draws(evidence: Evidence) -> None:
    plan = plan_of(evidence)
    ratio = same_loss(evidence, plan)
    assert ratio is not None
    assert ratio > 1.05
    shares, even = evidence.laws.array(evidence.allocation.shares), np.full(6, 1 / 6)
    aim = means(evidence.laws.curves, plan, shares, [BUDGET])[0, 0]
    assert means(evidence.laws.curves, plan, even, [ratio * BUDGET])[0, 0] == pytest.approx(aim, rel=1e-3)


def test_a_mean_that_weighs_one_target_is_its_loss(evidence: Evidence) -> None:
    plan = plan_of(with_terms(evidence, weights={"brain-t1": 3}))
    even = np.full(6, 1 / 6)
    expected = evidence.laws.predict(even * 2000)[2]
    assert means(evidence.laws.curves, plan, even, [2000])[0].tolist() == pytest.approx([expected])
    worst = plan_of(with_terms(evidence, minimax=True))
    assert means(evidence.laws.curves, worst, even, [2000])[0, 0] == pytest.approx(
        evidence.laws.predict(even * 2000).max()
    )

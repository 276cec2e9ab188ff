"""A plan solved again at other floors and budgets, and what it is compared with."""

from dataclasses import replace

import numpy as np
import pytest

from mixio.allocation import Allocation
from mixio.errors import InvalidArgument
from tests.reports import BUDGET, evidence_of
from tests.truths import planted
from tools.evidence import Evidence
from tools.laws import Samples
from tools.problem import baseline_of, predicted, problem_of, same_loss
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
    problem = problem_of(with_terms(evidence, floor=0.02, weights={"brain-t1": 1}, caps={"brain-t2": 0.1}))
    assert (problem.floor, problem.highest) == (0.02, 0.1)
    assert problem.terms.high.tolist() == [1, 1, 1, 0.1, 1, 1]
    assert problem.terms.weight.tolist() == [0, 0, 1, 0, 0, 0]


def test_an_allocation_that_does_not_say_has_a_floor_of_a_twentieth_or_less(evidence: Evidence) -> None:
    assert problem_of(with_terms(evidence)).floor == 0.05
    assert problem_of(with_terms(evidence, caps={"brain-t2": 0.03})).floor == 0.03


def test_caps_of_the_most_passes_are_those_of_the_plans_budget(evidence: Evidence) -> None:
    unique = dict.fromkeys(evidence.laws.domains, 1000.0)
    knowing = replace(evidence, laws=replace(evidence.laws, unique=unique))
    problem = problem_of(with_terms(knowing, max_repeats=2, caps={"brain-t2": 0.1}))
    assert problem.terms.high.tolist() == [2000 / BUDGET] * 3 + [0.1] + [2000 / BUDGET] * 2


def test_a_robust_plan_is_solved_again_over_the_bootstrap(evidence: Evidence) -> None:
    other = planted(3)
    laws = replace(evidence.laws, samples=Samples(np.stack([other.local] * 2), np.empty((2, 0))))
    problem = problem_of(with_terms(replace(evidence, laws=laws), robust=True))
    expected = list(solve(other, BUDGET).shares.values())
    found = problem.by_budget([BUDGET * laws.d_ref / other.d_ref])[0].tolist()
    assert found == pytest.approx(expected, abs=1e-5)
    with pytest.raises(InvalidArgument, match="solved over the bootstrap of laws, and these have none"):
        problem_of(with_terms(replace(evidence, laws=replace(laws, samples=None)), robust=True))


def test_other_floors_and_budgets_are_solved_as_allocate_does(evidence: Evidence) -> None:
    problem = problem_of(evidence)
    shares = problem.by_floor([0, problem.highest])
    assert shares[0].tolist() == pytest.approx(list(solve(evidence.laws, BUDGET, floor=0).shares.values()), abs=1e-6)
    assert shares[1].tolist() == pytest.approx([1 / 6] * 6)
    expected = list(solve(evidence.laws, 512, floor=0.05).shares.values())
    assert problem.by_budget([512])[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_a_trials_proportional_mixture_is_the_baseline() -> None:
    assert baseline_of(evidence_of())[0] == "uniform"
    name, shares = baseline_of(evidence_of(trial=True))
    assert (name, shares.tolist()) == ("proportional", [0.4, 0.2, 0.15, 0.15, 0.06, 0.04])


def test_the_baseline_reaches_the_plans_loss_with_so_many_times_the_draws(evidence: Evidence) -> None:
    problem = problem_of(evidence)
    ratio = same_loss(evidence, problem)
    assert ratio is not None
    assert ratio > 1.05
    shares, even = evidence.laws.array(evidence.allocation.shares), np.full(6, 1 / 6)
    aim = predicted(evidence, problem.terms, shares, [BUDGET])[0]
    assert predicted(evidence, problem.terms, even, [ratio * BUDGET])[0] == pytest.approx(aim, rel=1e-3)


def test_a_mean_that_weighs_one_target_is_its_loss(evidence: Evidence) -> None:
    problem = problem_of(with_terms(evidence, weights={"brain-t1": 3}))
    even = np.full(6, 1 / 6)
    expected = evidence.laws.predict(even * 2000)[2]
    assert predicted(evidence, problem.terms, even, [2000]).tolist() == pytest.approx([expected])
    worst = problem_of(with_terms(evidence, minimax=True))
    largest = evidence.laws.predict(even * 2000).max()
    assert predicted(evidence, worst.terms, even, [2000])[0] == pytest.approx(largest)

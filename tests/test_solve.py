from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, minimize

from benchmarks.bench_laws import floors
from mixio.errors import AllocationError, InvalidArgument
from tests.truths import DOMAINS, law, planted, runs_under
from tools.fitting import fit_laws
from tools.forms import FORMS
from tools.laws import Curves, Laws
from tools.roles import structure
from tools.solve import Terms, best_shares, solve

BUDGET = 8192

seeds = st.integers(0, 10_000)


def mean_loss(laws: Laws, shares: np.ndarray) -> float:
    return float(laws.predict(shares * BUDGET).mean())


def descend(laws: Laws, floor: float) -> np.ndarray:
    """The optimum by exponentiated gradient, which shares nothing with SLSQP."""
    count = len(laws.domains)
    q = np.full(count, 1 / count)
    for _ in range(4000):
        slope = laws.gradient((floor + (1 - count * floor) * q) * BUDGET).mean(0)
        q = q * np.exp(-2 * (slope - slope.min()) / np.abs(slope).max())
        q /= q.sum()
    return floor + (1 - count * floor) * q


def symmetric(count: int) -> Laws:
    names = tuple(f"d{index}" for index in range(count))
    laws = {name: law(0.1, 0.3, 0.5, 5.0, {other: 0.0 for other in names if other != name}) for name in names}
    return Laws(names, 1000.0, laws)


@settings(max_examples=40, deadline=None)
@given(seeds, st.sampled_from([0.0, 0.05, 0.1]))
def test_no_mixture_is_better_by_more_than_the_gap_and_the_gap_is_tiny(seed, floor):
    laws = planted(seed)
    solution = solve(laws, BUDGET, floor=floor)
    assert -1e-12 < solution.gap < 1e-6
    rivals = floor + (1 - 6 * floor) * np.random.default_rng(seed).dirichlet([0.5] * 6, 200)
    losses = laws.predict(rivals * BUDGET).mean(1)
    assert losses.min() >= solution.objective * (1 - solution.gap) - 1e-12


@settings(max_examples=40, deadline=None)
@given(seeds, st.floats(0, 1 / 6), st.floats(0.2, 0.9))
def test_shares_sum_to_one_and_stay_between_floor_and_cap(seed, floor, cap):
    shares = solve(planted(seed), BUDGET, floor=floor, caps={"abdomen-ct": cap}).shares
    assert sum(shares.values()) == pytest.approx(1, abs=1e-12)
    assert min(shares.values()) >= floor - 1e-12
    assert shares["abdomen-ct"] <= cap + 1e-12


@pytest.mark.parametrize("seed", range(8))
def test_the_optimum_is_the_one_that_exponentiated_gradient_finds(seed):
    laws = planted(seed)
    found = solve(laws, BUDGET)
    assert found.objective == pytest.approx(mean_loss(laws, descend(laws, 0.05)), rel=1e-5)


def test_the_optimum_of_three_domains_is_that_of_a_fine_grid():
    names = ("a", "b", "c")
    tau = {"a": {"b": 0.1, "c": 0.3}, "b": {"a": 0.7, "c": 0.0}, "c": {"a": 0.2, "b": 0.1}}
    laws = Laws(names, 1000.0, {n: law(0.1, 0.2 + 0.1 * i, 0.6, 20, tau[n]) for i, n in enumerate(names)})
    grid = [(i / 400, j / 400, (400 - i - j) / 400) for i in range(401) for j in range(401 - i)]
    best = grid[int(laws.predict(np.array(grid) * BUDGET).mean(1).argmin())]
    assert list(solve(laws, BUDGET, floor=0).shares.values()) == pytest.approx(best, abs=0.004)


@pytest.mark.parametrize("noise", [0.01, 0.03])
@pytest.mark.parametrize("seed", range(4))
def test_an_allocation_by_fitted_laws_is_within_a_thousandth_of_the_true_optimum(noise, seed):
    truth = planted(seed)
    fitted = fit_laws(runs_under(truth, noise=noise, seed=seed))
    shares = truth.array(solve(fitted, BUDGET).shares)
    assert mean_loss(truth, shares) < 1.001 * mean_loss(truth, descend(truth, 0.05))
    assert mean_loss(truth, np.full(6, 1 / 6)) > 1.03 * mean_loss(truth, shares)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_domains_that_do_not_differ_get_the_same_share(count):
    solution = solve(symmetric(count), BUDGET, floor=0)
    assert list(solution.shares.values()) == pytest.approx([1 / count] * count, abs=1e-6)
    assert solution.objective == pytest.approx(solution.uniform_objective)


def test_the_whole_floor_leaves_only_the_uniform_mixture():
    assert list(solve(planted(0), BUDGET, floor=1 / 6).shares.values()) == pytest.approx([1 / 6] * 6, abs=1e-12)


def test_a_target_of_weight_counts_and_one_without_does_not():
    laws = symmetric(3)
    shares = solve(laws, BUDGET, floor=0.1, weights={"d0": 1}).shares
    assert shares == pytest.approx({"d0": 0.8, "d1": 0.1, "d2": 0.1})
    doubled = solve(laws, BUDGET, weights={"d0": 2, "d1": 2, "d2": 2})
    assert doubled.objective == pytest.approx(solve(laws, BUDGET).objective)


def test_the_planted_hub_and_island_are_named_and_nobody_else():
    laws = planted(0)
    roles = structure(laws, solve(laws, BUDGET).shares, BUDGET)
    assert {name: role.label for name, role in roles.items() if role.label} == {
        "abdomen-ct": "hub",
        "headneck-pet": "island",
    }


def test_a_role_counts_what_is_given_taken_and_relied_on():
    tau = {"a": {"b": 0.5}, "b": {"a": 0.0}}
    laws = Laws(("a", "b"), 100.0, {name: law(0.1, 0.3, 0.5, 10.0, tau[name]) for name in "ab"})
    roles = structure(laws, {"a": 0.4, "b": 0.6}, 100)  # to a: 40 draws and half of 60; to b: 60
    assert (roles["a"].outgoing, roles["a"].incoming, roles["a"].self_reliance) == pytest.approx((0, 0.5, 40 / 70))
    assert (roles["b"].outgoing, roles["b"].incoming, roles["b"].self_reliance) == pytest.approx((0.5, 0, 1))
    assert (roles["a"].label, roles["b"].label) == ("", "hub")


def test_who_gives_much_but_takes_more_is_no_hub():
    tau = {"a": {"b": 0.6, "c": 0.6}, "b": {"a": 0.4, "c": 0.2}, "c": {"a": 0.4, "b": 0.1}}
    laws = Laws(("a", "b", "c"), 100.0, {name: law(0.1, 0.3, 0.5, 10.0, tau[name]) for name in "abc"})
    roles = structure(laws, dict.fromkeys("abc", 1 / 3), 300)
    assert (roles["a"].outgoing, roles["a"].incoming) == pytest.approx((0.8, 1.2))
    assert [role.label for role in roles.values()] == ["", "", "hub"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"floor": 0.2}, "a floor of 0.2 for each of 6 domains needs 1.2 of the budget"),
        ({"floor": -0.1}, "must lie between 0 and 0.1667"),
        ({"floor": float("nan")}, "must lie between 0 and 0.1667"),
        ({"caps": {"brain-t1": 0.03}}, "cap of 'brain-t1' is 0.03, which is 0.02 below the floor of 0.05"),
        ({"caps": {"brain-t1": float("nan")}}, "cap of 'brain-t1' is nan"),
        ({"caps": dict.fromkeys(DOMAINS, 0.15)}, "caps of abdomen-ct, .* add up to 0.9, 0.1 short of 1"),
    ],
)
def test_an_infeasible_floor_or_cap_is_refused_with_the_domain_and_the_amount(options, message):
    with pytest.raises(AllocationError, match=message):
        solve(planted(0), BUDGET, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": {"spine": 1}}, r"weights for \['spine'\], but the laws have the targets"),
        ({"weights": {"brain-t1": 0}}, "weights must be finite, not negative and not all zero"),
        ({"weights": {"brain-t1": -1, "brain-t2": 2}}, "weights must be finite, not negative"),
        ({"caps": {"spine": 0.5}}, r"caps for \['spine'\], but the laws have the domains"),
    ],
)
def test_weights_and_caps_that_make_no_sense_are_refused(options, message):
    with pytest.raises(InvalidArgument, match=message):
        solve(planted(0), BUDGET, **options)


@pytest.mark.parametrize("budget", [0, -5, float("inf"), float("nan")])
def test_a_budget_that_is_no_positive_number_is_refused(budget):
    with pytest.raises(InvalidArgument, match="budget must be a positive number of draws"):
        solve(planted(0), budget)


@pytest.mark.parametrize("form", [name for name in FORMS if name not in ("total", "signed")])
def test_under_every_form_the_optimum_is_that_of_an_interior_point_method(form):
    laws = fit_laws(runs_under(planted(1), noise=0.02), form=form)
    found = solve(laws, BUDGET)
    rival = minimize(
        lambda p: 100 * mean_loss(laws, p),
        np.full(6, 1 / 6),
        jac=lambda p: 100 * BUDGET * laws.gradient(p * BUDGET).mean(0),
        method="trust-constr",
        bounds=Bounds(np.full(6, 0.05), 1, keep_feasible=True),
        constraints=LinearConstraint(np.ones((1, 6)), 1, 1),
        options={"gtol": 1e-9, "maxiter": 2000},
    )
    assert found.gap < 1e-5
    assert found.objective == pytest.approx(rival.fun / 100, rel=1e-5)


def test_minimax_makes_the_largest_loss_as_small_as_a_grid_finds():
    names = ("a", "b", "c")
    tau = {"a": {"b": 0.1, "c": 0.3}, "b": {"a": 0.7, "c": 0.0}, "c": {"a": 0.2, "b": 0.1}}
    laws = Laws(names, 1000.0, {n: law(0.1, 0.2 + 0.1 * i, 0.6, 20, tau[n]) for i, n in enumerate(names)})
    grid = np.array([(i / 400, j / 400, (400 - i - j) / 400) for i in range(401) for j in range(401 - i)])
    largest = laws.predict(grid * BUDGET).max(1)
    found = solve(laws, BUDGET, floor=0, minimax=True)
    assert found.objective == pytest.approx(max(found.losses.values()))
    assert largest.min() - 1e-4 < found.objective <= largest.min()
    assert list(found.shares.values()) == pytest.approx(grid[largest.argmin()], abs=0.005)
    assert found.gap < 1e-6


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_no_mixture_has_a_smaller_largest_loss_than_the_gap_allows(seed):
    laws, weights = planted(seed), {name: 1.0 + place for place, name in enumerate(DOMAINS)}
    found = solve(laws, BUDGET, minimax=True, weights=weights)
    rivals = 0.05 + 0.7 * np.random.default_rng(seed).dirichlet([0.5] * 6, 300)
    largest = (laws.predict(rivals * BUDGET) * [*weights.values()]).max(1)
    assert found.gap < 1e-5
    assert largest.min() >= found.objective * (1 - found.gap) - 1e-12


def test_a_robust_allocation_is_best_on_average_over_the_bootstrap():
    laws = fit_laws(runs_under(planted(0), noise=0.1), samples=20)
    robust, plain = (laws.array(solve(laws, BUDGET, robust=robust).shares) for robust in (True, False))

    def mean(share):
        return laws.resampled.predict(share[None] * BUDGET).mean()

    rivals = 0.05 + 0.7 * np.random.default_rng(0).dirichlet([0.5] * 6, 500)
    assert mean(robust) <= mean(plain)
    assert mean(robust) <= min(mean(share) for share in rivals)
    with pytest.raises(InvalidArgument, match="no bootstrap samples to be robust over"):
        solve(planted(0), BUDGET, robust=True)


def test_a_form_that_is_not_convex_is_searched_from_every_domain():
    names = ("a", "b")
    laws = Laws(names, 1.0, {name: law(1e-3, 1.0, 1.0, 0.1, {"ab".replace(name, ""): 1.0}) for name in names})
    steep = replace(laws, form="transfer+gamma", shared={"gamma": {"a": 2.0, "b": 2.0}})  # outside the fit's box
    assert steep.predict(np.array([[3, 0], [1.5, 1.5]])).mean(1)[0] > 0
    curves = steep.curves
    bent = Curves(replace(curves.form, signed=True), curves.values, curves.own, curves.unique, 1.0)
    share, _ = best_shares(bent, 3.0, Terms(np.zeros(2), np.ones(2), np.full(2, 0.5)))
    assert sorted(share) == pytest.approx([0, 1], abs=1e-6)


def test_the_papers_shares_at_two_floors_are_those_of_one_law():
    shares = [str(row[1]) for row in floors()]
    assert shares[0] == "56.3, 33.7, 2.5, 2.5, 2.5, 2.5"
    assert shares[-1] == "37.5, 12.5, 12.5, 12.5, 12.5, 12.5"

import numpy as np
import pytest
from scipy.optimize import minimize

from tests.truths import planted, runs_under
from tools.estimation import estimate, residuals
from tools.forms import FORMS
from tools.forms.layout import Layout
from tools.least_squares import Problem, least_squares
from tools.observations import observations

NOTHING = (np.empty(0), np.empty(0), np.empty(0), np.empty(0))


def line(local, shared, units):
    """offset + slope x, at x = 0, 1, 2."""
    x = np.arange(3.0)
    jacobian = np.stack([np.ones(3), x], -1)
    value = local[..., :1] + local[..., 1:] * x
    return value, np.broadcast_to(jacobian, (*value.shape, 2)), np.empty((*value.shape, 0))


def problem(seen, *, upper=9.0, width=np.inf, precision=0.0):
    wide = np.ones((1, 1, 2))
    return Problem(
        line,
        np.array([[seen]], float),
        np.ones((1, 1, 3)),
        np.full((1, 1, 1), width),
        -9 * wide,
        upper * wide,
        0 * wide,
        precision * wide,
        NOTHING,
    )


def solved(seen, **options):
    return least_squares(problem(seen, **options), np.zeros((1, 1, 2)), np.empty((1, 0)))


def test_a_line_is_fitted_as_by_hand():
    found = solved([1, 2, 6])  # mean 3, slope (6 - 1) / 2
    np.testing.assert_allclose(found.local[0, 0], [0.5, 2.5], atol=1e-4)
    assert found.cost == pytest.approx(0.5 * (0.5**2 + 1**2 + 0.5**2))
    assert found.converged.all()


def test_a_bound_holds_and_the_rest_adapts_to_it():
    found = solved([1, 2, 6], upper=2.0)  # with slope 2 the best offset is the mean of 1, 0, 2
    np.testing.assert_allclose(found.local[0, 0], [1, 2], atol=1e-6)


def test_what_is_seen_and_what_is_believed_are_weighed():
    found = solved([2, 2, 2], precision=3.0)  # normal equations (3+3, 3; 3, 5+3) (6, 6)
    np.testing.assert_allclose(found.local[0, 0], np.linalg.solve([[6, 3], [3, 8]], [6, 6]), atol=1e-6)


def test_huber_lets_a_point_far_off_pull_no_harder_than_one_at_its_width():
    near, far = solved([0, 0, 30], width=0.1), solved([0, 0, 3000], width=0.1)
    np.testing.assert_allclose(near.local, far.local, atol=1e-4)


@pytest.mark.parametrize("form", [name for name in FORMS if name not in ("signed", "total")])
def test_another_minimizer_finds_nothing_better_near_a_robust_fit_with_its_prior(form):
    seen = observations(runs_under(planted(3), noise=0.02))
    layout = Layout(FORMS[form], 6)
    found = estimate(seen, layout)
    lower, upper = seen.box(layout)
    center, spread = layout.prior()
    free = upper[0] > lower[0]

    def cost(moved):
        local = found.local.copy()
        local[0, free] = moved
        off, width = np.abs(residuals(seen, layout, local, found.shared)[0]), float(found.width[0, 0])
        held = found.noise[0] / spread * (local[0] - center)
        return np.where(off <= width, off**2, 2 * width * off - width**2).sum() + (held[free] ** 2).sum()

    start = found.local[0, free] + 0.01 * np.random.default_rng(0).standard_normal(free.sum())
    bounds = list(zip(lower[0, free], upper[0, free], strict=True))
    better = minimize(cost, np.clip(start, *np.transpose(bounds)), method="L-BFGS-B", bounds=bounds)
    assert cost(found.local[0, free]) <= better.fun * (1 + 1e-4)
    assert better.fun < cost(np.clip(start, *np.transpose(bounds)))


def test_every_start_ends_in_the_same_place():
    for seed in range(5):
        found = estimate(observations(runs_under(planted(seed), noise=0.03)), Layout(FORMS["transfer"], 6))
        assert found.spread.max() < 1e-2

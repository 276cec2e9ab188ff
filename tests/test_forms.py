"""Every form of law: its derivatives, its convexity, and what it says in a case worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.forms import FORMS
from tools.forms.form import Inputs
from tools.forms.layout import Layout

DOMAINS = ("a", "b", "c", "d")
OWN = np.eye(4)[None, :3]
forms = pytest.mark.parametrize("name", FORMS)
seeds = st.integers(0, 10_000)


def drawn(name, seed, least=0.0):
    """Inputs of 6 runs, a layout, and parameters of 3 targets somewhere inside their box."""
    rng = np.random.default_rng(seed)
    inputs = Inputs(
        np.maximum(rng.uniform(0, 3, (6, 4)) * (rng.random((6, 4)) < 0.7), least), rng.uniform(0.5, 2, (6, 4))
    )
    inputs.draws[:, 3] += 0.1
    layout = Layout(FORMS[name], 4)
    lower, upper = layout.box(np.full(3, 0.5), OWN[0])
    low, high, _, _ = layout.shared_box(0.1)
    local = rng.uniform(np.maximum(lower, -1.5), np.maximum(np.minimum(upper, 1.5), np.maximum(lower, -1.5)))
    local[lower == upper] = lower[lower == upper]
    if name == "signed":
        local = np.where((local < 0) & (lower > -3) & (lower < 0), 0.2, local)  # effective draws stay above 0
    return inputs, layout, local[None], rng.uniform(low, high)[None]


def shifted(of, place, step):
    """Central differences of `of` by each number of the last axis of `place`."""
    columns = []
    for column in range(place.shape[-1]):
        one = np.zeros(place.shape[-1])
        one[column] = step
        columns.append((of(place + one) - of(place - one)) / (2 * step))
    return np.stack(columns, -1) if columns else np.empty((*of(place).shape, 0))


@forms
@settings(max_examples=15)
@given(seeds)
def test_the_derivatives_by_parameters_are_those_of_finite_differences(name, seed):
    inputs, layout, local, shared = drawn(name, seed)
    model, units = layout.log_losses(inputs, OWN), np.arange(1)
    value, by_local, by_shared = model(local, shared, units)
    assert value.shape == (1, 3, 6)
    np.testing.assert_allclose(
        by_local, shifted(lambda at: model(at, shared, units)[0], local, 1e-6), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        by_shared, shifted(lambda at: model(local, at, units)[0], shared, 1e-6), rtol=1e-5, atol=1e-6
    )


@forms
@settings(max_examples=15)
@given(seeds)
def test_the_derivatives_by_draws_are_those_of_finite_differences(name, seed):
    inputs, layout, local, shared = drawn(name, seed, least=0.05)
    values, form = layout.unpack(local, shared), layout.form
    numeric = shifted(lambda at: form.losses(values, Inputs(at, inputs.unique), OWN).value, inputs.draws, 1e-6)
    slope = form.slope(values, inputs, OWN)
    assert slope.shape == (1, 3, 6, 4)
    np.testing.assert_allclose(slope, numeric, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in FORMS if name != "signed"])
@settings(max_examples=40)
@given(seeds, st.floats(0, 1))
def test_losses_are_convex_in_the_shares_of_a_budget(name, seed, weight):
    _, layout, local, shared = drawn(name, seed)
    values, rng = layout.unpack(local, shared), np.random.default_rng(seed)
    unique = rng.uniform(0.05, 2, (1, 4))
    budget = 10 ** rng.uniform(-1, 1.5)
    one, other = rng.dirichlet([0.5] * 4, 2)

    def loss(shares):
        return layout.form.losses(values, Inputs(shares[None] * budget, unique), OWN).value

    chord = weight * loss(one) + (1 - weight) * loss(other)
    assert (loss(weight * one + (1 - weight) * other) <= chord * (1 + 1e-9)).all()
    assert layout.form.convex


def test_an_exponent_above_one_would_not_be_convex():
    form = FORMS["transfer+gamma"]
    values = {
        "E": np.zeros((1, 2, 1)),
        "a": np.ones((1, 2, 1)),
        "beta": np.ones((1, 2, 1)),
        "d0": np.full((1, 2, 1), 0.1),
    }
    values |= {"tau": np.ones((1, 2, 2)), "gamma": np.full((1, 1, 2), 2.0)}
    inputs = Inputs(np.array([[3.0, 0], [1.5, 1.5], [0, 3.0]]), np.full((3, 2), np.inf))
    ends = form.losses(values, inputs, np.eye(2)[None]).value[0].mean(0)
    assert ends[1] > max(ends[0], ends[2]) + 0.04  # a hill between two valleys


def evaluate(name, values, draws, unique=np.inf):
    inputs = Inputs(np.array([draws], float), np.full((1, 2), unique))
    arrays = {key: np.array(value, float).reshape(1, 1, -1) for key, value in values.items()}
    return float(FORMS[name].losses(arrays, inputs, np.array([[[1.0, 0.0]]])).value[0, 0, 0])


def test_each_form_says_what_its_formula_says():
    power = {"E": 0.1, "a": 0.4, "beta": 0.5, "d0": 1.0, "tau": [1.0, 0.5]}
    total = {"B": 0.2, "alpha": 1.0}
    assert evaluate("transfer", power, [4, 8]) == pytest.approx(0.1 + 0.4 / 3)
    assert evaluate("transfer+gamma", power | {"gamma": [1, 0.5]}, [5, 16]) == pytest.approx(0.1 + 0.4 * 8**-0.5)
    powers = power | {"gamma": [1, 0.5], "kappa": 0.5}
    assert evaluate("transfer+powers", powers, [4, 4]) == pytest.approx(0.1 + 0.4 / 2)
    repeated = 1 + (1 - np.exp(-0.5)) / 0.5  # two passes over one draw's worth of data, lambda 0.5
    assert evaluate("transfer+repeats", power | {"lambda": 0.5}, [2, 0], 1.0) == pytest.approx(
        0.1 + 0.4 * (1 + repeated) ** -0.5
    )
    assert evaluate("transfer+total", power | total, [4, 8]) == pytest.approx(0.1 + 0.4 / 3 + 0.2 / 12)
    assert evaluate("split", power | total, [3, 1]) == pytest.approx(0.1 + 0.4 * (1 + 0.75 + 0.125) ** -0.5 + 0.05)
    assert evaluate("exponential", {"E": 0.1, "t": [-1, 2]} | total, [3, 1]) == pytest.approx(0.15 + np.exp(-0.25))
    additive = {"E": 0.1, "C": [2, 4], "g": [1, 0.5]} | total
    assert evaluate("additive", additive, [3, 1]) == pytest.approx(0.1 + 1 / (1.5 + 2) + 0.05)
    assert evaluate("bimix", {"a": 1, "h0": 0.25, "C": 0.3} | total, [3, 1]) == pytest.approx(0.3 + 0.05)

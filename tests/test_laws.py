import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import approx_fprime

from mixio.errors import FitError
from tests.truths import DOMAINS, planted
from tools.laws import Laws, TargetLaw, load_laws, log_loss

PAIR = Laws(
    ("ct", "mr"),
    100.0,
    {"ct": TargetLaw(0.1, 0.4, 0.5, 25.0, {"mr": 0.5}), "mr": TargetLaw(0.2, 0.3, 1.0, 10.0, {"ct": 0.0})},
)

seeds = st.integers(0, 10_000)


@given(seeds)
def test_the_analytic_jacobian_of_the_log_loss_agrees_with_finite_differences(seed):
    rng = np.random.default_rng(seed)
    theta = np.concatenate([rng.uniform(-2, 0.5, 4), rng.uniform(0, 2, 3)])
    own, sources = rng.uniform(0, 3, 5), rng.uniform(0, 3, (5, 3))
    value, jacobian = log_loss(theta, own, sources)
    numeric = approx_fprime(theta, lambda point: log_loss(point, own, sources)[0], 1e-7)
    assert value.shape == (5,)
    np.testing.assert_allclose(jacobian, numeric, atol=2e-6)


@given(seeds)
def test_the_gradient_by_draws_agrees_with_finite_differences(seed):
    laws, rng = planted(seed), np.random.default_rng(seed)
    draws = rng.uniform(50, 2000, 6)
    numeric = approx_fprime(draws, laws.predict, 1e-3)
    np.testing.assert_allclose(laws.gradient(draws), numeric, rtol=1e-4, atol=1e-12)


@given(seeds, st.floats(0, 1))
def test_every_loss_is_convex_in_the_draws(seed, weight):
    laws, rng = planted(seed), np.random.default_rng(seed)
    one, other = rng.dirichlet([0.3] * 6, 2) * 10 ** rng.uniform(1, 6)
    chord = weight * laws.predict(one) + (1 - weight) * laws.predict(other)
    assert (laws.predict(weight * one + (1 - weight) * other) <= chord + 1e-12).all()


def test_a_loss_is_the_floor_plus_a_power_of_effective_draws():
    # ct: 25 + 55 + 0.5 * 40 = 100 effective draws, so 0.1 + 0.4; mr: 10 + 40 = 50, so 0.2 + 0.3 * 2
    np.testing.assert_allclose(PAIR.predict(np.array([55.0, 40.0])), [0.5, 0.8])
    np.testing.assert_allclose(PAIR.effective(np.array([[55.0, 40.0], [0.0, 0.0]])), [[100, 50], [25, 10]])


def test_the_fitted_form_and_the_predicting_one_are_the_same_law():
    law, draws = planted(3).targets["abdomen-ct"], np.array([[300.0, 0, 20, 5, 0, 9], [0, 700.0, 0, 0, 1, 0]])
    theta = np.array([*np.log([law.E, law.a, law.beta, law.d0 / 1448]), *law.tau.values()])
    log, _ = log_loss(theta, draws[:, 0] / 1448, draws[:, 1:] / 1448)
    np.testing.assert_allclose(np.exp(log), planted(3).predict(draws)[:, 0])


def test_laws_come_back_from_their_file_as_they_were(tmp_path):
    path = tmp_path / "new" / "laws.json"
    planted(5).save(path)
    loaded = load_laws(path)
    assert loaded.targets == planted(5).targets
    assert loaded.fingerprint == planted(5).fingerprint != planted(6).fingerprint
    content = json.loads(path.read_text())
    assert (content["schema_version"], content["form"], content["domains"]) == (1, "transfer", list(DOMAINS))
    assert "abdomen-ct" not in content["targets"]["abdomen-ct"]["tau"]


def test_draws_by_name_are_put_in_the_order_of_the_domains():
    np.testing.assert_array_equal(PAIR.array({"mr": 3}), [0, 3])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "schema 2 and form 'transfer', expected 1 and 'transfer'"),
        ({"form": "split"}, "form 'split'"),
        ({"targets": {"ct": {"E": 1}}}, r"is not a laws\.json"),
        ({"domains": ["mr"]}, "target 'ct' is not one of the domains"),
        ({"domains": ["ct", "mr", "pet"]}, r"the law of 'ct' lacks the transfer from \['pet'\]"),
    ],
)
def test_a_file_of_another_form_or_with_gaps_is_refused(tmp_path, change, message):
    PAIR.save(tmp_path / "laws.json")
    content = json.loads((tmp_path / "laws.json").read_text())
    (tmp_path / "laws.json").write_text(json.dumps(content | change))
    with pytest.raises(FitError, match=message):
        load_laws(tmp_path / "laws.json")


def test_a_file_that_is_not_json_is_refused(tmp_path):
    (tmp_path / "laws.json").write_text("{")
    with pytest.raises(FitError, match=r"is not a laws\.json"):
        load_laws(tmp_path / "laws.json")

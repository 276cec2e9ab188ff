import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import approx_fprime

from mixio.errors import FitError
from tests.truths import DOMAINS, law, planted
from tools.laws import Laws, load_laws

PAIR = Laws(
    ("ct", "mr"),
    100.0,
    {"ct": law(0.1, 0.4, 0.5, 25.0, {"mr": 0.5}), "mr": law(0.2, 0.3, 1.0, 10.0, {"ct": 0.0})},
)

seeds = st.integers(0, 10_000)


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


def test_what_a_draw_is_worth_is_the_ratio_of_the_slopes_and_tau_where_the_law_is_linear():
    np.testing.assert_allclose(PAIR.transfer(), [[1, 0.5], [0, 1]])
    np.testing.assert_allclose(planted(3).transfer(np.array([9.0, 0, 4, 0, 0, 1])), planted(3).transfer())


def test_laws_come_back_from_their_file_as_they_were(tmp_path):
    path = tmp_path / "new" / "laws.json"
    planted(5).save(path)
    loaded = load_laws(path)
    assert loaded.targets == planted(5).targets
    assert loaded.fingerprint == planted(5).fingerprint != planted(6).fingerprint
    content = json.loads(path.read_text())
    assert (content["schema_version"], content["form"], content["domains"]) == (2, "transfer", list(DOMAINS))
    assert "abdomen-ct" not in content["targets"]["abdomen-ct"]["parameters"]["tau"]


def test_draws_by_name_are_put_in_the_order_of_the_domains():
    np.testing.assert_array_equal(PAIR.array({"mr": 3}), [0, 3])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 1}, "schema_version 1, expected 2; fit them again with tools.fit_laws"),
        ({"form": "cubic"}, "there is no form 'cubic'; there are total, own, bimix"),
        ({"form": "split"}, "the law of 'ct' lacks B, which the form split has"),
        ({"targets": {"ct": {"E": 1}}}, r"is not a laws\.json"),
        ({"domains": ["mr"]}, "target 'ct' is not one of the domains"),
        ({"domains": ["ct", "mr", "pet"]}, r"the law of 'ct' lacks tau of \['pet'\]"),
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

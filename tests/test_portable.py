"""Laws as plain numbers, read by the formula that their docstring states."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.truths import DOMAINS, planted, runs_under
from tools.fitting import fit_laws
from tools.forms import FORMS
from tools.portable import portable


def losses_of(model: dict[str, Any], shares: np.ndarray, budget: float) -> list[float]:
    """The module's formula, a target at a time."""
    total = budget / model["unit"]
    amounts = shares * (total if model["amounts"] == "draws" else 1)
    for j, most in enumerate(model["unique"]):
        if most is not None and amounts[j] > most:
            rate = model["rate"]
            amounts[j] = most * (1 + (1 - np.exp(-rate * (amounts[j] / most - 1))) / rate)
    found = []
    for law in model["laws"]:
        u = law["start"] + np.sum(np.array(law["weights"]) * amounts ** np.array(law["exponents"]))
        outer = np.exp(u) if model["outer"] == "exp" else u ** -law["fall"]
        height = law["scale"] + law["scaleTotal"] * total ** -law["scaleFall"]
        found.append(law["constant"] + height * outer + law["total"] * total ** -law["totalFall"])
    return found


@pytest.mark.parametrize("form", list(FORMS))
def test_the_formula_holds_every_form_of_law(form: str) -> None:
    unique = {name: 100.0 * 2**place for place, name in enumerate(DOMAINS)}
    laws = fit_laws([replace(run, unique=unique) for run in runs_under(planted(1), noise=0.03)], form=form)
    model = json.loads(json.dumps(portable(laws), allow_nan=False))
    for shares in np.random.default_rng(0).dirichlet([1.0] * 6, 4):
        assert losses_of(model, shares, 5000) == pytest.approx(laws.predict(shares * 5000).tolist(), rel=1e-12)

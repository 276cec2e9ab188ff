"""The additive law: the shares' part of the loss is one over a sum of powers of them, the budget's a term of its own.

    L_i = E_i + 1 / sum over j of C_ji h_j^g_ji + B_i D^-alpha_i

Convex in the shares, as every g <= 1: one over a concave function. Its best mixture is the same at every budget.
After Shukor et al., arXiv 2507.09404.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tools.forms.form import Array, Inputs, Losses, Parameter, Values, linear_start, power
from tools.forms.transfer import TOTAL, total_losses, total_slope

_LEAST = 1e-6


@dataclass(frozen=True)
class Additive:
    """The one form of this kind."""

    title = "E_i + 1 / sum C_ji h_j^g_ji + B_i D^-alpha_i"
    local = (
        Parameter("E", 6e-6, 1.0, unit="loss"),
        *TOTAL,
        Parameter("C", 1e-5, 1e5, per_domain=True),
        Parameter("g", 0.02, 1.0, per_domain=True),
    )
    shared = ()
    convex = True

    def held(self, name: str, own: Array) -> Array | None:
        """Nothing is held."""
        return None

    def starts(self, inputs: Inputs, loss: Array, own: Array) -> list[dict[str, Any]]:
        """Two: of large and small exponents."""
        found = []
        for exponent in (0.3, 0.8):
            worth = 0.1 + 0.9 * own
            E, a = linear_start(1 / (worth @ power(inputs.shares, np.array(exponent)).T), loss)
            found.append({"E": E, "B": 0.3 * a, "alpha": 0.3, "C": worth / (0.7 * a), "g": exponent})
        return found

    def losses(self, values: Values, inputs: Inputs, own: Array) -> Losses:
        """The losses and their derivatives by every parameter."""
        shares, more = inputs.shares, total_losses(values, inputs)
        powers = power(shares, values["g"][..., None, :])  # (U, T, N, K)
        inverse = 1 / (powers @ values["C"][..., None])[..., 0]
        fall = -(inverse**2)[..., None] * powers  # by C
        logs = np.log(np.where(shares > 0, shares, 1.0))
        by = {"E": np.ones_like(inverse), "C": fall, "g": fall * values["C"][..., None, :] * logs, **more.by}
        return Losses(values["E"] + inverse + more.value, by)

    def slope(self, values: Values, inputs: Inputs, own: Array) -> Array:
        """The derivatives of the losses by the draws; of a domain without any at a millionth of all."""
        shares, g = inputs.shares, values["g"][..., None, :]
        inverse = 1 / (power(shares, g) @ values["C"][..., None])[..., 0]
        growth = values["C"][..., None, :] * g * power(np.maximum(shares, _LEAST), g - 1)
        by_share = -(inverse**2)[..., None] * growth
        slope: Array = (by_share - (by_share * shares).sum(-1, keepdims=True)) / inputs.total[:, None]
        return slope + total_slope(values, inputs)[..., None]

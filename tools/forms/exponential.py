"""The data mixing law: losses are exponential in the shares, whatever the budget, which has a term of its own.

    L_i = E_i + exp(sum over j of t_ji h_j) + B_i D^-alpha_i

The shares h sum to 1, so a factor before the exponential would be one parameter too many.
After Ye et al., arXiv 2403.16952, which has no term for the budget.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tools.forms.form import Array, Inputs, Losses, Parameter, Values, linear_start
from tools.forms.transfer import TOTAL, total_losses, total_slope


@dataclass(frozen=True)
class Exponential:
    """The one form of this kind."""

    title = "E_i + exp(sum t_ji h_j) + B_i D^-alpha_i"
    local = (
        Parameter("E", 6e-6, 1.0, unit="loss"),
        *TOTAL,
        Parameter("t", -30.0, 30.0, log=False, per_domain=True),
    )
    shared = ()
    convex = True

    def held(self, name: str, own: Array) -> Array | None:
        """Nothing is held."""
        return None

    def starts(self, inputs: Inputs, loss: Array, own: Array) -> list[dict[str, Any]]:
        """Two: a target's own share matters a little, or much."""
        found = []
        for fall in (1.0, 4.0):
            E, a = linear_start(np.exp(-fall * (own @ inputs.shares.T)), loss)
            found.append({"E": E, "B": 0.3 * a, "alpha": 0.3, "t": np.log(0.7 * a) - fall * own})
        return found

    def losses(self, values: Values, inputs: Inputs, own: Array) -> Losses:
        """The losses and their derivatives by every parameter."""
        shares, more = inputs.shares, total_losses(values, inputs)
        mixed = np.exp(values["t"] @ shares.T)  # (U, T, N)
        by = {"E": np.ones_like(mixed), "t": mixed[..., None] * shares, **more.by}
        return Losses(values["E"] + mixed + more.value, by)

    def slope(self, values: Values, inputs: Inputs, own: Array) -> Array:
        """The derivatives of the losses by the draws."""
        mean = values["t"] @ inputs.shares.T  # (U, T, N)
        by_share = np.exp(mean)[..., None] * (values["t"][..., None, :] - mean[..., None])
        slope: Array = by_share / inputs.total[:, None] + total_slope(values, inputs)[..., None]
        return slope

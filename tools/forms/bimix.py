"""BiMix: a power law of a target's own share times one of the total draws; no domain helps another.

    L_i = (h_i + h0_i)^-a_i (B_i D^-alpha_i + C_i)

h0, which the original lacks, keeps the loss finite in runs that draw nothing for the target.
After Ge et al., arXiv 2405.14908.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tools.forms.form import Array, Inputs, Losses, Parameter, Values, linear_start
from tools.forms.transfer import TOTAL, total_losses, total_slope


@dataclass(frozen=True)
class BiMix:
    """The one form of this kind."""

    title = "(h_i + h0_i)^-a_i (B_i D^-alpha_i + C_i)"
    local = (
        Parameter("a", 1e-4, 5.0),
        Parameter("h0", 1e-6, 10.0),
        *TOTAL,
        Parameter("C", 6e-6, 1e3, unit="loss"),
    )
    shared = ()
    convex = True

    def held(self, name: str, own: Array) -> Array | None:
        """Nothing is held."""
        return None

    def starts(self, inputs: Inputs, loss: Array, own: Array) -> list[dict[str, Any]]:
        """Two: the own share matters a little, or much."""
        found = []
        for a in (0.1, 0.5):
            share = (own @ inputs.shares.T + 0.02) ** -a
            C, B = linear_start(np.broadcast_to(inputs.total**-0.3, share.shape), loss / share)
            found.append({"a": a, "h0": 0.02, "B": B, "alpha": 0.3, "C": C})
        return found

    def losses(self, values: Values, inputs: Inputs, own: Array) -> Losses:
        """The losses and their derivatives by every parameter."""
        more, base = total_losses(values, inputs), self._base(values, inputs, own)
        share, rest = base ** -values["a"], more.value + values["C"]
        by = {name: share * change for name, change in more.by.items()}
        by |= {"C": share, "a": -np.log(base) * share * rest, "h0": -values["a"] * share / base * rest}
        return Losses(share * rest, by)

    def slope(self, values: Values, inputs: Inputs, own: Array) -> Array:
        """The derivatives of the losses by the draws."""
        more, base = total_losses(values, inputs), self._base(values, inputs, own)
        share, rest = base ** -values["a"], more.value + values["C"]
        by_share = -values["a"] * share / base * rest  # (U, T, N)
        mine = own[..., None, :] - (own @ inputs.shares.T)[..., None]
        slope: Array = by_share[..., None] * mine / inputs.total[:, None]
        return slope + (share * total_slope(values, inputs))[..., None]

    def _base(self, values: Values, inputs: Inputs, own: Array) -> Array:
        base: Array = own @ inputs.shares.T + values["h0"]
        return base

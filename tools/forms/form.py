"""What the form of a law is: losses as a function of draws and parameters, with derivatives, bounds and starts.

Arrays are stacked: U sets of parameters, T targets, N runs, K domains, and draws are in units of `d_ref`. A form is
written in natural parameters; a fit moves their logarithms where `Parameter.log` says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Values = Mapping[str, Array]
"""By name of the parameter: (U, T, 1), or (U, T, K) if there is one for each domain."""


@dataclass(frozen=True)
class Parameter:
    """A parameter, or one for each domain, between `lower` and `upper`.

    Those of unit "loss" are bounded in units of the lowest loss that the target had, those of unit "draws" are in units
    of `d_ref`. One with a `spread` is drawn to its `center`, as one observation with that deviation would (of the
    logarithm, if `log`): what many observations say stays, what few say is not overdone.
    """

    name: str
    lower: float
    upper: float
    log: bool = True
    per_domain: bool = False
    unit: str = ""
    center: float = 0.0
    spread: float = np.inf


@dataclass(frozen=True)
class Inputs:
    """What N runs drew of K domains, and how many draws each domain gives before it repeats itself, both (N, K)."""

    draws: Array
    unique: Array

    @property
    def total(self) -> Array:
        """Draws of all domains (N,)."""
        total: Array = self.draws.sum(-1)
        return total

    @property
    def shares(self) -> Array:
        """Parts of the total (N, K)."""
        return self.draws / self.draws.sum(-1, keepdims=True)


@dataclass(frozen=True)
class Losses:
    """Losses (U, T, N), and by name their derivatives: (U, T, N), or (U, T, N, K) where there is one a domain."""

    value: Array
    by: Mapping[str, Array]


class Form(Protocol):
    """The form of a law. `own` (U, T, K) is 1 where a domain is the target itself, else 0."""

    @property
    def title(self) -> str:
        """The formula, on one line."""

    @property
    def local(self) -> tuple[Parameter, ...]:
        """What every target has of its own."""

    @property
    def shared(self) -> tuple[Parameter, ...]:
        """What the targets have in common."""

    @property
    def convex(self) -> bool:
        """Whether the loss is convex in the shares, so that the best mixture is found for certain."""

    def held(self, name: str, own: Array) -> Array | None:
        """Values (T, K) or (T, 1) that a fit must not move, NaN where it may; None for a parameter that is free."""

    def starts(self, inputs: Inputs, loss: Array, own: Array) -> list[dict[str, Any]]:
        """Where fits to `loss` (T, N), NaN where it was not measured, may start: numbers or (T, ...) by name."""

    def losses(self, values: Values, inputs: Inputs, own: Array) -> Losses:
        """The losses and their derivatives by every parameter."""

    def slope(self, values: Values, inputs: Inputs, own: Array) -> Array:
        """The derivatives of the losses by the draws (U, T, N, K)."""


def linear_start(curve: Array, loss: Array) -> tuple[Array, Array]:
    """E and a of the best E + a * curve for each target, kept above a tenth of the lowest loss: (T, N) -> (T, 1)."""
    seen = np.isfinite(loss)
    lowest = np.nanmin(loss, 1)
    found = []
    for target in range(len(loss)):
        rows, kept = seen[target], loss[target, seen[target]]
        design = np.column_stack([np.ones(len(kept)), curve[target, rows]]) / kept[:, None]
        found.append(np.linalg.lstsq(design, np.ones(len(kept)), rcond=None)[0])
    E, a = np.array(found).T
    return np.clip(E, 0.1 * lowest, 0.99 * lowest)[:, None], np.maximum(a, 0.1 * lowest)[:, None]


def power(base: Array, exponent: Array) -> Array:
    """base ** exponent, 0 for a base of 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(base > 0, np.exp(exponent * np.log(np.where(base > 0, base, 1.0))), 0.0)

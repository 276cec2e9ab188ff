"""Parameters of a form as rows of numbers that a fit moves, and back: names, boxes and derivatives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tools.forms.form import Array, Form, Inputs, Parameter, Values
from tools.forms.transfer import TOTAL
from tools.least_squares import Indices, Model


@dataclass(frozen=True)
class Layout:
    """The parameters of `form` over K domains: P columns a target, G that are shared."""

    form: Form
    count: int

    def local_names(self, domains: tuple[str, ...]) -> list[str]:
        """A name a column, as beta or tau:brain-t1."""
        return [name for one in self.form.local for name in _names(one, domains)]

    def unpack(self, local: Array, shared: Array) -> dict[str, Array]:
        """Natural values by name: (U, T, P) and (U, G) -> (U, T, 1) or (U, T, K), of shared ones (U, 1, ...)."""
        return _unpacked(self.form.local, local, self.count) | _unpacked(self.form.shared, shared[:, None], self.count)

    def pack(self, values: Mapping[str, Any], targets: int) -> Array:
        """Local parameters (T, P) of natural values, numbers or arrays (T, 1) or (T, K), by name."""
        columns = []
        for one in self.form.local:
            wide = np.broadcast_to(np.asarray(values[one.name], float), (targets, self.count if one.per_domain else 1))
            columns.append(np.log(wide) if one.log else wide)
        return np.concatenate(columns, 1)

    def box(self, lowest: Array, own: Array, *, one_budget: bool = False) -> tuple[Array, Array]:
        """Bounds (T, P) for targets with these lowest losses (T,), equal where a parameter is held.

        With runs of one budget that are B and alpha: what the total does cannot be told from E.
        """
        lower, upper = [], []
        for one in self.form.local:
            unit = lowest[:, None] if one.unit == "loss" else np.ones((len(own), 1))
            sides = [np.tile(side * unit, (1, self.count if one.per_domain else 1)) for side in (one.lower, one.upper)]
            held = self.form.held(one.name, own)
            if one_budget and one in TOTAL:
                held = sides[0]
            low, high = sides if held is None else [np.where(np.isnan(held), side, held) for side in sides]
            lower.append(np.log(low) if one.log else low)
            upper.append(np.log(high) if one.log else high)
        return np.concatenate(lower, 1), np.concatenate(upper, 1)

    def prior(self) -> tuple[Array, Array]:
        """Center and spread (P,) of the local parameters."""
        return _prior(self.form.local, self.count)

    def shared_box(self, noise: float) -> tuple[Array, Array, Array, Array]:
        """Lower, upper, center and precision (G,) of the shared parameters, for log residuals of this deviation."""
        columns: list[list[float]] = []
        for one in self.form.shared:
            sides = np.log([one.lower, one.upper]).tolist() if one.log else [one.lower, one.upper]
            columns += [sides] * (self.count if one.per_domain else 1)
        center, spread = _prior(self.form.shared, self.count)
        lower, upper = np.array(columns).reshape(-1, 2).T
        return lower, upper, center, (noise / spread) ** 2

    def log_losses(self, inputs: Inputs, own: Array) -> Model:
        """The model of a fit: log losses and their derivatives; `own` (U, T, K) is of all units."""

        def model(local: Array, shared: Array, units: Indices) -> tuple[Array, Array, Array]:
            values = self.unpack(local, shared)
            losses = self.form.losses(values, inputs, own[units])
            shape = losses.value.shape
            local_part = self._columns(self.form.local, losses.by, values, shape)
            shared_part = self._columns(self.form.shared, losses.by, values, shape)
            part = losses.value[..., None]
            return np.log(losses.value), local_part / part, shared_part / part

        return model

    def _columns(
        self, parameters: tuple[Parameter, ...], by: Mapping[str, Array], values: Values, shape: tuple[int, ...]
    ) -> Array:
        """Derivatives (U, T, N, columns) by what a fit moves."""
        columns = [np.empty((*shape, 0))]
        for one in parameters:
            wide = by[one.name] if one.per_domain else by[one.name][..., None]
            moved = wide * values[one.name][..., None, :] if one.log else wide
            columns.append(np.broadcast_to(moved, (*shape, moved.shape[-1])))
        return np.concatenate(columns, -1)


def _names(one: Parameter, domains: tuple[str, ...]) -> list[str]:
    return [f"{one.name}:{domain}" for domain in domains] if one.per_domain else [one.name]


def _unpacked(parameters: tuple[Parameter, ...], rows: Array, count: int) -> dict[str, Array]:
    values, column = {}, 0
    for one in parameters:
        width = count if one.per_domain else 1
        part = rows[..., column : column + width]
        values[one.name] = np.exp(part) if one.log else part
        column += width
    return values


def _prior(parameters: tuple[Parameter, ...], count: int) -> tuple[Array, Array]:
    """Centers and spreads, a number a column."""
    columns: list[list[float]] = []
    for one in parameters:
        center = float(np.log(one.center)) if one.log and one.center else one.center
        columns += [[center, one.spread]] * (count if one.per_domain else 1)
    center, spread = np.array(columns).reshape(-1, 2).T
    return center, spread

"""The transfer law: draws of every domain add up to effective draws of the target, and the loss is a power law of them.

    L_i = E_i + a_i D_eff,i^-beta_i [+ B_i D^-alpha_i]
    D_eff,i = d0_i + S(D_i)^kappa_i + sum over j != i of tau_ji S(D_j)^gamma_j
    S(D) = D up to U, beyond it U (1 + (1 - exp(-lambda (D/U - 1))) / lambda)

tau_ji is what a draw of j is worth to i, d0 what the model knows of i before it has seen anything (without it the loss
diverges in runs that draw nothing for i). An exponent gamma_j below 1 says that ever more of a source is worth ever
less, kappa_i says so of the target's own draws, and S of draws of a domain that repeats itself. The last term of the
loss is what draws of any kind remove, as they train the model; `split` has shares in place of draws in the first term,
so that only the last one knows the budget. With every tau fixed at 0 or 1 only a target's own draws count, or only the
total: the nulls.

For tau >= 0, gamma <= 1 and kappa <= 1 effective draws are concave in draws and the loss is convex in them.
The form of arXiv 2605.06859; S after Muennighoff et al., arXiv 2305.16264, with 1 / lambda = 15.4 for language models.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tools.forms.form import Array, Inputs, Losses, Parameter, Values, linear_start, power

REPEATS = 15.4
"""Repetitions after which repeated data has given most of what it can give, where the runs do not say."""

SPREAD = 0.3
"""How far from 0 transfers lie before runs say more: runs rank best with 0.1 to 0.3, intervals cover with 0.3."""

_LEAST = 1e-6
"""Effective draws that a signed law may fall to."""

_LOSS = {"unit": "loss", "lower": 6e-6}
_E = Parameter("E", upper=1.0, **_LOSS)  # type: ignore[arg-type]
_REMOVABLE = (Parameter("a", upper=1e3, **_LOSS), Parameter("beta", 0.01, 5.0))  # type: ignore[arg-type]
TOTAL = (Parameter("B", upper=1e3, **_LOSS), Parameter("alpha", 0.01, 5.0))  # type: ignore[arg-type]
_D0 = Parameter("d0", 1e-6, 1e3, unit="draws")
_GAMMA = Parameter("gamma", 0.2, 1.0, log=False, per_domain=True, center=1.0, spread=0.5)
_KAPPA = Parameter("kappa", 0.2, 1.0, log=False, center=1.0, spread=0.5)
_RATE = Parameter("lambda", 1e-3, 10.0, center=1 / REPEATS, spread=2.0)


@dataclass(frozen=True)
class Transfer:
    """A form of the family: `tau` fixes every transfer, `signed` lets it be negative."""

    offset: bool = True
    gamma: bool = False
    kappa: bool = False
    repeats: bool = False
    total: bool = False
    split: bool = False
    signed: bool = False
    tau: float | None = None

    @property
    def title(self) -> str:
        """The formula, on one line."""
        mine, theirs = ("h_i", "h_j") if self.split else ("S(D_i)", "S(D_j)") if self.repeats else ("D_i", "D_j")
        source = theirs + ("^gamma_j" if self.gamma else "")
        others = f" + sum tau_ji {source}" if self.tau is None else f" + sum {source}" if self.tau else ""
        own = mine + ("^kappa_i" if self.kappa else "")
        effective = ("d0_i + " if self.offset else "") + own + others
        return f"E_i + a_i ({effective})^-beta_i" + (" + B_i D^-alpha_i" if self._two else "")

    @property
    def local(self) -> tuple[Parameter, ...]:
        """What every target has of its own."""
        tau = Parameter("tau", -2.0 if self.signed else 0.0, 2.0, log=False, per_domain=True, spread=SPREAD)
        extras = (*([_D0] if self.offset else []), *([_KAPPA] if self.kappa else []), *(TOTAL if self._two else ()))
        return (_E, *_REMOVABLE, *extras, tau)

    @property
    def shared(self) -> tuple[Parameter, ...]:
        """What the targets have in common."""
        return (*([_GAMMA] if self.gamma else []), *([_RATE] if self.repeats else []))

    @property
    def convex(self) -> bool:
        """Whether the loss is convex in the shares."""
        return not self.signed or not (self.gamma or self.kappa or self.repeats)

    @property
    def _two(self) -> bool:
        return self.total or self.split

    def held(self, name: str, own: Array) -> Array | None:
        """The target's own transfer is 1."""
        if name != "tau":
            return None
        return np.where(own > 0, 1.0, np.nan if self.tau is None else self.tau)

    def starts(self, inputs: Inputs, loss: Array, own: Array) -> list[dict[str, Any]]:
        """Four: of small and large beta and transfer."""
        d0 = 0.02 if self.offset else _LEAST
        found = []
        for beta in (0.3, 1.0):
            for tau in (0.05, 0.5):
                worth = np.where(own > 0, 1.0, tau if self.tau is None else self.tau)
                amounts = inputs.shares if self.split else inputs.draws
                E, a = linear_start((d0 + worth @ amounts.T) ** -beta, loss)
                found.append({"E": E, "a": a, "beta": beta, "d0": d0, "kappa": 0.9})
                found[-1] |= {"B": 0.1 * a, "alpha": 0.3, "tau": tau}
        return found

    def losses(self, values: Values, inputs: Inputs, own: Array) -> Losses:
        """The losses and their derivatives by every parameter."""
        amounts, changes = self._amounts(values, inputs, own)  # (U, T, N, K)
        effective = self._effective(values, amounts)
        a, beta, tau = values["a"], values["beta"], values["tau"]
        curve = effective**-beta
        slope = -beta * a * curve / effective  # (U, T, N)
        by = {"E": np.ones_like(curve), "a": curve, "beta": -a * curve * np.log(effective)}
        by |= {"tau": slope[..., None] * amounts} | ({"d0": slope} if self.offset else {})
        for name, change in changes.items():
            by[name] = slope[..., None] * tau[..., None, :] * change
        for name in {"kappa", "lambda"} & by.keys():
            by[name] = by[name].sum(-1)
        value = values["E"] + a * curve
        if self._two:
            more = total_losses(values, inputs)
            value, by = value + more.value, {**by, **more.by}
        return Losses(value, by)

    def slope(self, values: Values, inputs: Inputs, own: Array) -> Array:
        """The derivatives of the losses by the draws."""
        amounts, _ = self._amounts(values, inputs, own)
        effective = self._effective(values, amounts)
        fall = -values["beta"] * values["a"] * effective ** -values["beta"] / effective  # (U, T, N)
        worth = fall[..., None] * values["tau"][..., None, :]  # by the amounts
        if self.split:
            shares = inputs.shares
            chained = worth * self._growth(values, shares, own)
            slope = (chained - (chained * shares).sum(-1, keepdims=True)) / inputs.total[:, None]
        else:
            kept = self._kept(values, inputs) if self.repeats else 1.0
            slope = worth * self._growth(values, self._distinct(values, inputs), own) * kept
        return slope + total_slope(values, inputs)[..., None] if self._two else slope

    def _effective(self, values: Values, amounts: Array) -> Array:
        """Effective draws of each target (U, T, N), or the same of shares where the form is split."""
        start = values["d0"] if self.offset else _LEAST
        effective: Array = start + (amounts @ values["tau"][..., None])[..., 0]
        return np.maximum(effective, _LEAST) if self.signed else effective

    def _amounts(self, values: Values, inputs: Inputs, own: Array) -> tuple[Array, dict[str, Array]]:
        """What tau multiplies (U, T, N, K) or (1, 1, N, K), and its derivatives by the shared parameters."""
        distinct = inputs.shares[None, None] if self.split else self._distinct(values, inputs)
        changes = {"lambda": self._rate_change(values, inputs)} if self.repeats else {}
        if not (self.gamma or self.kappa):
            return distinct, changes
        amounts = power(distinct, self._exponent(values, own))
        bend = amounts * np.log(np.where(distinct > 0, distinct, 1.0))
        changes = {name: change * self._growth(values, distinct, own) for name, change in changes.items()}
        changes |= {"gamma": np.where(own[..., None, :] > 0, 0.0, bend)} if self.gamma else {}
        changes |= {"kappa": np.where(own[..., None, :] > 0, bend, 0.0)} if self.kappa else {}
        return amounts, changes

    def _exponent(self, values: Values, own: Array) -> Array:
        """What each amount is raised to (U, T, 1, K)."""
        sources, mine = values["gamma"] if self.gamma else 1.0, values["kappa"] if self.kappa else 1.0
        return np.where(own > 0, mine, sources)[..., None, :]

    def _growth(self, values: Values, distinct: Array, own: Array) -> Array:
        """The derivative of S^gamma by S; where nothing was drawn it is taken at a millionth of `d_ref`."""
        if not (self.gamma or self.kappa):
            return np.ones_like(distinct)
        exponent = self._exponent(values, own)
        return exponent * power(np.maximum(distinct, _LEAST), exponent - 1)

    def _distinct(self, values: Values, inputs: Inputs) -> Array:
        """S(D), (1, 1, N, K) or (U, 1, N, K)."""
        draws, unique = inputs.draws, inputs.unique
        if not (self.repeats and (draws > unique).any()):
            return draws[None, None]
        rate = values["lambda"][..., None]
        gained = -np.expm1(-rate * np.maximum(draws / unique - 1, 0)) / rate
        return np.where(draws > unique, np.where(draws > unique, unique, 0.0) * (1 + gained), draws)

    def _kept(self, values: Values, inputs: Inputs) -> Array:
        """The derivative of S by D."""
        return np.exp(-values["lambda"][..., None] * np.maximum(inputs.draws / inputs.unique - 1, 0))

    def _rate_change(self, values: Values, inputs: Inputs) -> Array:
        """The derivative of S by lambda."""
        rate, over = values["lambda"][..., None], np.maximum(inputs.draws / inputs.unique - 1, 0)
        decay = np.exp(-rate * over)
        return np.where(over > 0, inputs.unique, 0.0) * (over * decay * rate - (1 - decay)) / rate**2


def total_losses(values: Values, inputs: Inputs) -> Losses:
    """B D^-alpha of the total draws D."""
    B, alpha, total = values["B"], values["alpha"], inputs.total
    curve = total**-alpha
    return Losses(B * curve, {"B": curve, "alpha": -B * curve * np.log(total)})


def total_slope(values: Values, inputs: Inputs) -> Array:
    """Its derivative by the draws of any domain (U, T, N)."""
    slope: Array = -values["alpha"] * values["B"] * inputs.total ** -values["alpha"] / inputs.total
    return slope

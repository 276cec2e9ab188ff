"""Laws as plain numbers in one formula, so that a page can predict and solve whatever the form.

    L_i = E_i + (A_i + M_i D^-m_i) f(u_i) + B_i D^-alpha_i,   u_i = d_i + sum over j of w_ij S(x_j)^p_ij

with f(u) = u^-q_i or exp(u), and x_j the draws of domain j in units of `d_ref`, or its share. S is that of
`tools.forms.transfer`, x itself where nothing repeats. Every form of `tools.forms` is of this kind; one added later
that is not has no portable law (None), and its mixtures are solved by `tools.solve` alone.
"""

from typing import Any

import numpy as np

from tools.forms.additive import Additive
from tools.forms.bimix import BiMix
from tools.forms.exponential import Exponential
from tools.forms.form import Array
from tools.forms.transfer import Transfer
from tools.laws import Laws

_COLUMNS = {
    "constant": 0.0,
    "scale": 1.0,
    "scaleTotal": 0.0,
    "scaleFall": 0.0,
    "fall": 1.0,
    "total": 0.0,
    "totalFall": 0.0,
    "start": 0.0,
}
"""E, A, M, m, q, B, alpha and d of the formula, and what they are where a form lacks them."""
_LEAST = 1e-6


def portable(laws: Laws) -> dict[str, Any] | None:
    """Numbers of the formula, ready for JSON (infinity is None); None for a form that the formula does not hold."""
    form = laws.layout.form
    value = {name: numbers[0] for name, numbers in laws.curves.values.items()}
    if isinstance(form, Transfer):
        parts = _transfer(form, value, laws.own)
    elif isinstance(form, BiMix):
        names = {"scale": "C", "scaleTotal": "B", "scaleFall": "alpha", "fall": "a", "start": "h0"}
        parts = {new: value[old] for new, old in names.items()} | {"weights": laws.own}
    elif isinstance(form, Exponential):
        parts = _with_total(value) | {"weights": value["t"]}
    elif isinstance(form, Additive):
        parts = _with_total(value) | {"weights": value["C"], "exponents": value["g"]}
    else:
        return None
    draws = isinstance(form, Transfer) and not form.split
    repeats = isinstance(form, Transfer) and form.repeats and not form.split
    unique = [laws.unique.get(domain, np.inf) / laws.d_ref for domain in laws.domains]
    return {
        "domains": list(laws.domains),
        "targets": list(laws.targets),
        "unit": laws.d_ref,
        "amounts": "draws" if draws else "shares",
        "outer": "exp" if isinstance(form, Exponential) else "power",
        "rate": float(value["lambda"].item()) if repeats else None,
        "unique": [most if repeats and np.isfinite(most) else None for most in unique],
        "least": _LEAST if isinstance(form, Transfer) and form.signed else 0.0,
        "laws": _rows(parts, laws.own.shape),
    }


def _transfer(form: Transfer, value: dict[str, Array], own: Array) -> dict[str, Array]:
    parts = {"constant": value["E"], "scale": value["a"], "fall": value["beta"], "weights": value["tau"]}
    parts["start"] = value["d0"] if form.offset else np.array([[_LEAST]])
    if form.total or form.split:
        parts |= {"total": value["B"], "totalFall": value["alpha"]}
    sources, mine = value["gamma"] if form.gamma else 1.0, value["kappa"] if form.kappa else 1.0
    return parts | {"exponents": np.where(own > 0, mine, sources)}


def _with_total(value: dict[str, Array]) -> dict[str, Array]:
    return {"constant": value["E"], "total": value["B"], "totalFall": value["alpha"]}


def _rows(parts: dict[str, Array], shape: tuple[int, int]) -> list[dict[str, Any]]:
    """An object a target, its numbers by name and its lists a number a domain."""
    single = {
        name: np.broadcast_to(parts.get(name, np.array(usual)), (shape[0], 1)) for name, usual in _COLUMNS.items()
    }
    wide = {name: np.broadcast_to(parts.get(name, np.array(1.0)), shape) for name in ("weights", "exponents")}
    return [
        {name: float(column[row, 0]) for name, column in single.items()}
        | {name: table[row].tolist() for name, table in wide.items()}
        for row in range(shape[0])
    ]

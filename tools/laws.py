"""Laws: what a mixture of domains does to the held-out loss of each target, with how well that is known.

    L_i = f(draws of every domain; parameters of target i, parameters that all targets share)

`tools.forms` holds the forms that f may have. `Curves` are laws as arrays, of one set of parameters or of the hundreds
of a bootstrap; `Laws` are the fitted ones under the names of their domains, as laws.json holds them:

    schema_version, form, domains, d_ref
    targets     for each its parameters, 90 % intervals and diagnostics; draws are draws, losses losses
    shared      parameters that all targets share, and their intervals
    samples     the bootstrap's parameters as a fit moves them (logarithms): local (M, T, P) and shared (M, G)
    unique      draws that each domain gives before it repeats itself, where the runs say so
    data        what the laws were fitted to, and its fingerprint

`d_ref`, the geometric mean of the runs' budgets, is the unit of draws inside the forms: it makes `a` the removable loss
at a typical budget and decorrelates it from beta.

After "Knowledge Transfer Scaling Laws for 3D Medical Imaging", arXiv 2605.06859.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mixio.errors import FitError
from tools.forms import FORMS
from tools.forms.form import Array, Form, Inputs, Values
from tools.forms.layout import Layout

SCHEMA_VERSION = 2
COVERED = 0.9
"""What part of the bootstrap's samples an interval holds."""
ENDS = (50 * (1 - COVERED), 50 * (1 + COVERED))
"""The percentiles that it lies between."""
_DIGITS = 8


@dataclass(frozen=True)
class Curves:
    """U sets of laws of T targets over K domains, as functions of draws; `own` (T, K) is 1 for a target's own domain.

    `unique` (K,) are the draws that a domain gives before it repeats itself, infinity where that is not known.
    """

    form: Form
    values: Values
    own: Array
    unique: Array
    d_ref: float

    def predict(self, draws: Array, unique: Array | None = None) -> Array:
        """Losses (U, T, N) after these draws (N, K)."""
        losses: Array = self.form.losses(self.values, self._inputs(draws, unique), self.own[None]).value
        return losses

    def slope(self, draws: Array, unique: Array | None = None) -> Array:
        """Their derivatives by the draws (U, T, N, K)."""
        slope: Array = self.form.slope(self.values, self._inputs(draws, unique), self.own[None]) / self.d_ref
        return slope

    def only(self, samples: slice | list[int]) -> "Curves":
        """Some of the sets."""
        values = {name: value[samples] for name, value in self.values.items()}
        return Curves(self.form, values, self.own, self.unique, self.d_ref)

    def _inputs(self, draws: Array, unique: Array | None) -> Inputs:
        most = self.unique if unique is None else unique
        return Inputs(draws / self.d_ref, np.broadcast_to(most, draws.shape) / self.d_ref)


@dataclass(frozen=True)
class TargetLaw:
    """The law of one target: parameters by name (of each domain by the domain's name), intervals, diagnostics."""

    parameters: dict[str, Any]
    diagnostics: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Samples:
    """What a bootstrap found, as a fit moves it: local (M, T, P) and shared (M, G)."""

    local: Array
    shared: Array


@dataclass(frozen=True)
class Laws:
    """The laws of all targets over the same domains, in one form; every target is one of the domains.

    Arrays have a row a target, in the order of `targets`, and a column a domain.
    """

    domains: tuple[str, ...]
    d_ref: float
    targets: dict[str, TargetLaw]
    form: str = "transfer"
    shared: dict[str, Any] = field(default_factory=dict)
    unique: dict[str, float] = field(default_factory=dict)
    samples: Samples | None = None
    data: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise FitError(f"there is no form {self.form!r}; there are {', '.join(FORMS)}")
        for name, law in self.targets.items():
            if name not in self.domains:
                raise FitError(f"target {name!r} is not one of the domains {list(self.domains)}")
            for one in self.layout.form.local:
                given = law.parameters.get(one.name)
                if given is None:
                    raise FitError(f"the law of {name!r} lacks {one.name}, which the form {self.form} has")
                if one.per_domain and (missing := sorted(set(self.domains) - {name} - set(given))):
                    raise FitError(f"the law of {name!r} lacks {one.name} of {missing}")

    @property
    def layout(self) -> Layout:
        """How the parameters lie in rows."""
        return Layout(FORMS[self.form], len(self.domains))

    @cached_property
    def own(self) -> Array:
        """(T, K): 1 where a domain is the target itself."""
        return np.array([[float(name == domain) for domain in self.domains] for name in self.targets])

    @cached_property
    def local(self) -> Array:
        """The fitted parameters of the targets as a fit moves them (T, P)."""
        form = self.layout.form
        rows = [
            {one.name: self._row(one.name, law.parameters[one.name], one.unit, target) for one in form.local}
            for target, law in self.targets.items()
        ]
        return np.concatenate([self.layout.pack(row, 1) for row in rows])

    @cached_property
    def curves(self) -> Curves:
        """The fitted laws, U = 1."""
        return self._curves(self.local[None], self._shared_row[None])

    @cached_property
    def resampled(self) -> Curves | None:
        """The laws of every bootstrap sample; None if there was no bootstrap."""
        return None if self.samples is None else self._curves(self.samples.local, self.samples.shared)

    def predict(self, draws: Array, unique: Array | None = None) -> Array:
        """Held-out loss of each target after these draws of each domain: (..., K) -> (..., T)."""
        draws = np.asarray(draws, float)
        most = None if unique is None else np.asarray(unique, float).reshape(-1, draws.shape[-1])
        return self.curves.predict(draws.reshape(-1, draws.shape[-1]), most)[0].T.reshape(*draws.shape[:-1], -1)

    def gradient(self, draws: Array) -> Array:
        """Derivative of each loss by the draws of each domain: (K,) -> (T, K)."""
        gradient: Array = self.curves.slope(np.asarray(draws, float)[None])[0, :, 0]
        return gradient

    def transfer(self, draws: Array | None = None) -> Array:
        """(T, K): what a draw of each domain is worth to each target, in draws of its own; 1 for its own.

        That is the ratio of the derivatives at these draws, an even mixture of `d_ref` if none are given, whatever the
        form; tau itself where the form is linear in draws.
        """
        even = np.full(len(self.domains), self.d_ref / len(self.domains))
        return exchange(self.curves, even if draws is None else draws)[0]

    def array(self, draws: Mapping[str, float]) -> Array:
        """Draws or shares by name as an array in the order of `domains`; a domain that is absent has none."""
        return np.array([draws.get(domain, 0.0) for domain in self.domains], float)

    @property
    def fingerprint(self) -> str:
        """16 hex characters that name these laws, whatever was recorded beside them."""
        parameters = [[name, law.parameters] for name, law in self.targets.items()]
        content = [self.form, self.domains, self.d_ref, parameters, self.shared, self.unique]
        canonical = json.dumps(content, sort_keys=True)
        return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()

    def interval(self, name: str, target: str | None = None) -> Any:
        """The bootstrap's 90 % interval [low, high] of a parameter, by domain if there is one for each; else None.

        Of a shared one if no target is named.
        """
        if self.resampled is None:
            return None
        row = 0 if target is None else list(self.targets).index(target)
        spread = self.resampled.values[name][:, row]  # (M, 1 or K)
        ends = np.percentile(spread, ENDS, 0).T.tolist()
        scaled = [[end * self._unit(name) for end in pair] for pair in ends]
        return scaled[0] if len(scaled) == 1 and not self._each(name) else self._named(name, scaled, target)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write laws.json, making its folder."""
        form = self.layout.form
        targets = {
            name: {
                "parameters": law.parameters,
                "intervals": {one.name: self.interval(one.name, name) for one in form.local} if self.samples else None,
                "diagnostics": law.diagnostics,
            }
            for name, law in self.targets.items()
        }
        content = {
            "schema_version": SCHEMA_VERSION,
            "form": self.form,
            "domains": list(self.domains),
            "d_ref": self.d_ref,
            "targets": targets,
            "shared": self.shared,
            "shared_intervals": {one.name: self.interval(one.name) for one in form.shared} if self.samples else None,
            "unique": self.unique,
            "samples": {name: _rounded(rows) for name, rows in vars(self.samples).items()} if self.samples else None,
            "data": self.data,
            "provenance": {**self.provenance, "fingerprint": self.fingerprint},
        }
        temporary = Path(f"{path}.tmp")
        temporary.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
        os.replace(temporary, path)

    @property
    def _shared_row(self) -> Array:
        row: list[float] = []
        for one in self.layout.form.shared:
            given = self.shared[one.name]
            numbers = [given[domain] for domain in self.domains] if one.per_domain else [given]
            row += np.log(numbers).tolist() if one.log else numbers
        return np.array(row, float)

    def _curves(self, local: Array, shared: Array) -> Curves:
        unique = np.array([self.unique.get(domain, np.inf) for domain in self.domains])
        return Curves(self.layout.form, self.layout.unpack(local, shared), self.own, unique, self.d_ref)

    def _row(self, name: str, given: Any, unit: str, target: str) -> Any:
        """A parameter as the form has it; the target's own transfer, which laws.json leaves out, is 1."""
        if isinstance(given, Mapping):
            return np.array([[given.get(domain, 1.0 if domain == target else 0.0) for domain in self.domains]])
        return given / (self.d_ref if unit == "draws" else 1.0)

    def _each(self, name: str) -> bool:
        form = self.layout.form
        return any(one.name == name and one.per_domain for one in (*form.local, *form.shared))

    def _unit(self, name: str) -> float:
        return self.d_ref if any(one.name == name and one.unit == "draws" for one in self.layout.form.local) else 1.0

    def _named(self, name: str, numbers: list[Any], target: str | None) -> dict[str, Any]:
        held = self.layout.form.held(name, self.own)
        kept = target if held is not None else None
        return {domain: number for domain, number in zip(self.domains, numbers, strict=True) if domain != kept}


def exchange(curves: Curves, draws: Array) -> Array:
    """(U, T, K): what a draw of each domain is worth to each target, in draws of its own, at these draws (K,)."""
    slope = curves.slope(draws[None])[:, :, 0]  # (U, T, K)
    own = (slope * curves.own).sum(-1, keepdims=True)
    worth: Array = slope / np.minimum(own, -1e-300)
    return worth


def parameters_of(layout: Layout, local: Array, domains: tuple[str, ...], target: str, d_ref: float) -> dict[str, Any]:
    """A row of parameters (P,) by name, in draws and units of the loss; without the target's own transfer."""
    own = np.array([[float(domain == target) for domain in domains]])
    values = layout.unpack(local[None, None], np.empty((1, 0)))
    named: dict[str, Any] = {}
    for one in layout.form.local:
        numbers = (values[one.name][0, 0] * (d_ref if one.unit == "draws" else 1.0)).tolist()
        kept = target if layout.form.held(one.name, own) is not None else None
        by_domain = {domain: number for domain, number in zip(domains, numbers, strict=False) if domain != kept}
        named[one.name] = by_domain if one.per_domain else numbers[0]
    return named


def shared_of(layout: Layout, row: Array, domains: tuple[str, ...]) -> dict[str, Any]:
    """Shared parameters (G,) by name."""
    values = layout.unpack(np.empty((1, 1, 0)), row[None])
    return {
        one.name: dict(zip(domains, values[one.name][0, 0].tolist(), strict=True))
        if one.per_domain
        else float(values[one.name][0, 0, 0])
        for one in layout.form.shared
    }


def load_laws(path: str | os.PathLike[str]) -> Laws:
    """Read laws.json."""
    try:
        content = json.loads(Path(path).read_text())
        if content["schema_version"] != SCHEMA_VERSION:
            raise FitError(
                f"{path} holds laws of schema_version {content['schema_version']!r}, expected {SCHEMA_VERSION}; "
                "fit them again with tools.fit_laws"
            )
        samples = content["samples"]
        return Laws(
            tuple(content["domains"]),
            content["d_ref"],
            {name: TargetLaw(law["parameters"], law["diagnostics"]) for name, law in content["targets"].items()},
            content["form"],
            content["shared"],
            content["unique"],
            Samples(*(np.array(samples[name], float) for name in ("local", "shared"))) if samples else None,
            content["data"],
            content["provenance"],
        )
    except (OSError, json.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, FitError):
            raise
        raise FitError(f"{path} is not a laws.json as tools.fit_laws writes it: {error!r}") from error


def _rounded(rows: Array) -> Any:
    return np.round(rows, _DIGITS).tolist()

"""Transfer scaling laws: what a mixture of domains does to the held-out loss of each of them.

For target i after D_j draws of every domain j, in all runs together:

    L_i = E_i + a_i (D_eff,i / d_ref)^-beta_i        D_eff,i = d0_i + D_i + sum over j != i of tau_ji D_j

E is the loss that no data removes, tau_ji what one draw of j is worth to i in draws of i, and d0 what the
model knows of i before it has seen anything (without it the loss diverges in runs that draw nothing for i).
`d_ref`, the geometric mean of the runs' budgets, makes `a` the removable loss at a typical budget and
decorrelates it from beta. For tau >= 0 every L_i is convex in the draws.

Fixing every tau gives the two nulls that the law must beat: at 0 only a target's own draws count, at 1 only
the total does, whatever the mixture. The form is the linear one: no repetition term and no exponent on the
sources, so it holds while domains are not repeated often and for budgets near those it was fitted on.

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
from numpy.typing import NDArray

from mixio.errors import FitError

SCHEMA_VERSION = 1
FORM = "transfer"

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TargetLaw:
    """The law of one target: E and a in units of the loss, d0 in draws, tau in its draws per draw of a source."""

    E: float
    a: float
    beta: float
    d0: float
    tau: dict[str, float]
    diagnostics: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Laws:
    """The laws of all targets over the same domains; every target is one of the domains.

    The properties are arrays with a row a target, in the order of `targets`, and a column a domain.
    """

    domains: tuple[str, ...]
    d_ref: float
    targets: dict[str, TargetLaw]
    data: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, law in self.targets.items():
            if name not in self.domains:
                raise FitError(f"target {name!r} is not one of the domains {list(self.domains)}")
            if missing := set(self.domains) - {name} - set(law.tau):
                raise FitError(f"the law of {name!r} lacks the transfer from {sorted(missing)}")

    @cached_property
    def transfer(self) -> Array:
        """(T, K): what a draw of each domain is worth to each target; 1 for its own."""
        return np.array(
            [[1.0 if name == j else law.tau[j] for j in self.domains] for name, law in self.targets.items()]
        )

    @cached_property
    def curves(self) -> Array:
        """(4, T): E, a, beta and d0."""
        return np.array([[law.E, law.a, law.beta, law.d0] for law in self.targets.values()]).T

    def effective(self, draws: Array) -> Array:
        """Effective draws of each target: (..., K) -> (..., T)."""
        return self.curves[3] + np.asarray(draws, float) @ self.transfer.T

    def predict(self, draws: Array) -> Array:
        """Held-out loss of each target after these draws of each domain: (..., K) -> (..., T)."""
        E, a, beta, _ = self.curves
        return E + a * (self.effective(draws) / self.d_ref) ** -beta

    def gradient(self, draws: Array) -> Array:
        """Derivative of each loss by the draws of each domain: (K,) -> (T, K)."""
        _, a, beta, _ = self.curves
        slope = -a * beta / self.d_ref * (self.effective(draws) / self.d_ref) ** (-beta - 1)  # (T,)
        return slope[:, None] * self.transfer

    def array(self, draws: Mapping[str, float]) -> Array:
        """Draws or shares by name as an array in the order of `domains`; a domain that is absent has none."""
        return np.array([draws.get(domain, 0.0) for domain in self.domains], float)

    @property
    def fingerprint(self) -> str:
        """16 hex characters that name these laws, whatever was recorded beside them."""
        parameters = [[name, law.E, law.a, law.beta, law.d0, law.tau] for name, law in self.targets.items()]
        canonical = json.dumps([self.domains, self.d_ref, parameters], sort_keys=True)
        return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write laws.json, making its folder."""
        content = {
            "schema_version": SCHEMA_VERSION,
            "form": FORM,
            "domains": list(self.domains),
            "d_ref": self.d_ref,
            "targets": {name: dict(vars(law)) for name, law in self.targets.items()},
            "data": self.data,
            "provenance": {**self.provenance, "fingerprint": self.fingerprint},
        }
        temporary = Path(f"{path}.tmp")
        temporary.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
        os.replace(temporary, path)


def load_laws(path: str | os.PathLike[str]) -> Laws:
    """Read laws.json."""
    try:
        content = json.loads(Path(path).read_text())
        schema, form = content["schema_version"], content["form"]
        if (schema, form) != (SCHEMA_VERSION, FORM):
            raise FitError(
                f"{path} holds laws of schema {schema!r} and form {form!r}, expected {SCHEMA_VERSION} and {FORM!r}"
            )
        targets = {name: TargetLaw(**law) for name, law in content["targets"].items()}
        domains, provenance = tuple(content["domains"]), content["provenance"]
        return Laws(domains, content["d_ref"], targets, content["data"], provenance)
    except (OSError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise FitError(f"{path} is not a laws.json as tools.fit_laws writes it: {error!r}") from error


def log_loss(theta: Array, own: Array, sources: Array) -> tuple[Array, Array]:
    """Log of the predicted loss of one target in N runs, and its derivative by the parameters.

    `theta` is (log E, log a, log beta, log d0, tau of S sources). `own` (N,), `sources` (N, S) and d0 are draws
    in units of d_ref. Returns (N,) and (N, 4 + S).
    """
    E, a, beta, d0 = np.exp(theta[:4])
    effective = d0 + own + sources @ theta[4:]  # (N,)
    removable = a * effective**-beta
    loss = E + removable
    slope = -beta * removable / effective
    columns = [np.full_like(loss, E), removable, -beta * np.log(effective) * removable, slope * d0]
    jacobian = np.column_stack([*columns, slope[:, None] * sources])
    return np.log(loss), jacobian / loss[:, None]

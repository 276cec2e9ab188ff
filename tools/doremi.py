"""DoReMi: a small proxy is trained against the domains where it lags furthest behind a reference; that mixture is kept.

The reference is trained on the uniform mixture. The proxy begins anew on the same draws, but each domain's mean loss
counts by a weight, which rises where the proxy is still worse than the reference (group distributionally robust
optimization, by exponentiated gradient):

    excess_j = mean over the domain's patches of max(loss of the proxy - loss of the reference, 0)
    w_j      <- w_j exp(eta excess_j), made to sum to 1, then (1 - c) w_j + c / K
    step     down sum over j of w_j (mean loss of the proxy in domain j)

The shares are the mean of w over all steps. After Xie et al., "DoReMi", arXiv 2305.10429, algorithm 1, eta = 1 and
c = 1e-3. There a loss is in nats; here it is a squared error, so excess is counted in the reference's mean loss over
the batch, and eta means the same whatever the intensities. A domain that a batch lacks keeps its last excess, as in
the authors' code. The mixture knows nothing of the budget that it is then used with.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixio.errors import InvalidArgument
from mixio.store import Store
from models.mae_dense import Autoencoder
from tools.baselines import uniform
from tools.forms.form import Array
from tools.heldout import HeldOut
from tools.loop import losses_of
from tools.options import TrainOptions
from tools.train import train

ETA, SMOOTHING = 1.0, 1e-3


@dataclass(frozen=True)
class Proxy:
    """What came of it: the shares, the mean excess of each domain, the weights of every step (steps, K), and the
    held-out losses of both models.
    """

    shares: dict[str, float]
    excess: dict[str, float]
    path: Array
    reference_loss: dict[str, float]
    proxy_loss: dict[str, float]


@dataclass
class Weights:
    """The weights (K,) of `domains`, changed by every batch that `objective` is asked about; `reference` is trained."""

    domains: tuple[str, ...]
    reference: Autoencoder
    eta: float = ETA
    path: list[Array] = field(default_factory=list)
    excess: list[Array] = field(default_factory=list)

    def objective(self, losses: Tensor, batch: Mapping[str, Any]) -> Tensor:
        """The weighted sum of the domains' mean losses, by the weights that this batch's losses (B,) lead to."""
        with torch.no_grad():
            expected = losses_of(self.reference, batch)  # (B,)
        over = ((losses.detach() - expected).clamp(min=0) / expected.mean()).cpu().numpy()
        member = np.array([[name == domain for name in batch["domain"]] for domain in self.domains])  # (K, B)
        count = member.sum(1)
        last = self.excess[-1] if self.excess else np.zeros(len(self.domains))
        self.excess.append(np.where(count, member @ over / np.maximum(count, 1), last))
        before = self.path[-1] if self.path else np.full(len(self.domains), 1 / len(self.domains))
        self.path.append(updated(before, self.excess[-1], eta=self.eta))
        each = (self.path[-1] / np.maximum(count, 1)) @ member  # (B,): what a patch of its domain counts
        return losses @ torch.as_tensor(each, dtype=losses.dtype, device=losses.device)


def updated(weights: Array, excess: Array, *, eta: float = ETA, smoothing: float = SMOOTHING) -> Array:
    """Weights (K,) after one step of exponentiated gradient, mixed with the uniform ones."""
    risen = weights * np.exp(eta * (excess - excess.max()))
    mixed: Array = (1 - smoothing) * risen / risen.sum() + smoothing / len(weights)
    return mixed


def doremi(store: Store, options: TrainOptions, *, eta: float = ETA) -> Proxy:
    """Train a reference and a proxy on the store's `train` split, each as `options` say, and take the mean weights.

    Deterministic on one machine. Raises as `tools.train.train` does; `InvalidArgument` if `eta` is not positive.
    """
    if not 0 < eta < np.inf:
        raise InvalidArgument(f"eta must be finite and positive, got {eta}")
    if len(store.domains) > options.batch_size:
        raise InvalidArgument(
            f"a batch must have room for all {len(store.domains)} domains, got batch_size {options.batch_size}"
        )
    held_out = HeldOut.read(store, patch_size=options.model.patch_size, crops=options.eval_crops)
    even = uniform(store.domains)
    reference = train(store, even, options, held_out=held_out)
    weights = Weights(tuple(store.domains), reference.mae, eta)
    proxy = train(store, even, options, held_out=held_out, objective=weights.objective)
    mean = np.mean(weights.path, 0)
    return Proxy(
        dict(zip(store.domains, (mean / mean.sum()).tolist(), strict=True)),
        dict(zip(store.domains, np.mean(weights.excess, 0).tolist(), strict=True)),
        np.array(weights.path),
        reference.loss,
        proxy.loss,
    )

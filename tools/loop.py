"""One optimizer step: batches to gradients, of one process or of all ranks, to weights and their average.

A step descends the mean of the objectives of `accumulate` batches on each rank, so the same draws give the same step
however they are split, but for rounding.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mixio.errors import MixioError
from mixio.ranks import of_all_ranks
from models.mae_dense import Autoencoder, autoencoder
from tools.distributed import averaging, device_of, parallel, total, world_size
from tools.heldout import visible_tokens
from tools.options import TrainOptions
from tools.schedule import learning_rate

Batch = Mapping[str, Any]
Objective = Callable[[Tensor, Batch], Tensor]
"""What a step descends, of the losses (B,) of the patches of a batch, and of the batch."""
_NAMED = 20
"""Patches that an error names."""


def mean_loss(losses: Tensor, batch: Batch) -> Tensor:
    """The mean of the losses: every draw counts alike."""
    return losses.mean()


class Learner:
    """A model in training: `mae`, its `optimizer`, and with `options.ema` the `averaged` weights, else None."""

    def __init__(self, options: TrainOptions, objective: Objective = mean_loss) -> None:
        self.options, self.objective = options, objective
        self.steps = options.steps_of(world_size())
        self.device = device_of(options.device)
        self.mae = build(options).to(self.device)
        self.mae.recompute = options.recompute
        self.optimizer = _optimizer(self.mae, options)
        average = get_ema_multi_avg_fn(options.ema)
        self.averaged = AveragedModel(self.mae, multi_avg_fn=average) if options.ema else None
        if options.compile:
            self.mae.compile()
        self.forward = parallel(self.mae, self.device)

    @property
    def result(self) -> Autoencoder:
        """What is measured, saved and shown: the average where there is one."""
        return self.mae if self.averaged is None else self.averaged.module

    def step(self, number: int, batches: Sequence[Batch]) -> float:
        """Make step `number`, the first being 1; the objective before it, over all ranks.

        Raises `MixioError` on every rank, and leaves the weights as they were, if a loss on any is not finite.
        """
        _set_rate(self.optimizer, number - 1, self.steps, self.options)
        self.optimizer.zero_grad()
        objective, bad = 0.0, []
        for place, batch in enumerate(batches, start=1):
            with averaging(self.forward, now=place == len(batches)):
                losses = losses_of(self.mae, batch, forward=self.forward, precision=self.options.precision)
                part = self.objective(losses, batch) / len(batches)
                part.backward()
            objective += part.item()
            bad += _not_finite(losses, batch)
        objective, count = total(objective, len(bad), device=self.device)
        if count:
            raise _divergence([patch for of_rank in of_all_ranks(bad) for patch in of_rank], self.options, world_size())
        nn.utils.clip_grad_norm_(self.mae.parameters(), self.options.clip)
        self.optimizer.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.mae)
        return objective / world_size()


def build(options: TrainOptions) -> Autoencoder:
    """The untrained model, on the CPU; leaves torch's global random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        return autoencoder(options.model.config)


def losses_of(mae: Autoencoder, batch: Batch, *, forward: nn.Module | None = None, precision: str = "auto") -> Tensor:
    """The losses of the patches of a batch (B,), under the masks that belong to its draws.

    `forward` is called in place of `mae`, where something is wrapped around it; `precision` is that of the options.
    """
    device = mae.mask_token.device
    visible = visible_tokens(mae, batch["seed"].tolist()).to(device)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_bfloat16(precision, device)):
        losses, _ = (forward or mae)(batch["image"].to(device), visible, batch["valid"].to(device))
    return losses


def is_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether matrices are multiplied in bfloat16; weights, sums and losses are float32 always."""
    return precision == "bfloat16" or (precision == "auto" and device.type == "cuda")


def _not_finite(losses: Tensor, batch: Batch) -> list[str]:
    """The patches whose losses are not, by name."""
    bad = (~losses.isfinite()).nonzero().flatten().tolist()
    return [f"{batch['domain'][i]}/{batch['key'][i]} (draw {int(batch['draw'][i])})" for i in bad]


def _divergence(patches: Sequence[str], options: TrainOptions, ranks: int) -> MixioError:
    more = f" and {len(patches) - _NAMED} more" if len(patches) > _NAMED else ""
    return MixioError(
        f"the loss is not finite for {len(patches)} of {options.global_batch(ranks)} patches: "
        f"{', '.join(patches[:_NAMED])}{more}; look at these volumes, or train with a lower --learning-rate"
    )


def _optimizer(mae: Autoencoder, options: TrainOptions) -> torch.optim.AdamW:
    """AdamW as for the original MAE; vectors (biases, norms) do not decay."""
    trained = [parameter for parameter in mae.parameters() if parameter.requires_grad]
    groups = [
        {"params": [one for one in trained if one.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [one for one in trained if one.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=options.learning_rate, betas=(0.9, 0.95), fused=True)


def _set_rate(optimizer: torch.optim.Optimizer, step: int, steps: int, options: TrainOptions) -> None:
    rate = learning_rate(step, steps, peak=options.learning_rate, warmup=options.warmup)
    for group in optimizer.param_groups:
        group["lr"] = rate

"""Fits a network to labelled patches, from a checkpoint's encoder or from scratch.

Everything but the start of the encoder is a function of the seed: the first weights of all other layers, the patches,
their order and their augmentation. So two runs of one seed that begin from a checkpoint and from scratch differ in
nothing else.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from mixio.errors import InvalidArgument, MixioError
from models.checkpoint import describe_encoder, encoder_config, load_encoder, load_unetr
from models.vit import ViTConfig
from tools.examples import Example
from tools.finetune_options import FinetuneOptions
from tools.out_of_memory import reason, telling
from tools.patch_draws import Patch, PatchDraws
from tools.schedule import learning_rate
from tools.scores import Scores

Emit = Callable[[dict[str, Any]], None]
SCRATCH = {"patch_size": 48, "width": 192, "layers": 4, "heads": 6}
"""The encoder without a checkpoint, where the options do not say; its tokens have 16 voxels."""
TOKEN = 16
_SIZES = {"patch_size": "img_size", "width": "hidden_size", "layers": "num_layers", "heads": "num_heads"}
"""Options by the names they have in a checkpoint."""


class Task(Protocol):
    """What is learned: `tools.segmentation` or `tools.classification`."""

    classes: tuple[str, ...]
    kind: str
    best: str
    """The metric that a table begins with; larger is better."""

    def network(self, encoder: ViTConfig) -> nn.Module:
        """The untrained network, whose encoder lies under `vit`."""

    def require(self, splits: dict[str, list[Example]]) -> None:
        """Refuse examples that cannot be learned from or measured on."""

    def loss(self, output: Tensor, patches: Sequence[Patch]) -> Tensor:
        """What a step descends."""

    def scores(self, network: nn.Module, examples: Sequence[Example]) -> Scores:
        """What the network reaches on examples."""


@dataclass(frozen=True, eq=False)
class Start:
    """Where a run begins: the shape of its encoder, and the checkpoint to take it from if there is one.

    Of a dense autoencoder segmentation takes the whole UNETR but its last layer. With `head` all layers come from a
    fine-tuned checkpoint, not the encoder alone.
    """

    encoder: ViTConfig
    checkpoint: dict[str, Any] | None = None
    head: bool = False


def encoder_of(checkpoint: dict[str, Any] | None, options: FinetuneOptions) -> ViTConfig:
    """The encoder of a checkpoint, or that of the options.

    Raises `InvalidArgument` if options say another size than the checkpoint has, or for one that cannot be.
    """
    asked = {name: getattr(options, name) for name in SCRATCH}
    if checkpoint is None:
        sizes = {name: SCRATCH[name] if value is None else value for name, value in asked.items()}
        width = sizes["width"]
        try:
            return ViTConfig(sizes["patch_size"], TOKEN, width, sizes["layers"], sizes["heads"], 4 * width)
        except ValueError as error:
            tokens = f"; --patch-size is a multiple of its tokens of {TOKEN}" if sizes["patch_size"] % TOKEN else ""
            raise InvalidArgument(f"no such encoder: {error}{tokens}") from error
    try:
        encoder = encoder_config(checkpoint.get("metadata", {}))
    except KeyError as error:
        raise InvalidArgument(
            f"the checkpoint does not say its {error}; write it with python -m tools.train"
        ) from error
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"the checkpoint describes no encoder that can be: {error}") from error
    for name, value in asked.items():
        has = getattr(encoder, _SIZES[name])
        has = has[0] if name == "patch_size" else has
        if value is not None and value != has:
            flag = name.replace("_", "-")
            raise InvalidArgument(
                f"--{flag} {value} is not that of the checkpoint, {has}: leave --{flag} out, or pretrain again with it"
            )
    return encoder


def build(task: Task, start: Start, *, seed: int) -> nn.Module:
    """The network before its first step, on the CPU; leaves torch's global random state as it was.

    Raises `InvalidArgument` if the checkpoint does not fit.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = task.network(start.encoder)
    if start.checkpoint is None:
        return network
    if start.head:
        _require_head(task, start.checkpoint)
    try:
        if start.head:
            network.load_state_dict(start.checkpoint["state_dict"])
        elif task.kind == "segmentation" and start.checkpoint.get("metadata", {}).get("kind") == "dense":
            load_unetr(start.checkpoint, network)
        else:
            load_encoder(start.checkpoint, network)
    except (KeyError, ValueError, RuntimeError) as error:
        told = str(error).split("\n")
        more = f"; and {len(told) - 4} more" if len(told) > 4 else ""
        raise InvalidArgument(
            f"the checkpoint cannot be taken: {' '.join(map(str.strip, told[:4]))}{more}; take one that python -m "
            "tools.train wrote, of a dense one with its --features, or that models.convert.from_monai made of MONAI's"
        ) from error
    return network


def _require_head(task: Task, checkpoint: dict[str, Any]) -> None:
    known = checkpoint["metadata"]
    if known.get("task") != task.kind:
        raise InvalidArgument(
            f"--head needs a checkpoint fine-tuned for {task.kind}, this one is of "
            f"{known.get('task', 'pretraining')}; leave --head out to take its encoder"
        )
    if len(known["classes"]) != len(task.classes):
        raise InvalidArgument(
            f"the head of the checkpoint has {len(known['classes'])} classes ({', '.join(known['classes'])}), the data "
            f"{len(task.classes)} ({', '.join(task.classes)}); leave --head out to take the encoder alone"
        )


def fit(
    network: nn.Module, task: Task, examples: Sequence[Example], options: FinetuneOptions, *, seed: int, emit: Emit
) -> None:
    """Train the network, where it is, on patches of the examples; `emit` gets the events of steps.

    Raises `MixioError` naming the cases if a loss is not finite, and saying what to lower if memory does not suffice.
    """
    device = next(network.parameters()).device
    draws = PatchDraws(examples, size=network.vit.config.img_size, seed=seed, augmentation=options.augmentation)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=options.learning_rate, weight_decay=options.weight_decay)
    began, losses = time.perf_counter(), []
    network.train()
    for step in range(options.steps):
        first = step * options.batch_size
        patches = [draws[draw] for draw in range(first, first + options.batch_size)]
        rate = learning_rate(step, options.steps, peak=options.learning_rate, warmup=options.warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate
        images = torch.from_numpy(np.stack([patch.image for patch in patches])).to(device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            output = network(images)
        loss = task.loss(output, patches)
        if not loss.isfinite():
            names = ", ".join(patch.name for patch in patches)
            raise MixioError(f"the loss is not finite at step {step + 1} ({names}); lower --learning-rate")
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, options.clip)
        optimizer.step()
        losses.append(loss.item())
        if (step + 1) % options.log_every == 0 or step + 1 == options.steps:
            seconds = time.perf_counter() - began
            emit({"event": "step", "step": step + 1, "loss": sum(losses) / len(losses), "lr": rate, "seconds": seconds})
            losses = []
    network.eval()


def told_when_out_of_memory(device: torch.device, options: FinetuneOptions) -> AbstractContextManager[None]:
    """A context that says what to lower when memory does not suffice."""
    ways = [f"a smaller --batch-size than {options.batch_size}"] if options.batch_size > 1 else []
    ways += [f"smaller --features than {options.features}", "an encoder with a smaller patch or width"]
    return telling(lambda error: f"out of memory on {device}; use {', or '.join(ways)}; torch says: {reason(error)}")


def finetuned(network: nn.Module, task: Task, start: Start) -> dict[str, Any]:
    """A checkpoint of the network: all its weights, its encoder as `load_encoder` takes it, and what it is."""
    state = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    metadata = {"task": task.kind, "classes": list(task.classes), **describe_encoder(start.encoder)}
    vit = {name: tensor for name, tensor in state.items() if name.startswith("vit.")}
    return {"schema_version": 1, "unetr_state_dict": vit, "state_dict": state, "metadata": metadata, "data": None}

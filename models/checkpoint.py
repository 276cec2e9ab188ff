"""Checkpoints: tensors and plain Python values in one file, read with `weights_only=True` and never
otherwise.

    {"schema_version": 1, "unetr_state_dict": {...}, "mae_state_dict": {...}, "metadata": {...},
     "data": the sampler's state or None, "training": what it takes to train on, or None}

`unetr_state_dict` loads as it is into a `monai.networks.nets.UNETR` of the same sizes: the trained encoder
under `vit.`, everything else freshly initialized from a fixed seed, one output channel. UNETR exists for
patches of 16³ only; for other patches the dict holds the `vit.` part alone and `metadata["unetr"]` is
"encoder-only" instead of "full". To put the encoder into a network with another head, use `load_encoder`.
"""

import os
import pickle
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.mae import MAEConfig, MaskedAutoencoder
from models.unetr import UNETR, UNETR_PATCH
from models.vit import ViTConfig

SCHEMA_VERSION = 1
BASE_WIDTH = 768  # the hidden size that scale_factor multiplies: ViT-B, the default of MONAI's UNETR


def save_checkpoint(
    path: str | os.PathLike[str],
    mae: MaskedAutoencoder,
    *,
    metadata: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> None:
    """Write `mae` to `path`, to a temporary name first.

    `metadata` (plain values) is added to the sizes of the model; `data` is the state of the sampler; `training`
    (tensors and plain values) is what a training run needs to go on, such as the state of its optimizer.
    """
    path = Path(path)
    checkpoint = {
        "schema_version": SCHEMA_VERSION,
        "unetr_state_dict": unetr_state_dict(mae),
        "mae_state_dict": _on_cpu(mae.state_dict()),
        "metadata": {**describe(mae.config), **(metadata or {})},
        "data": data,
        "training": training,
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        torch.save(checkpoint, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote, on the CPU. Refuses pickled objects and newer schemas with a
    ValueError.
    """
    with open(path, "rb") as file:
        try:
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
            raise ValueError(
                f"{path} is torn, or not a checkpoint of tensors and plain values; not loaded: {error}"
            ) from error
    version = checkpoint.get("schema_version") if isinstance(checkpoint, dict) else None
    if not isinstance(version, int):
        raise ValueError(f"{path} has no schema_version; it was not written by save_checkpoint")
    if version > SCHEMA_VERSION:
        raise ValueError(f"{path} has schema {version}, this version reads up to {SCHEMA_VERSION}; update it")
    return checkpoint


def load_mae(checkpoint: Mapping[str, Any]) -> MaskedAutoencoder:
    """The autoencoder of a checkpoint, to train on or to reconstruct with."""
    sizes = dict(checkpoint["metadata"]["mae"])
    mae = MaskedAutoencoder(MAEConfig(**{**sizes, "encoder": ViTConfig(**sizes["encoder"])}))
    mae.load_state_dict(checkpoint["mae_state_dict"])
    return mae


def load_encoder(checkpoint: Mapping[str, Any], module: nn.Module) -> None:
    """Copy the `vit.` tensors into `module`, ours or MONAI's UNETR, or anything else with a `vit.` part.

    Every name and shape must agree, or a ValueError lists all that do not. Left out of the comparison is what
    no forward pass uses: `cross_attn` (MONAI 1.4 and 1.5) and `norm_cross_attn` (1.4 and later).
    """
    source = _used(checkpoint["unetr_state_dict"])
    wanted = _used(module.state_dict())
    faults = [f"{name}: not in the checkpoint" for name in wanted.keys() - source.keys()]
    faults += [f"{name}: not in the module" for name in source.keys() - wanted.keys()]
    faults += [
        f"{name}: {tuple(source[name].shape)} in the checkpoint, {tuple(wanted[name].shape)} in the module"
        for name in source.keys() & wanted.keys()
        if source[name].shape != wanted[name].shape
    ]
    if faults:
        raise ValueError("the encoder does not fit:\n  " + "\n  ".join(sorted(faults)))
    module.load_state_dict(source, strict=False)


def unetr_state_dict(mae: MaskedAutoencoder) -> dict[str, Tensor]:
    """The encoder of `mae` inside a fresh UNETR, or alone where its patches are not 16³."""
    encoder = {f"vit.{name}": tensor for name, tensor in _on_cpu(mae.vit.state_dict()).items()}
    if mae.config.encoder.patch_size != UNETR_PATCH:
        return encoder
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fresh = UNETR(mae.config.encoder, out_channels=1)
    return {**fresh.state_dict(), **encoder}


def describe(config: MAEConfig) -> dict[str, Any]:
    """The sizes of the model as plain values; sizes in voxels."""
    encoder = config.encoder
    full = encoder.patch_size == UNETR_PATCH
    return {
        "scale_factor": encoder.hidden_size / BASE_WIDTH,
        "num_layers": encoder.num_layers,
        "hidden_size": encoder.hidden_size,
        "num_heads": encoder.num_heads,
        "mlp_dim": encoder.mlp_dim,
        "img_size": list(encoder.img_size),
        "patch_size": list(encoder.patch_size),
        "in_channels": encoder.in_channels,
        "unetr": "full" if full else "encoder-only",
        "mae": asdict(config),
    }


def _used(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The `vit.` tensors that a forward pass uses."""
    return {
        name: tensor
        for name, tensor in state.items()
        if name.startswith("vit.") and ".cross_attn." not in name and ".norm_cross_attn." not in name
    }


def _on_cpu(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu() for name, tensor in state.items()}

"""Checkpoints: tensors and plain Python values in one file, read with `weights_only=True` and never
otherwise.

    {"schema_version": 1, "unetr_state_dict": {...}, "mae_state_dict": {...}, "metadata": {...},
     "data": the sampler's state or None, "training": what it takes to train on, or None}

`unetr_state_dict` loads as it is into a `monai.networks.nets.UNETR` of the same sizes. Of a sparse autoencoder it is
the trained encoder under `vit.`, everything else freshly initialized from a fixed seed, one output channel; of a dense
one it is the whole trained UNETR. UNETR exists for patches of 16³ only; for other patches the dict holds the `vit.`
part alone and `metadata["unetr"]` is "encoder-only" instead of "full". To put the encoder into a network with another
head, use `load_encoder`; for other versions of MONAI and for safetensors, see `convert.py`.
"""

import errno
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.mae import MAEConfig
from models.mae_dense import Autoencoder, DenseMAEConfig, autoencoder
from models.unetr import UNETR, UNETR_PATCH
from models.vit import BASE_WIDTH, ViTConfig

SCHEMA_VERSION = 1
_PICKLED = re.compile(r"GLOBAL (\S+) (?:was not an allowed global|whose module)")
UNUSED = re.compile(r"vit\.blocks\.\d+\.(norm_)?cross_attn\.")
"""Tensors that no forward pass uses: `cross_attn` in MONAI 1.4 and 1.5, `norm_cross_attn` from 1.4 on."""


def save_checkpoint(
    path: str | os.PathLike[str],
    mae: Autoencoder,
    *,
    metadata: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> None:
    """Write `mae` to `path`, which holds the old file or the whole new one at any moment; on disk on return.

    `metadata` (plain values) is added to the sizes of the model; `data` is the state of the sampler; `training`
    (tensors and plain values) is what a training run needs to go on, such as the state of its optimizer.
    """
    state = _on_cpu(mae.state_dict())
    checkpoint = {
        "schema_version": SCHEMA_VERSION,
        "unetr_state_dict": _unetr_part(mae.config, state),
        "mae_state_dict": state,
        "metadata": {**describe(mae.config), **(metadata or {})},
        "data": data,
        "training": training,
    }
    replace_file(path, lambda temporary: torch.save(checkpoint, temporary))


def replace_file(path: str | os.PathLike[str], write: Callable[[Path], None]) -> None:
    """Have `write` fill a temporary file beside `path`, bring it to the disk and rename it into place."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        _flush(temporary)
        os.replace(temporary, path)
        _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems flush no folders
            raise
    finally:
        os.close(descriptor)


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote, on the CPU. Refuses pickled objects and newer schemas with a
    ValueError.
    """
    with open(path, "rb") as file:
        try:
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # bytes that changed on the way can raise almost anything
            raise ValueError(f"{path} {_unread(error)}") from error
    check_schema(path, checkpoint.get("schema_version") if isinstance(checkpoint, dict) else None)
    return checkpoint


def _unread(error: Exception) -> str:
    """Why a file was not read. Torch's own words recommend to run what is in it, so they are not passed on."""
    if found := _PICKLED.search(str(error)):
        return (
            f"holds a pickled {found[1]}, which can run code when it is read, so it was not: ask for a checkpoint of "
            "tensors and plain values only"
        )
    return f"is torn, or not a checkpoint of tensors and plain values; not loaded ({type(error).__name__})"


def check_schema(path: str | os.PathLike[str], version: Any) -> None:
    """Raise ValueError unless `version` is a schema that this version reads."""
    if not isinstance(version, int):
        raise ValueError(f"{path} has no schema_version; it was not written by save_checkpoint")
    if version > SCHEMA_VERSION:
        raise ValueError(f"{path} has schema {version}, this version reads up to {SCHEMA_VERSION}; update it")


def load_mae(checkpoint: Mapping[str, Any]) -> Autoencoder:
    """The autoencoder of a checkpoint, to train on or to reconstruct with; ValueError if there is none."""
    if "mae_state_dict" not in checkpoint:
        raise ValueError(
            "this holds a UNETR and no autoencoder, as safetensors files do; load what save_checkpoint wrote"
        )
    sizes = dict(checkpoint["metadata"]["mae"])
    sizes["encoder"] = ViTConfig(**sizes["encoder"])
    dense = checkpoint["metadata"].get("kind") == "dense"
    mae = autoencoder(DenseMAEConfig(**sizes) if dense else MAEConfig(**sizes))
    if faults := differences(checkpoint["mae_state_dict"], mae.state_dict(), "the model that it describes"):
        raise ValueError("the checkpoint does not fit itself:\n  " + "\n  ".join(faults))
    mae.load_state_dict(checkpoint["mae_state_dict"])
    return mae


def load_encoder(checkpoint: Mapping[str, Any], module: nn.Module) -> None:
    """Copy the `vit.` tensors into `module`, ours or MONAI's UNETR, or anything else with a `vit.` part.

    Every name and shape must agree, or a ValueError lists all that do not. Left out of the comparison is what
    no forward pass uses: `cross_attn` (MONAI 1.4 and 1.5) and `norm_cross_attn` (1.4 and later).
    """
    _copy(_used(checkpoint["unetr_state_dict"]), _used(module.state_dict()), module, "encoder")


def load_unetr(checkpoint: Mapping[str, Any], unetr: nn.Module) -> None:
    """Copy the UNETR that a dense autoencoder trained into `unetr`, but for its last layer, whose channels are classes.

    Every name and shape must agree, or a ValueError lists all that do not.
    """
    source, wanted = (
        {name: one for name, one in state.items() if not name.startswith("out.")}
        for state in (checkpoint["unetr_state_dict"], unetr.state_dict())
    )
    _copy(source, wanted, unetr, "UNETR")


def _copy(source: Mapping[str, Tensor], wanted: Mapping[str, Tensor], module: nn.Module, what: str) -> None:
    if faults := differences(source, wanted, "the module"):
        raise ValueError(f"the {what} does not fit:\n  " + "\n  ".join(faults))
    module.load_state_dict(source, strict=False)


def differences(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], where: str) -> list[str]:
    """What keeps `state`, of a checkpoint, from being loaded `where` the `wanted` tensors are; a line a name."""
    faults = [f"{name}: not in the checkpoint" for name in wanted.keys() - state.keys()]
    faults += [f"{name}: not in {where}" for name in state.keys() - wanted.keys()]
    faults += [
        f"{name}: {tuple(state[name].shape)} in the checkpoint, {tuple(wanted[name].shape)} in {where}"
        for name in state.keys() & wanted.keys()
        if state[name].shape != wanted[name].shape
    ]
    return sorted(faults)


def unetr_state_dict(mae: Autoencoder) -> dict[str, Tensor]:
    """The trained UNETR of a dense autoencoder; the encoder of a sparse one inside a fresh UNETR, or alone where its
    patches are not 16³. On the CPU.
    """
    return _unetr_part(mae.config, _on_cpu(mae.state_dict()))


def _unetr_part(config: MAEConfig | DenseMAEConfig, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if isinstance(config, DenseMAEConfig):
        return {name.removeprefix("unetr."): one for name, one in state.items() if name.startswith("unetr.")}
    encoder = {name: tensor for name, tensor in state.items() if name.startswith("vit.")}
    if config.encoder.patch_size != UNETR_PATCH:
        return encoder
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fresh = UNETR(config.encoder, out_channels=1)
    return {**fresh.state_dict(), **encoder}


def describe(config: MAEConfig | DenseMAEConfig) -> dict[str, Any]:
    """Kind and sizes of the model as plain values; sizes in voxels."""
    full = config.encoder.patch_size == UNETR_PATCH
    return {
        **describe_encoder(config.encoder),
        "kind": "dense" if isinstance(config, DenseMAEConfig) else "sparse",
        "unetr": "full" if full else "encoder-only",
        "mae": asdict(config),
    }


def describe_encoder(encoder: ViTConfig) -> dict[str, Any]:
    """Its sizes as plain values, in voxels; `encoder_config` is the way back."""
    sizes = {name: list(one) if isinstance(one, tuple) else one for name, one in asdict(encoder).items()}
    return {"scale_factor": encoder.hidden_size / BASE_WIDTH, **sizes}


def encoder_config(metadata: Mapping[str, Any]) -> ViTConfig:
    """The encoder that a checkpoint's metadata describe.

    Raises KeyError naming what they do not say, TypeError or ValueError for sizes that cannot be.
    """
    told = [one.name for one in fields(ViTConfig) if one.default is MISSING or one.name in metadata]
    return ViTConfig(**{name: metadata[name] for name in told})


def _used(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The `vit.` tensors that a forward pass uses."""
    return {name: one for name, one in state.items() if name.startswith("vit.") and not UNUSED.match(name)}


def _on_cpu(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu() for name, tensor in state.items()}

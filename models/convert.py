"""State dicts of UNETRs of other versions of MONAI, and checkpoints as safetensors files.

From MONAI 1.3 to 1.6 a UNETR's tensors have the same names, but for what no forward pass uses: blocks of 1.4 and 1.5
have a `cross_attn`, those of 1.4 and later a `norm_cross_attn`. So state dicts are converted without touching what is
computed:

    unetr.load_state_dict(from_monai(torch.load("unetr.pt", weights_only=True)))           # any version into ours
    theirs.load_state_dict(to_monai(checkpoint["unetr_state_dict"], version="1.4"))        # ours into MONAI 1.4

Transformers of nnssl are not converted: theirs has rotary positions, gated perceptrons with a norm inside, and biases
of queries and values, so no renaming makes a ViT of MONAI compute the same.
"""

import json
import os
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from models.checkpoint import UNUSED, check_schema, differences, replace_file
from models.unetr import UNETR, UNETR_PATCH
from models.vit import ViTConfig

MONAI_LAYERS = 12
UNUSED_PARTS: dict[str, tuple[str, ...]] = {
    "1.3": (),
    "1.4": ("norm_cross_attn", "cross_attn"),
    "1.5": ("norm_cross_attn", "cross_attn"),
    "1.6": ("norm_cross_attn",),
}
"""What the blocks of a version of MONAI have that no forward pass uses."""


def from_monai(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a UNETR of MONAI 1.3 to 1.6, any width and depth, under the names and shapes of our `UNETR`.

    ValueError lists every name that is missing, unknown or of another shape than the rest implies.
    """
    _refuse_perceptron(state)
    like = _like(state).state_dict()
    converted = {name: one for name, one in state.items() if name in like or not UNUSED.match(name)}
    for name, one in like.items():
        if UNUSED.match(name) and name not in converted:
            converted[name] = torch.ones(one.shape) if name.endswith("weight") else torch.zeros(one.shape)
    faults = differences(converted, like, "a UNETR")
    if faults:
        raise ValueError("not the state dict of a UNETR of MONAI 1.3 to 1.6:\n  " + "\n  ".join(faults))
    return converted


def to_monai(state: Mapping[str, Tensor], *, version: str) -> dict[str, Tensor]:
    """A UNETR's state dict, ours or of any version, as the UNETR of MONAI `version` loads it strictly.

    `version` is 1.3, 1.4, 1.5 or 1.6, a third number is ignored. What that version has and does not use is zero.
    ValueError for another version, for a depth other than MONAI's 12 blocks, and as in `from_monai`.
    """
    parts = UNUSED_PARTS.get(".".join(version.split(".")[:2]))
    if parts is None:
        raise ValueError(f"MONAI {version} is not known; known are {', '.join(UNUSED_PARTS)}")
    converted = from_monai(state)
    layers = _layers(converted)
    if layers != MONAI_LAYERS:
        raise ValueError(f"MONAI's UNETR has {MONAI_LAYERS} blocks, this one has {layers}; use models.unetr.UNETR")
    if "norm_cross_attn" not in parts:
        converted = {name: one for name, one in converted.items() if not UNUSED.match(name)}
    if "cross_attn" in parts:
        for layer in range(layers):
            converted |= _cross_attention(converted, f"vit.blocks.{layer}.")
    return converted


def save_safetensors(path: str | os.PathLike[str], checkpoint: Mapping[str, Any]) -> None:
    """Write the `unetr_state_dict` of a checkpoint as a safetensors file, whose header holds its schema and metadata.

    The metadata are JSON there. The autoencoder's decoder and the states of sampler and training stay behind.
    ValueError without the package `safetensors`.
    """
    safetensors = _safetensors()
    tensors = {name: one.contiguous() for name, one in checkpoint["unetr_state_dict"].items()}
    header = {"format": "pt", "schema_version": str(checkpoint["schema_version"])}
    header["metadata"] = json.dumps(checkpoint["metadata"])
    replace_file(path, lambda temporary: safetensors.torch.save_file(tensors, temporary, header))


def load_safetensors(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `save_safetensors` wrote, as a checkpoint that `load_encoder` takes; ValueError if it is anything else."""
    safetensors = _safetensors()
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
        version, metadata = (json.loads(header.get(name, "null")) for name in ("schema_version", "metadata"))
    except (safetensors.SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is torn, or not a safetensors file of a checkpoint: {error}") from error
    check_schema(path, version)
    return {"schema_version": version, "unetr_state_dict": tensors, "metadata": metadata}


def _safetensors() -> Any:
    try:
        import safetensors.torch  # only those who ask for such files need it
    except ImportError as error:
        raise ValueError("safetensors files need that package: pip install safetensors") from error
    return safetensors


def _layers(state: Mapping[str, Tensor]) -> int:
    numbers = (re.match(r"vit\.blocks\.(\d+)\.", name) for name in state)
    return 1 + max((int(found[1]) for found in numbers if found), default=0)


def _like(state: Mapping[str, Tensor]) -> UNETR:
    """A UNETR without memory whose tensors have the shapes that the first and last of `state` imply."""
    telling = ("vit.patch_embedding.patch_embeddings.weight", "vit.patch_embedding.position_embeddings")
    telling += ("vit.blocks.0.mlp.linear1.weight", "out.conv.conv.weight")
    lacking = [name for name in telling if name not in state]
    if lacking:
        raise ValueError(f"not the state dict of a UNETR: it lacks {', '.join(lacking)}")
    embedding, positions, perceptron, head = (state[name].shape for name in telling)
    if len(embedding) != 5 or len(positions) != 3 or len(head) != 5 or tuple(embedding[2:]) != UNETR_PATCH:
        raise ValueError(f"not a 3D UNETR with patches of {UNETR_PATCH} voxels: {telling[0]} is {tuple(embedding)}")
    config = ViTConfig(
        img_size=(positions[1] * UNETR_PATCH[0], *UNETR_PATCH[1:]),  # shapes tell how many patches, not how they lie
        patch_size=UNETR_PATCH,
        hidden_size=embedding[0],
        num_layers=_layers(state),
        num_heads=1,
        mlp_dim=perceptron[0],
        in_channels=embedding[1],
        learned_positions=True,
    )
    with torch.device("meta"):
        return UNETR(config, out_channels=head[0], feature_size=head[1])


def _refuse_perceptron(state: Mapping[str, Tensor]) -> None:
    if "vit.patch_embedding.patch_embeddings.1.weight" in state:
        raise ValueError(
            'this UNETR embeds patches by a perceptron; only proj_type="conv", the default of MONAI, can be converted'
        )


def _cross_attention(state: Mapping[str, Tensor], block: str) -> dict[str, Tensor]:
    """The `cross_attn` that MONAI 1.4 and 1.5 build and do not use."""
    square = torch.zeros_like(state[f"{block}attn.out_proj.weight"])
    names = ("to_q", "to_k", "to_v", "out_proj")
    tensors = {f"{block}cross_attn.{name}.weight": square.clone() for name in names}
    return {**tensors, f"{block}cross_attn.out_proj.bias": torch.zeros_like(square[0])}

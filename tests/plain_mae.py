"""A masked autoencoder written down a second time, without modules, from the papers: no line of `models` is used.

Weights come as a state dict. The patch embedding is a convolution, tokens are chosen and put back by loops, attention
is spelt out head by head, the loss runs over hidden patches one by one. Slow, and for tests alone.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

State = dict[str, Tensor]


def layer_norm(x: Tensor, weights: State, name: str) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5) * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(x: Tensor, weights: State, name: str) -> Tensor:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def attention(x: Tensor, weights: State, name: str, heads: int) -> Tensor:
    width = x.shape[-1]
    size = width // heads
    mixed = x @ weights[f"{name}.qkv.weight"].T
    results = []
    for head in range(heads):
        first = head * size
        query, key, value = (mixed[..., part * width + first : part * width + first + size] for part in range(3))
        scores = query @ key.transpose(1, 2) / math.sqrt(size)
        results.append(torch.softmax(scores, dim=-1) @ value)
    return linear(torch.cat(results, dim=-1), weights, f"{name}.out_proj")


def block(x: Tensor, weights: State, name: str, heads: int) -> Tensor:
    x = x + attention(layer_norm(x, weights, f"{name}.norm1"), weights, f"{name}.attn", heads)
    inner = gelu(linear(layer_norm(x, weights, f"{name}.norm2"), weights, f"{name}.mlp.linear1"))
    return x + linear(inner, weights, f"{name}.mlp.linear2")


def depth(weights: State, name: str) -> int:
    return 1 + max(int(one.split(".")[-4]) for one in weights if one.startswith(name) and one.endswith("qkv.weight"))


def plain_loss(weights: State, images: Tensor, visible: Tensor, *, heads: int, decoder_heads: int) -> Tensor:
    """The mean over images of the mean squared error of hidden voxels; cubic patches of one channel."""
    embedding = weights["vit.patch_embedding.patch_embeddings.weight"]
    patch = embedding.shape[-1]
    tokens = F.conv3d(images, embedding, weights["vit.patch_embedding.patch_embeddings.bias"], stride=patch)
    tokens = tokens.flatten(2).transpose(1, 2) + weights["vit.patch_embedding.position_embeddings"]
    x = torch.stack([tokens[one][visible[one]] for one in range(len(images))])
    for number in range(depth(weights, "vit.blocks")):
        x = block(x, weights, f"vit.blocks.{number}", heads)
    x = linear(layer_norm(x, weights, "vit.norm"), weights, "decoder_embed")

    rows = []
    for one in range(len(images)):
        row = [weights["mask_token"][0, 0]] * tokens.shape[1]
        for place, number in enumerate(visible[one].tolist()):
            row[number] = x[one, place]
        rows.append(torch.stack(row))
    x = torch.stack(rows) + weights["decoder_positions"]
    for number in range(depth(weights, "decoder_blocks")):
        x = block(x, weights, f"decoder_blocks.{number}", decoder_heads)
    x = linear(layer_norm(x, weights, "decoder_norm"), weights, "decoder_head")

    grid = images.shape[-1] // patch
    losses = []
    for one in range(len(images)):
        errors = []
        for number in set(range(tokens.shape[1])) - set(visible[one].tolist()):
            i, j, k = (patch * (number // grid**power % grid) for power in (2, 1, 0))
            target = images[one, 0, i : i + patch, j : j + patch, k : k + patch]
            errors.append(((x[one, number] - target.flatten()) ** 2).mean())
        losses.append(torch.stack(errors).mean())
    return torch.stack(losses).mean()

"""What sparse and dense masked autoencoders share: which patches are visible, and the error on those that are not.

B images, N patches of which K are visible, P numbers a patch. Pure functions: which patches are visible comes from a
`torch.Generator` that the caller passes, never from global state.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.vit import ViTConfig, patchify


def visible_patches(num_patches: int, mask_ratio: float) -> int:
    """How many patches of an image stay visible; ValueError unless some are and some are not."""
    if not 0 < mask_ratio < 1:
        raise ValueError(f"mask_ratio must lie between 0 and 1, both excluded, got {mask_ratio}")
    visible = round(num_patches * (1 - mask_ratio))
    if not 1 <= visible < num_patches:
        raise ValueError(
            f"mask_ratio {mask_ratio} leaves {visible} of {num_patches} patches visible; "
            "at least one must be visible and one hidden"
        )
    return visible


def draw_visible(batch: int, num_patches: int, num_visible: int, generator: torch.Generator) -> Tensor:
    """Numbers of the visible patches, (B, K) in rising order, every choice as likely, on the generator's device."""
    noise = torch.rand((batch, num_patches), generator=generator, device=generator.device)
    return noise.argsort(1)[:, :num_visible].sort(1).values


def real_voxels(valid: Tensor, config: ViTConfig) -> Tensor:
    """Whether a voxel is real data rather than padding: boxes (B, 2, 3) -> (B, N, P), bool.

    A box holds the first and the one-past-last real voxel of each axis.
    """
    inside = torch.ones((), dtype=torch.bool, device=valid.device)
    for axis, size in enumerate(config.img_size):
        index = torch.arange(size, device=valid.device)
        one = (index >= valid[:, :1, axis]) & (index < valid[:, 1:, axis])  # (B, size)
        shape = [len(valid), 1, 1, 1, 1]
        shape[2 + axis] = size
        inside = inside & one.view(shape)  # (B, 1, X, Y, Z) in the end
    return patchify(inside.expand(-1, config.in_channels, -1, -1, -1), config.patch_size)


def hidden_error(
    patches: Tensor, prediction: Tensor, visible: Tensor, *, real: Tensor | None = None, norm_target: bool = False
) -> Tensor:
    """Mean squared error of each image, (B,), over the voxels of its hidden patches, or over the `real` ones of them.

    patches, prediction, real: (B, N, P); visible: (B, K). With `norm_target` the target is each patch minus the mean
    and over the deviation of its real voxels. An image with no real hidden voxel has error 0.
    """
    target = normalize(patches, real) if norm_target else patches
    error = F.mse_loss(prediction.float(), target.float(), reduction="none")  # (B, N, P)
    hidden = torch.ones(patches.shape[:2], device=patches.device).scatter_(1, visible, 0.0)  # (B, N)
    if real is None:
        return (error.mean(2) * hidden).sum(1) / hidden.sum(1)
    count = (real.sum(2) * hidden).sum(1)
    return ((error * real).sum(2) * hidden).sum(1) / count.clamp(min=1)


def normalize(patches: Tensor, real: Tensor | None = None) -> Tensor:
    """Each patch minus its mean, over its standard deviation, both over its real voxels; (B, N, P)."""
    weight = torch.ones_like(patches) if real is None else real.to(patches)
    count = weight.sum(2, keepdim=True).clamp(min=1)
    mean = (patches * weight).sum(2, keepdim=True) / count
    variance = ((patches - mean).square() * weight).sum(2, keepdim=True) / count
    return (patches - mean) / (variance + 1e-6).sqrt()

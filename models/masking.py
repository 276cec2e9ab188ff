"""What sparse and dense masked autoencoders share: which patches are visible, and the error on those that are not.

B images, N patches of which K are visible, P numbers a patch. Which patches are visible comes from a
`torch.Generator` that the caller passes, never from global state. `Masked` is the base of both.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.vit import ViTConfig, patchify, unpatchify


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


class Masked(nn.Module):
    """What both autoencoders do with patches. `vit` is their encoder; `config` has its sizes as `encoder`, and
    `num_visible` and `norm_target`.
    """

    config: Any
    vit: Any

    @property
    def recompute(self) -> bool:
        """Whether training keeps only the inputs of the parts (blocks, and stages of a UNETR); see `ViT`."""
        return self.vit.recompute

    @recompute.setter
    def recompute(self, value: bool) -> None:
        self.vit.recompute = value

    def patchify(self, images: Tensor) -> Tensor:
        """(B, C, X, Y, Z) -> (B, N, P)"""
        return patchify(images, self.config.encoder.patch_size)

    def unpatchify(self, patches: Tensor) -> Tensor:
        """(B, N, P) -> (B, C, X, Y, Z)"""
        return unpatchify(patches, self.config.encoder.patch_size, self.config.encoder.grid)

    def draw_visible(self, batch: int, generator: torch.Generator) -> Tensor:
        """Numbers of the visible patches, (B, K) in rising order, on the generator's device."""
        return draw_visible(batch, self.config.encoder.num_patches, self.config.num_visible, generator)

    def loss(self, patches: Tensor, prediction: Tensor, visible: Tensor, valid: Tensor | None = None) -> Tensor:
        """Mean squared error of each image, (B,), over its hidden voxels that lie inside its box of real
        data.

        `valid` (B, 2, 3) holds the first and one-past-last real voxel; None means that all are. An image with
        no real hidden voxel has loss 0.
        """
        real = None if valid is None else real_voxels(valid, self.config.encoder)
        return hidden_error(patches, prediction, visible, real=real, norm_target=self.config.norm_target)

"""A dense masked autoencoder: a whole UNETR sees the image with its hidden patches blotted out, and fills them in.

In the manner of SimMIM (Xie et al., arXiv 2111.09886). It costs more than the sparse autoencoder of `mae.py`, for the
encoder sees all tokens and the convolutions all voxels, and trains what that one leaves fresh: the decoder and the
skips of the UNETR. Patches are 16³, as UNETR's are. Loss, masks and calls are those of the sparse one.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.mae import TYPICAL_MEAN, MAEConfig, MaskedAutoencoder, start_encoder, xavier
from models.masking import Masked, visible_patches
from models.unetr import UNETR
from models.vit import ViT, ViTConfig


@dataclass(frozen=True)
class DenseMAEConfig:
    """The encoder of a UNETR, how wide its convolutions are, and how much is hidden.

    norm_target: predict each patch after removing its mean and dividing by its standard deviation.
    learned_mask: what stands at hidden voxels is trained, one number a channel; else it is zero.
    """

    encoder: ViTConfig
    feature_size: int = 16
    mask_ratio: float = 0.75
    norm_target: bool = False
    learned_mask: bool = True

    def __post_init__(self) -> None:
        visible_patches(self.encoder.num_patches, self.mask_ratio)
        if self.feature_size < 1:
            raise ValueError(f"feature_size must be at least 1, got {self.feature_size}")

    @property
    def num_visible(self) -> int:
        """Patches of an image that are not blotted out."""
        return visible_patches(self.encoder.num_patches, self.mask_ratio)


class DenseMaskedAutoencoder(Masked):
    """`unetr` reconstructs. B images, N patches of which K visible, P numbers a patch."""

    def __init__(self, config: DenseMAEConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.encoder.in_channels
        self.unetr = UNETR(config.encoder, out_channels=channels, feature_size=config.feature_size)
        start = torch.full((1, channels, 1, 1, 1), TYPICAL_MEAN if config.learned_mask else 0.0)
        self.mask_token = nn.Parameter(start, requires_grad=config.learned_mask)
        self.vit.apply(xavier)
        start_encoder(self.vit)
        nn.init.normal_(self.unetr.out.conv.conv.weight, std=0.01)
        nn.init.constant_(self.unetr.out.conv.conv.bias, 0.0 if config.norm_target else TYPICAL_MEAN)

    @property
    def vit(self) -> ViT:
        """The encoder."""
        return self.unetr.vit

    def blot(self, images: Tensor, visible: Tensor) -> Tensor:
        """`images` (B, C, X, Y, Z) with the mask's value at the voxels of hidden patches."""
        encoder = self.config.encoder
        shown = torch.zeros(len(images), encoder.num_patches, dtype=torch.bool, device=images.device)
        shown = shown.scatter_(1, visible, True).unflatten(1, (1, *encoder.grid))  # (B, N) -> (B, 1, gx, gy, gz)
        for axis, patch in enumerate(encoder.patch_size, start=2):
            shown = shown.repeat_interleave(patch, axis)  # (B, 1, X, Y, Z) in the end
        return torch.where(shown, images, self.mask_token.to(images.dtype))

    def forward(self, images: Tensor, visible: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The loss of each image (B,) and the predicted patches (B, N, P); see `draw_visible` and `loss`.

        Raises ValueError for images of another size than the encoder's.
        """
        self.config.encoder.check(images)
        prediction = self.patchify(self.unetr(self.blot(images, visible)))
        return self.loss(self.patchify(images), prediction, visible, valid), prediction


Autoencoder = MaskedAutoencoder | DenseMaskedAutoencoder
"""Either kind; both are called alike."""


def autoencoder(config: MAEConfig | DenseMAEConfig) -> Autoencoder:
    """The untrained model of a configuration."""
    return DenseMaskedAutoencoder(config) if isinstance(config, DenseMAEConfig) else MaskedAutoencoder(config)

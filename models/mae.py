"""A sparse masked autoencoder over 3D patches (He et al., arXiv 2111.06377).

The encoder, a plain `ViT`, sees the visible patches only; a light decoder sees all positions and predicts the
voxels of the hidden ones. The loss is the mean squared error of the input's own intensities over hidden
voxels that are real data: padding beyond the edge of a volume is left out. Which patches are visible is never
drawn from global state: it is given, or comes from a `torch.Generator` that the caller passes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.vit import Block, ViT, ViTConfig, patchify, sincos_positions, through, unpatchify

TYPICAL_MEAN, TYPICAL_STD = 0.3, 0.25
"""Of CT, MRI and PET crops whose intensities were brought to [0, 1]."""


@dataclass(frozen=True)
class MAEConfig:
    """Encoder, decoder, and how much is hidden.

    norm_target: predict each patch after removing its mean and dividing by its standard deviation.
    """

    encoder: ViTConfig
    decoder_width: int = 384
    decoder_layers: int = 4
    decoder_heads: int = 12
    mask_ratio: float = 0.75
    norm_target: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.mask_ratio < 1:
            raise ValueError(f"mask_ratio must lie between 0 and 1, both excluded, got {self.mask_ratio}")
        if not 1 <= self.num_visible < self.encoder.num_patches:
            raise ValueError(
                f"mask_ratio {self.mask_ratio} leaves {self.num_visible} of {self.encoder.num_patches} "
                "patches visible; at least one must be visible and one hidden"
            )
        if self.decoder_width % self.decoder_heads:
            raise ValueError(
                f"decoder_width {self.decoder_width} must be a multiple of decoder_heads {self.decoder_heads}"
            )

    @property
    def num_visible(self) -> int:
        """Patches of an image that the encoder sees."""
        return round(self.encoder.num_patches * (1 - self.mask_ratio))


class MaskedAutoencoder(nn.Module):
    """`vit` encodes, the rest decodes. B images, N patches of which K visible, P numbers a patch."""

    def __init__(self, config: MAEConfig) -> None:
        super().__init__()
        self.config = config
        width = config.decoder_width
        self.vit = ViT(config.encoder)
        self.decoder_embed = nn.Linear(config.encoder.hidden_size, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        positions = sincos_positions(config.encoder.grid, width)
        self.decoder_positions = nn.Parameter(positions, requires_grad=False)
        self.decoder_blocks = nn.ModuleList(
            Block(width, config.decoder_heads, 4 * width) for _ in range(config.decoder_layers)
        )
        self.decoder_norm = nn.LayerNorm(width)
        self.decoder_head = nn.Linear(width, config.encoder.patch_voxels)
        self._initialize()

    @property
    def recompute(self) -> bool:
        """Whether a backward pass computes the insides of the blocks again instead of keeping them in memory."""
        return self.vit.recompute

    @recompute.setter
    def recompute(self, value: bool) -> None:
        self.vit.recompute = value

    @torch.no_grad()
    def _initialize(self) -> None:
        """Start where the data are: intensities in [0, 1] come in as if standardised, and go out near their mean.

        All of it is initial weights, so the encoder works on plain intensities elsewhere too. Without it a small
        model spends its first 2,000 patches on the plateau of predicting the mean.
        """
        self.apply(_xavier)
        nn.init.normal_(self.mask_token, std=0.02)
        embedding = self.vit.patch_embedding.patch_embeddings
        embedding.weight /= TYPICAL_STD
        embedding.bias.copy_(-TYPICAL_MEAN * embedding.weight.flatten(1).sum(1))
        for blocks in (self.vit.blocks, self.decoder_blocks):
            for block in blocks:  # residual branches as in GPT-2
                block.attn.out_proj.weight /= (2 * len(blocks)) ** 0.5
                block.mlp.linear2.weight /= (2 * len(blocks)) ** 0.5
        nn.init.normal_(self.decoder_head.weight, std=0.01)
        nn.init.constant_(self.decoder_head.bias, 0.0 if self.config.norm_target else TYPICAL_MEAN)

    def patchify(self, images: Tensor) -> Tensor:
        """(B, C, X, Y, Z) -> (B, N, P)"""
        return patchify(images, self.config.encoder.patch_size)

    def unpatchify(self, patches: Tensor) -> Tensor:
        """(B, N, P) -> (B, C, X, Y, Z)"""
        return unpatchify(patches, self.config.encoder.patch_size, self.config.encoder.grid)

    def draw_visible(self, batch: int, generator: torch.Generator) -> Tensor:
        """Numbers of the visible patches, (B, K) in rising order, on the generator's device."""
        shape = (batch, self.config.encoder.num_patches)
        noise = torch.rand(shape, generator=generator, device=generator.device)
        return noise.argsort(1)[:, : self.config.num_visible].sort(1).values

    def forward_encoder(self, patches: Tensor, visible: Tensor) -> Tensor:
        """(B, N, P), (B, K) -> (B, K, E)"""
        tokens, _ = self.vit.encode(patches, visible)
        return tokens

    def forward_decoder(self, latent: Tensor, visible: Tensor) -> Tensor:
        """(B, K, E), (B, K) -> the predicted patches (B, N, P), hidden and visible"""
        known = self.decoder_embed(latent)  # (B, K, D)
        where = visible[..., None].expand_as(known)
        hidden = self.mask_token.to(known.dtype).expand(len(known), self.config.encoder.num_patches, -1)
        tokens = hidden.scatter(1, where, known) + self.decoder_positions  # (B, N, D)
        for block in self.decoder_blocks:
            tokens = through(block, tokens, recompute=self.recompute)
        return self.decoder_head(self.decoder_norm(tokens))

    def loss(self, patches: Tensor, prediction: Tensor, visible: Tensor, valid: Tensor | None = None) -> Tensor:
        """Mean squared error of each image, (B,), over its hidden voxels that lie inside its box of real
        data.

        `valid` (B, 2, 3) holds the first and one-past-last real voxel; None means that all are. An image with
        no real hidden voxel has loss 0.
        """
        weight = torch.ones_like(patches) if valid is None else self._real(valid, patches)  # (B, N, P)
        target = _normalize(patches, weight) if self.config.norm_target else patches
        weight = weight.scatter(1, visible[..., None].expand(-1, -1, weight.shape[2]), 0.0)
        error = weight * (prediction.float() - target.float()).square()
        return error.sum((1, 2)) / weight.sum((1, 2)).clamp(min=1)

    def forward(self, images: Tensor, visible: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The loss of each image (B,) and the predicted patches (B, N, P); see `draw_visible` and `loss`."""
        patches = self.patchify(images)
        latent = self.forward_encoder(patches, visible)
        prediction = self.forward_decoder(latent, visible)
        return self.loss(patches, prediction, visible, valid), prediction

    def _real(self, valid: Tensor, patches: Tensor) -> Tensor:
        """1 where a voxel is real data, 0 in padding: (B, 2, 3) -> (B, N, P)."""
        inside = torch.ones((), dtype=torch.bool, device=valid.device)
        for axis, size in enumerate(self.config.encoder.img_size):
            index = torch.arange(size, device=valid.device)
            one = (index >= valid[:, :1, axis]) & (index < valid[:, 1:, axis])  # (B, size)
            shape = [len(valid), 1, 1, 1, 1]
            shape[2 + axis] = size
            inside = inside & one.view(shape)  # (B, 1, X, Y, Z) in the end
        return self.patchify(inside.expand(-1, self.config.encoder.in_channels, -1, -1, -1)).to(patches)


def _normalize(patches: Tensor, weight: Tensor) -> Tensor:
    """Each patch minus its mean, over its standard deviation, both over its real voxels; (B, N, P)."""
    count = weight.sum(2, keepdim=True).clamp(min=1)
    mean = (patches * weight).sum(2, keepdim=True) / count
    variance = ((patches - mean).square() * weight).sum(2, keepdim=True) / count
    return (patches - mean) / (variance + 1e-6).sqrt()


def _xavier(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases, as in the reference implementation of the MAE."""
    if isinstance(module, nn.Linear | nn.Conv3d):
        nn.init.xavier_uniform_(module.weight.data.flatten(1))
        if module.bias is not None:
            nn.init.zeros_(module.bias)

"""A sparse masked autoencoder over 3D patches (He et al., arXiv 2111.06377); `mae_dense.py` has the dense one.

The encoder, a plain `ViT`, sees the visible patches only; a light decoder sees all positions and predicts the
voxels of the hidden ones. The loss is the mean squared error of the input's own intensities over hidden
voxels that are real data: padding beyond the edge of a volume is left out. Which patches are visible is never
drawn from global state: it is given, or comes from a `torch.Generator` that the caller passes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.masking import Masked, visible_patches
from models.vit import Block, ViT, ViTConfig, positions, through

TYPICAL_MEAN, TYPICAL_STD = 0.3, 0.25
"""Of CT, MRI and PET crops whose intensities were brought to [0, 1]."""


@dataclass(frozen=True)
class MAEConfig:
    """Encoder, decoder, and how much is hidden. The decoder's positions are learned where the encoder's are.

    norm_target: predict each patch after removing its mean and dividing by its standard deviation.
    """

    encoder: ViTConfig
    decoder_width: int = 384
    decoder_layers: int = 4
    decoder_heads: int = 12
    mask_ratio: float = 0.75
    norm_target: bool = False

    def __post_init__(self) -> None:
        visible_patches(self.encoder.num_patches, self.mask_ratio)
        if self.decoder_width % self.decoder_heads:
            raise ValueError(
                f"decoder_width {self.decoder_width} must be a multiple of decoder_heads {self.decoder_heads}"
            )

    @property
    def num_visible(self) -> int:
        """Patches of an image that the encoder sees."""
        return visible_patches(self.encoder.num_patches, self.mask_ratio)


class MaskedAutoencoder(Masked):
    """`vit` encodes, the rest decodes. B images, N patches of which K visible, P numbers a patch."""

    def __init__(self, config: MAEConfig) -> None:
        super().__init__()
        self.config = config
        width = config.decoder_width
        self.vit = ViT(config.encoder)
        self.decoder_embed = nn.Linear(config.encoder.hidden_size, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.decoder_positions = positions(config.encoder.grid, width, learned=config.encoder.learned_positions)
        self.decoder_blocks = nn.ModuleList(
            Block(width, config.decoder_heads, 4 * width) for _ in range(config.decoder_layers)
        )
        self.decoder_norm = nn.LayerNorm(width)
        self.decoder_head = nn.Linear(width, config.encoder.patch_voxels)
        self._initialize()

    @torch.no_grad()
    def _initialize(self) -> None:
        """Xavier, the encoder as `start_encoder` has it, and predictions that start near the mean of the data."""
        self.apply(xavier)
        nn.init.normal_(self.mask_token, std=0.02)
        start_encoder(self.vit)
        _shrink_residuals(self.decoder_blocks)
        nn.init.normal_(self.decoder_head.weight, std=0.01)
        nn.init.constant_(self.decoder_head.bias, 0.0 if self.config.norm_target else TYPICAL_MEAN)

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

    def forward(self, images: Tensor, visible: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The loss of each image (B,) and the predicted patches (B, N, P); see `draw_visible` and `loss`.

        Raises ValueError for images of another size than the encoder's.
        """
        self.config.encoder.check(images)
        patches = self.patchify(images)
        latent = self.forward_encoder(patches, visible)
        prediction = self.forward_decoder(latent, visible)
        return self.loss(patches, prediction, visible, valid), prediction


@torch.no_grad()
def start_encoder(vit: ViT) -> None:
    """Start, from Xavier's weights, where the data are: intensities in [0, 1] come in as if standardised.

    All of it is initial weights, so the encoder works on plain intensities elsewhere too. Without it a small
    model spends its first 2,000 patches on the plateau of predicting the mean.
    """
    embedding = vit.patch_embedding.patch_embeddings
    embedding.weight /= TYPICAL_STD
    embedding.bias.copy_(-TYPICAL_MEAN * embedding.weight.flatten(1).sum(1))
    _shrink_residuals(vit.blocks)


def xavier(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases, as in the reference implementation of the MAE."""
    if isinstance(module, nn.Linear | nn.Conv3d):
        nn.init.xavier_uniform_(module.weight.data.flatten(1))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _shrink_residuals(blocks: nn.ModuleList) -> None:
    """Residual branches that start smaller the more blocks there are, as in GPT-2."""
    for block in blocks:
        block.attn.out_proj.weight /= (2 * len(blocks)) ** 0.5
        block.mlp.linear2.weight /= (2 * len(blocks)) ** 0.5

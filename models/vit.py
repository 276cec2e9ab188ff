"""A 3D vision transformer whose modules carry the names and shapes of MONAI 1.6's `UNETR.vit`.

Pre-norm blocks without dropout, no class token, so that trained weights load into a stock MONAI UNETR. Two
things differ from MONAI's class, neither of them visible in a state dict: the forward pass can be restricted
to some tokens (a masked autoencoder encodes the visible quarter only), and the patch embedding, a convolution
whose stride equals its kernel, is computed as the matrix product that it is. Tokens are in C order over the
grid of patches.

    >>> config = ViTConfig(img_size=16, patch_size=4, hidden_size=96, num_layers=2, num_heads=4, mlp_dim=384)
    >>> tokens, hidden = ViT(config)(torch.zeros(1, 1, 16, 16, 16))
    >>> tokens.shape, len(hidden)
    (torch.Size([1, 64, 96]), 2)
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

Size = tuple[int, int, int]
BASE_WIDTH, BASE_HEADS, MLP_RATIO = 768, 12, 4
"""Of ViT-B, which is also what MONAI's UNETR is by default; `scale_factor` multiplies the width."""


@dataclass(frozen=True)
class ViTConfig:
    """The shape of a ViT. Sizes are voxels, one number for a cube or three; they are kept as three.

    learned_positions: position embeddings start as small noise and are trained, as in MONAI's UNETR; otherwise
    they are the fixed sines and cosines of `sincos_positions`.
    """

    img_size: int | Size
    patch_size: int | Size
    hidden_size: int
    num_layers: int
    num_heads: int
    mlp_dim: int
    in_channels: int = 1
    learned_positions: bool = False

    def __post_init__(self) -> None:
        for name in ("img_size", "patch_size"):
            object.__setattr__(self, name, _three(name, getattr(self, name)))
        for name in ("hidden_size", "num_layers", "num_heads", "mlp_dim", "in_channels"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if any(size % patch for size, patch in zip(self.img_size, self.patch_size, strict=True)):
            raise ValueError(f"img_size {self.img_size} must be a multiple of patch_size {self.patch_size}")
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of num_heads {self.num_heads}")

    @classmethod
    def scaled(
        cls,
        scale_factor: float,
        num_layers: int = 12,
        *,
        img_size: int | Size = 96,
        patch_size: int | Size = 16,
        in_channels: int = 1,
        learned_positions: bool = False,
    ) -> "ViTConfig":
        """ViT-B with its width times `scale_factor`, a multiple of 1/64: 12 heads and a perceptron of four widths.

        From 0.125 to 1.5 the widths are 96 to 1152. Raises ValueError for a width that 12 heads cannot share.
        """
        width = BASE_WIDTH * scale_factor
        if width < BASE_HEADS or width % BASE_HEADS:
            below = max(int(width // BASE_HEADS), 1)
            raise ValueError(
                f"scale_factor {scale_factor} makes a width of {width:g}, which must be a multiple of {BASE_HEADS}; "
                f"the nearest are {below * BASE_HEADS / BASE_WIDTH} and {(below + 1) * BASE_HEADS / BASE_WIDTH}"
            )
        return cls(
            img_size=img_size,
            patch_size=patch_size,
            hidden_size=int(width),
            num_layers=num_layers,
            num_heads=BASE_HEADS,
            mlp_dim=MLP_RATIO * int(width),
            in_channels=in_channels,
            learned_positions=learned_positions,
        )

    @property
    def grid(self) -> Size:
        """Patches along each axis."""
        x, y, z = (size // patch for size, patch in zip(self.img_size, self.patch_size, strict=True))
        return x, y, z

    @property
    def num_patches(self) -> int:
        """Tokens of an image."""
        return prod(self.grid)

    @property
    def patch_voxels(self) -> int:
        """Numbers in a patch, channels included."""
        return self.in_channels * prod(self.patch_size)

    def check(self, images: Tensor) -> None:
        """Raise ValueError unless `images` are (B, C, X, Y, Z) of this size."""
        expected = (self.in_channels, *self.img_size)
        if images.shape[1:] != expected:
            raise ValueError(f"images must have shape (B, {', '.join(map(str, expected))}), got {tuple(images.shape)}")


class ViT(nn.Module):
    """The transformer: `(B, C, X, Y, Z)` images to `(B, N, E)` tokens.

    Set `recompute` to train with less memory and a third more computing: of each block only the input is kept
    (Chen et al., arXiv 1604.06174).
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        self.recompute = False
        self.patch_embedding = PatchEmbedding(config)
        self.blocks = nn.ModuleList(
            Block(config.hidden_size, config.num_heads, config.mlp_dim) for _ in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(config.hidden_size)

    def forward(self, images: Tensor, kept: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Encode `images`; see `encode` for `kept` and the result."""
        self.config.check(images)
        return self.encode(patchify(images, self.config.patch_size), kept)

    def encode(self, patches: Tensor, kept: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Encode the patches `(B, N, P)`, or of each image only those numbered in `kept` `(B, K)`.

        Returns the tokens after the last norm, `(B, N or K, E)`, and the output of every block.
        """
        tokens = self.patch_embedding(patches, kept)
        hidden = []
        for block in self.blocks:
            tokens = through(block, tokens, recompute=self.recompute)
            hidden.append(tokens)
        return self.norm(tokens), hidden


class PatchEmbedding(nn.Module):
    """Patches to tokens, plus position."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.patch_embeddings = nn.Conv3d(
            config.in_channels, config.hidden_size, kernel_size=config.patch_size, stride=config.patch_size
        )
        self.position_embeddings = positions(config.grid, config.hidden_size, learned=config.learned_positions)

    def forward(self, patches: Tensor, kept: Tensor | None = None) -> Tensor:
        where = self.position_embeddings  # (1, N, E)
        if kept is not None:
            patches = take(patches, kept)  # (B, N, P) -> (B, K, P)
            where = where[0][kept]  # (1, N, E) -> (B, K, E)
        weight = self.patch_embeddings.weight.flatten(1)  # (E, C, x, y, z) -> (E, P)
        return F.linear(patches, weight, self.patch_embeddings.bias) + where


class Block(nn.Module):
    """Pre-norm self-attention and perceptron, each around a residual.

    `norm_cross_attn` is never used: MONAI 1.6 has it in every block, so the state dict has it too. It is
    frozen, for parameters without a gradient make DistributedDataParallel stop.
    """

    def __init__(self, width: int, num_heads: int, mlp_dim: int) -> None:
        super().__init__()
        self.mlp = Perceptron(width, mlp_dim)
        self.norm1 = nn.LayerNorm(width)
        self.attn = SelfAttention(width, num_heads)
        self.norm2 = nn.LayerNorm(width)
        self.norm_cross_attn = nn.LayerNorm(width).requires_grad_(False)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class SelfAttention(nn.Module):
    """Multi-head self-attention; the rows of `qkv` are ordered (query-key-value, head, channel)."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.out_proj = nn.Linear(width, width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        heads = self.qkv(tokens).unflatten(2, (3, self.num_heads, -1))  # (B, N, 3E) -> (B, N, 3, H, D)
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # three of (B, H, N, D)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))  # (B, H, N, D) -> (B, N, E)


class Perceptron(nn.Module):
    """Two linear layers around a GELU."""

    def __init__(self, width: int, mlp_dim: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(width, mlp_dim)
        self.linear2 = nn.Linear(mlp_dim, width)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.linear2(F.gelu(self.linear1(tokens)))


def through(part: Callable[..., Tensor], *inputs: Tensor, recompute: bool) -> Tensor:
    """`part(*inputs)`; with `recompute`, where gradients are wanted, the inputs alone are kept and the backward pass
    does the rest again. For parts without randomness, as all here are.
    """
    if recompute and torch.is_grad_enabled():
        result: Tensor = checkpoint(part, *inputs, use_reentrant=False, preserve_rng_state=False)
        return result
    return part(*inputs)


def patchify(images: Tensor, patch_size: Size) -> Tensor:
    """Cut `(B, C, X, Y, Z)` into `(B, N, P)`: N patches in C order of the grid, P = C·x·y·z numbers in
    each.
    """
    batch, channels, *shape = images.shape
    split = [part for size, patch in zip(shape, patch_size, strict=True) for part in (size // patch, patch)]
    cut = images.reshape(batch, channels, *split)  # (B, C, gx, x, gy, y, gz, z)
    return cut.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4).flatten(1, 3)  # (B, gx, gy, gz, P) -> (B, N, P)


def unpatchify(patches: Tensor, patch_size: Size, grid: Size) -> Tensor:
    """The inverse of `patchify`: `(B, N, P)` to `(B, C, X, Y, Z)`."""
    cut = patches.unflatten(2, (-1, *patch_size)).unflatten(1, grid)  # (B, gx, gy, gz, C, x, y, z)
    return cut.permute(0, 4, 1, 5, 2, 6, 3, 7).flatten(6).flatten(4, 5).flatten(2, 3)


def take(tokens: Tensor, index: Tensor) -> Tensor:
    """Of each row of `tokens` `(B, N, E)` those numbered in `index` `(B, K)`: `(B, K, E)`."""
    return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[2]))


def positions(grid: Size, width: int, *, learned: bool) -> nn.Parameter:
    """Position embeddings `(1, N, width)`: noise to be trained, or the fixed `sincos_positions`."""
    if learned:
        return nn.Parameter(nn.init.trunc_normal_(torch.empty(1, prod(grid), width), std=0.02))
    return nn.Parameter(sincos_positions(grid, width), requires_grad=False)


def sincos_positions(grid: Size, width: int, *, temperature: float = 10.0) -> Tensor:
    """Fixed positions `(1, N, width)`: for each axis in turn width/6 sines, then as many cosines.

    Frequency k of a token at index i along the axis has the phase i / temperature^(k / (width/6)): the
    sinusoids of "Attention Is All You Need" (arXiv 1706.03762), one third of the channels an axis. Its
    temperature of 10,000 is for sentences: on grids of 4 to 24 tokens most channels would hardly change. With 10
    the longest wave is 63 tokens, and a small autoencoder leaves the plateau of predicting the mean sooner.
    """
    if width % 6:
        raise ValueError(
            f"sin-cos positions need a width that is a multiple of 6 (sine and cosine on 3 axes), got {width}"
        )
    frequencies = temperature ** -(torch.arange(width // 6, dtype=torch.float64) / (width // 6))
    axes = torch.meshgrid(*(torch.arange(size, dtype=torch.float64) for size in grid), indexing="ij")
    phases = [axis.flatten()[:, None] * frequencies for axis in axes]  # three of (N, width/6)
    waves = [wave for phase in phases for wave in (phase.sin(), phase.cos())]
    return torch.cat(waves, dim=1)[None].float()


def _three(name: str, size: int | Size) -> Size:
    sizes = (size,) * 3 if isinstance(size, int) else tuple(size)
    if len(sizes) != 3 or any(one < 1 for one in sizes):
        raise ValueError(f"{name} must be one or three positive numbers of voxels, got {size}")
    return sizes

"""UNETR (Hatamizadeh et al., arXiv 2103.10504) with the state dict of MONAI 1.6's, at any depth.

A ViT encodes; convolutions climb from its token grid back to voxels, with skips from blocks L/4, L/2 and 3L/4
and from the image. With 12 layers all keys, shapes and outputs are those of `monai.networks.nets.UNETR`
(instance norm, residual blocks), which has no argument for the depth. The decoder doubles the grid four
times, so patches are 16³.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.vit import ViT, ViTConfig, through

UNETR_PATCH = (16, 16, 16)


class UNETR(nn.Module):
    """Images `(B, C, X, Y, Z)` to `(B, out_channels, X, Y, Z)`."""

    def __init__(self, config: ViTConfig, *, out_channels: int, feature_size: int = 16) -> None:
        super().__init__()
        if config.patch_size != UNETR_PATCH:
            raise ValueError(f"UNETR is defined for patches of {UNETR_PATCH} voxels, got {config.patch_size}")
        width, features = config.hidden_size, feature_size
        self.vit = ViT(config)
        self.encoder1 = _Encoder(config.in_channels, features)
        self.encoder2 = _Climb(width, 2 * features, steps=2)
        self.encoder3 = _Climb(width, 4 * features, steps=1)
        self.encoder4 = _Climb(width, 8 * features, steps=0)
        self.decoder5 = _Merge(width, 8 * features)
        self.decoder4 = _Merge(8 * features, 4 * features)
        self.decoder3 = _Merge(4 * features, 2 * features)
        self.decoder2 = _Merge(2 * features, features)
        self.out = _named_conv(_named_conv(nn.Conv3d(features, out_channels, kernel_size=1)))

    @property
    def recompute(self) -> bool:
        """Whether training keeps only the inputs of the encoder's blocks and of the convolutional stages; of the skip
        from the image, which has the largest tensors, it always does.
        """
        return self.vit.recompute

    @recompute.setter
    def recompute(self, value: bool) -> None:
        self.vit.recompute = value

    def forward(self, images: Tensor) -> Tensor:
        """F features and g tokens along an axis. Raises ValueError for images of another size than the encoder's."""
        tokens, hidden = self.vit(images)
        layers = len(hidden)
        early, middle, late = (self._grid(hidden[layers * quarter // 4]) for quarter in (1, 2, 3))
        up = self._merged(self.decoder5, self._grid(tokens), self.encoder4, late)  # (B, 8F, 2g, ...)
        up = self._merged(self.decoder4, up, self.encoder3, middle)  # (B, 4F, 4g, ...)
        up = self._merged(self.decoder3, up, self.encoder2, early)  # (B, 2F, 8g, ...)
        up = self._merged(self.decoder2, up, self.encoder1, images)  # (B, F, 16g, ...)
        return self.out(up)

    def _merged(self, decoder: nn.Module, grid: Tensor, encoder: nn.Module, skipped: Tensor) -> Tensor:
        cheap = encoder is self.encoder1  # an eighth of the computing, a sixth of the memory
        skip = through(encoder, skipped, recompute=self.recompute or cheap)
        return through(decoder, grid, skip, recompute=self.recompute)

    def _grid(self, tokens: Tensor) -> Tensor:
        """(B, N, E) -> (B, E, gx, gy, gz)"""
        return tokens.transpose(1, 2).unflatten(2, self.vit.config.grid)


class _ResBlock(nn.Module):
    """Two 3³ convolutions with instance norm around a residual, which is projected where channels change."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = _conv(channels_in, channels_out, kernel=3)
        self.conv2 = _conv(channels_out, channels_out, kernel=3)
        self.conv3 = _conv(channels_in, channels_out, kernel=1) if channels_in != channels_out else None

    def forward(self, images: Tensor) -> Tensor:
        residual = images if self.conv3 is None else through(self._projected, images, recompute=True)
        images = F.leaky_relu(_norm(self.conv1(images)), 0.01, inplace=True)
        return F.leaky_relu(_norm(self.conv2(images)).add_(residual), 0.01, inplace=True)

    def _projected(self, images: Tensor) -> Tensor:
        """The residual with as many channels as the result; so cheap that it is computed again, not kept."""
        return _norm(self.conv3(images))


class _Encoder(nn.Module):
    """The skip from the image itself."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.layer = _ResBlock(channels_in, channels_out)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images)


class _Climb(nn.Module):
    """A skip from the token grid: doubles it once, and `steps` times more."""

    def __init__(self, channels_in: int, channels_out: int, *, steps: int) -> None:
        super().__init__()
        self.transp_conv_init = _double(channels_in, channels_out)
        self.blocks = nn.ModuleList(
            nn.Sequential(_double(channels_out, channels_out), _ResBlock(channels_out, channels_out))
            for _ in range(steps)
        )

    def forward(self, grid: Tensor) -> Tensor:
        grid = self.transp_conv_init(grid)
        for block in self.blocks:
            grid = block(grid)
        return grid


class _Merge(nn.Module):
    """Doubles the grid and joins the skip of the new size."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.transp_conv = _double(channels_in, channels_out)
        self.conv_block = _ResBlock(2 * channels_out, channels_out)

    def forward(self, grid: Tensor, skip: Tensor) -> Tensor:
        return self.conv_block(torch.cat((self.transp_conv(grid), skip), dim=1))


def _norm(images: Tensor) -> Tensor:
    """Instance norm. On a CPU group norm with a group a channel, the same numbers, is faster and keeps less memory; on
    a GPU autocast would make it float32.
    """
    return F.group_norm(images, images.shape[1]) if images.device.type == "cpu" else F.instance_norm(images)


def _conv(channels_in: int, channels_out: int, *, kernel: int) -> nn.Module:
    return _named_conv(nn.Conv3d(channels_in, channels_out, kernel, padding=kernel // 2, bias=False))


def _double(channels_in: int, channels_out: int) -> nn.Module:
    return _named_conv(nn.ConvTranspose3d(channels_in, channels_out, kernel_size=2, stride=2, bias=False))


def _named_conv(layer: nn.Module) -> nn.Module:
    """`layer` under the name `conv`, where MONAI's wrapper of convolutions keeps it."""
    return nn.Sequential(OrderedDict(conv=layer))

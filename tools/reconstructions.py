"""What a masked autoencoder makes of held-out crops, as a picture: a row a domain; input, what is visible, output.

Each row is the middle axial slice of that held-out crop of the domain in which intensities vary most. The output shows
the prediction where a token was hidden, and the input where it was visible.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models.mae_dense import Autoencoder
from tools.figures import STYLE
from tools.heldout import HeldOut, visible_tokens

HIDDEN = "#3B5B7A"
"""The colour of a hidden token: no grey, so that it is no intensity."""


@dataclass(frozen=True)
class Reconstruction:
    """Slices (H, W) of one crop in [0, 1]; `masked` has no number where a token was hidden."""

    image: NDArray[np.float32]
    masked: NDArray[np.float32]
    output: NDArray[np.float32]


def reconstructions(mae: Autoencoder, held_out: HeldOut) -> dict[str, Reconstruction]:
    """One of each domain, under the mask with which its loss is measured."""
    chosen = {}
    for domain, batches in held_out.batches.items():
        images = torch.cat([batch["image"] for batch in batches])  # (N, 1, X, Y, Z)
        place = int(images.flatten(1).std(1).argmax())
        seed = int(torch.cat([batch["seed"] for batch in batches])[place])
        chosen[domain] = _reconstruct(mae, images[place : place + 1], seed)
    return chosen


@torch.no_grad()
def _reconstruct(mae: Autoencoder, image: torch.Tensor, seed: int) -> Reconstruction:
    device = mae.mask_token.device
    visible, image = visible_tokens(mae, [seed]).to(device), image.to(device)  # (1, K), (1, 1, X, Y, Z)
    patches, (_, predicted) = mae.patchify(image), mae(image, visible)  # (1, N, P)
    if mae.config.norm_target:
        predicted = predicted * (patches.var(2, keepdim=True, unbiased=False) + 1e-6).sqrt()
        predicted = predicted + patches.mean(2, keepdim=True)
    seen = torch.zeros_like(patches).scatter(1, visible[..., None].expand(-1, -1, patches.shape[2]), 1.0) > 0
    masked = torch.where(seen, patches, torch.nan)
    return Reconstruction(*(_slice(mae, each) for each in (patches, masked, torch.where(seen, patches, predicted))))


def _slice(mae: Autoencoder, patches: torch.Tensor) -> NDArray[np.float32]:
    """The middle axial slice of (1, N, P), anterior up and the patient's right on the left: (Y, X)."""
    volume = mae.unpatchify(patches)[0, 0].float().cpu().numpy()
    plane: NDArray[np.float32] = volume[::-1, :, volume.shape[2] // 2].T
    return plane


@matplotlib.rc_context(STYLE)
def picture(rows: Mapping[str, Reconstruction]) -> Figure:
    """A row a domain; grey from the darkest to the brightest voxel of its input."""
    figure = Figure(figsize=(4.9, 1.5 * len(rows) + 0.3))
    axes = figure.subplots(len(rows), 3, squeeze=False)
    shades = matplotlib.colormaps["gray"].with_extremes(bad=HIDDEN)
    for row, (domain, shown) in zip(axes, rows.items(), strict=True):
        low, high = float(shown.image.min()), max(float(shown.image.max()), float(shown.image.min()) + 1e-6)
        for ax, plane in zip(row, (shown.image, shown.masked, shown.output), strict=True):
            ax.imshow(plane, cmap=shades, vmin=low, vmax=high, origin="lower", interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        row[0].set_ylabel(domain)
    for ax, title in zip(axes[0], ("input", "visible", "output"), strict=True):
        ax.set_title(title)
    return figure


def draw(path: Path, mae: Autoencoder, held_out: HeldOut) -> None:
    """Write the picture as a PNG."""
    picture(reconstructions(mae, held_out)).savefig(path)

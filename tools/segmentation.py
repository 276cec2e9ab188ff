"""Fine-tuning for segmentation: UNETR, Dice and cross-entropy, sliding windows, Dice and HD95 of each class.

Loss, inference and metrics are MONAI's. Metrics are computed on the grid of the examples, so with another spacing they
are those of the resampled label maps. For a class that a case does not have they are not defined, and left out. HD95,
the 95th percentile of the distances between the surfaces in mm, needs both of them: for a class that the prediction
misses it is the diagonal of the volume, the longest distance there, and `missed` counts such classes, a case.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import dist
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mixio.errors import InvalidArgument, listed, require
from models.unetr import UNETR, UNETR_PATCH
from models.vit import ViTConfig
from tools.examples import Example
from tools.patch_draws import Patch
from tools.scores import Scores, mean_of

try:
    from monai.inferers import sliding_window_inference
    from monai.losses import DiceCELoss
    from monai.metrics import compute_dice, compute_hausdorff_distance
except ImportError as error:
    raise require("monai", "train") from error


@dataclass(frozen=True)
class Segmentation:
    """Voxels into `classes`, the background first; `features` is the width of UNETR's decoder at full resolution."""

    classes: tuple[str, ...]
    features: int = 16
    overlap: float = 0.5

    kind = "segmentation"
    best = "dice"

    def network(self, encoder: ViTConfig) -> nn.Module:
        """UNETR on that encoder; raises `InvalidArgument` for tokens of another size than 16."""
        if encoder.patch_size != UNETR_PATCH:
            raise InvalidArgument(
                f"UNETR needs tokens of 16 voxels, those of the checkpoint have {encoder.patch_size[0]}; train one "
                "with --token-size 16 --patch-size 48 (or another multiple of 16, at least 32)"
            )
        return UNETR(encoder, out_channels=len(self.classes), feature_size=self.features)

    def require(self, splits: dict[str, list[Example]]) -> None:
        """Refuse a split in which no case has a voxel of a class: it cannot be learned or measured there."""
        for split, examples in splits.items():
            counts = sum(np.bincount(_label(example).ravel(), minlength=len(self.classes)) for example in examples)
            if empty := [name for name, count in zip(self.classes, np.atleast_1d(counts), strict=True) if not count]:
                raise InvalidArgument(
                    f"no voxel of {listed(empty)} in the {len(examples)} cases of the split {split}; choose another "
                    "--split-seed or --val-fraction, or name fewer --classes"
                )

    def loss(self, output: Tensor, patches: Sequence[Patch]) -> Tensor:
        """Dice and cross-entropy of `(B, C, X, Y, Z)`, in equal parts, a number."""
        labels = torch.from_numpy(np.stack([patch.label for patch in patches])).to(output.device)  # (B, 1, X, Y, Z)
        loss: Tensor = DiceCELoss(to_onehot_y=True, softmax=True)(output.float(), labels)
        return loss

    def scores(self, network: nn.Module, examples: Sequence[Example]) -> Scores:
        """Dice and HD95 of the cases; `network` takes patches of its encoder's size."""
        masks = {example.name: self.predict(network, example) for example in examples}
        cases = {example.name: self._case(masks[example.name], example) for example in examples}
        names = [name for metric in ("dice", "hd95") for name in (metric, *_of(metric, self.classes[1:]))]
        metrics = {name: mean_of([case[name] for case in cases.values()]) for name in [*names, "missed"]}
        return Scores(metrics, cases, masks=masks)

    @torch.no_grad()
    def predict(self, network: nn.Module, example: Example) -> NDArray[np.uint8]:
        """The likeliest class of each voxel (X, Y, Z), from windows that overlap, weighted towards their middle."""
        device = next(network.parameters()).device
        size = network.vit.config.img_size
        output = sliding_window_inference(
            torch.from_numpy(example.image)[None, None].to(device),
            size,
            1,
            network,
            overlap=self.overlap,
            mode="gaussian",
            cval=example.background,
        )
        predicted: NDArray[np.uint8] = output.argmax(1)[0].to(torch.uint8).cpu().numpy()
        return predicted

    def _case(self, mask: NDArray[np.uint8], example: Example) -> dict[str, float | None]:
        """Dice and HD95 of one case, by class and their means."""
        found: dict[str, float | None] = {"missed": 0.0}
        for number, name in enumerate(self.classes[1:], start=1):
            predicted, true = _binary(mask == number), _binary(_label(example) == number)
            present, missed = bool(true.any()), bool(true.any()) and not bool(predicted.any())
            found[f"dice {name}"] = compute_dice(predicted, true).item() if present else None
            found["missed"] += missed
            found[f"hd95 {name}"] = (
                diagonal(example) if missed else _hd95(predicted, true, example) if present else None
            )
        for metric in ("dice", "hd95"):
            found[metric] = mean_of([found[name] for name in _of(metric, self.classes[1:])])
        return found


def diagonal(example: Example) -> float:
    """The longest distance between two voxels of the volume, in mm."""
    return dist((0, 0, 0), [(n - 1) * step for n, step in zip(example.shape, example.spacing, strict=True)])


def _hd95(predicted: Tensor, true: Tensor, example: Example) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI 1.6 warns of an argument that it passes itself
        found = compute_hausdorff_distance(
            predicted, true, include_background=True, percentile=95, spacing=list(example.spacing)
        )
    return float(found.item())


def _of(metric: str, classes: Sequence[str]) -> list[str]:
    return [f"{metric} {name}" for name in classes]


def _binary(mask: NDArray[Any]) -> Tensor:
    return torch.from_numpy(mask)[None, None].float()  # (1, 1, X, Y, Z)


def _label(example: Example) -> NDArray[np.uint8]:
    assert example.label is not None
    return example.label

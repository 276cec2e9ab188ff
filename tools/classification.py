"""Fine-tuning for classification: the mean over the encoder's tokens, a linear head or a perceptron, AUROC.

Volumes are cropped to the box of their foreground. In training a patch stands for its volume, in measuring the mean of
the scores of evenly spaced patches that cover it: this suits findings that are everywhere in a volume, and classes that
a single patch cannot tell are beyond it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixio.errors import InvalidArgument, listed
from models.classifier import Classifier
from models.vit import ViTConfig
from tools.auroc import one_against_rest
from tools.examples import Example
from tools.patch_draws import Patch, cut, windows
from tools.scores import Scores, mean_of


@dataclass(frozen=True)
class Classification:
    """Whole images into `classes`; `hidden` is the width of the head's hidden layer, 0 for a linear one.

    With `probe` only the head is trained.
    """

    classes: tuple[str, ...]
    hidden: int = 0
    probe: bool = False

    kind = "classification"
    best = "auroc"

    def network(self, encoder: ViTConfig) -> nn.Module:
        """The classifier on that encoder; raises `InvalidArgument` for fewer than two classes."""
        try:
            return Classifier(encoder, classes=len(self.classes), hidden=self.hidden, frozen=self.probe)
        except ValueError as error:
            raise InvalidArgument(f"no such classifier: {error}") from error

    def require(self, splits: dict[str, list[Example]]) -> None:
        """Refuse a split without a case of a class: it cannot be learned or measured there."""
        for split, examples in splits.items():
            present = {example.target for example in examples}
            if empty := [name for number, name in enumerate(self.classes) if number not in present]:
                raise InvalidArgument(
                    f"no case of class {listed(empty)} in the {len(examples)} cases of the split {split}, and AUROC "
                    "needs all; choose another --split-seed or --val-fraction, or name the splits in a column split"
                )

    def loss(self, output: Tensor, patches: Sequence[Patch]) -> Tensor:
        """Cross-entropy of `(B, C)`, a number."""
        return F.cross_entropy(output.float(), torch.tensor([patch.target for patch in patches], device=output.device))

    def scores(self, network: nn.Module, examples: Sequence[Example]) -> Scores:
        """AUROC of each class against the others, of two classes only that of the second, and accuracy."""
        chances = np.stack([self.predict(network, example) for example in examples])  # (N, C)
        targets = [example.target or 0 for example in examples]
        areas = one_against_rest(chances, targets)
        named = dict(zip(self.classes[-len(areas) :], areas, strict=True))
        metrics: dict[str, float | None] = {"auroc": mean_of([area for area, _ in areas])}
        metrics["accuracy"] = float(np.mean(chances.argmax(1) == targets))
        intervals = {"auroc": areas[0][1]} if len(areas) == 1 else {}
        if len(areas) > 1:
            metrics |= {f"auroc {name}": area for name, (area, _) in named.items()}
            intervals |= {f"auroc {name}": interval for name, (_, interval) in named.items()}
        cases = {
            example.name: dict(zip(self.classes, map(float, row), strict=True))
            for example, row in zip(examples, chances, strict=True)
        }
        return Scores(metrics, cases, intervals)

    @torch.no_grad()
    def predict(self, network: nn.Module, example: Example) -> np.ndarray:
        """The chances of the classes, (C,)."""
        device = next(network.parameters()).device
        size = network.vit.config.img_size
        patches = [cut(example.image, corner, size, fill=example.background) for corner in windows(example.shape, size)]
        outputs = [network(torch.from_numpy(patch)[None, None].to(device)) for patch in patches]
        return torch.cat(outputs).double().mean(0).softmax(0).cpu().numpy()

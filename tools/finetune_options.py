"""What fine-tuning can be told: the fields are also the flags of the command, those with `None` found out."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from mixio.errors import InvalidArgument
from tools.flags import flag, option_of
from tools.patch_draws import Augmentation


@dataclass(frozen=True)
class FinetuneOptions:
    """One fine-tuning, apart from its data, its weights and its seed."""

    steps: int = flag(400, "Optimizer steps.")
    batch_size: int = flag(2, "Patches a step.")
    learning_rate: float = flag(1e-3, "Peak learning rate of AdamW.")
    weight_decay: float = flag(0.01, "Weight decay.")
    warmup: float = flag(0.05, "Share of the steps in which the learning rate rises.")
    clip: float = flag(1.0, "Largest norm of the gradient.")
    foreground: float = flag(0.67, "Share of the patches that are placed on a labelled voxel.")
    flip: str = flag("x", "Axes along which patches are flipped by chance: x is left-right; xyz, or none.")
    intensity: float = flag(0.1, "Intensities are scaled and shifted by up to this much, of 1.")
    features: int = flag(16, "Width of UNETR's decoder at full resolution.")
    overlap: float = flag(0.5, "Of neighboring windows in segmenting a whole volume.")
    hidden: int = flag(0, "Width of a classifier's hidden layer; 0: a linear head.")
    probe: bool = flag(False, "Train the head of a classifier alone, on the encoder as it is.")
    patch_size: int | None = flag(None, "Edge of a patch in voxels.  [default: the checkpoint's, or 48]", int)
    width: int | None = flag(None, "Width of the encoder.  [default: the checkpoint's, or 192]", int)
    layers: int | None = flag(None, "Blocks of the encoder.  [default: the checkpoint's, or 4]", int)
    heads: int | None = flag(None, "Attention heads of the encoder.  [default: the checkpoint's, or 6]", int)
    log_every: int = flag(50, "Steps between two lines of the log.")
    device: str = flag("auto", "cpu, cuda, cuda:1, mps; auto takes a GPU if there is one.")

    def __post_init__(self) -> None:
        for name, lowest in (("steps", 1), ("batch_size", 1), ("features", 1), ("hidden", 0), ("log_every", 1)):
            if getattr(self, name) < lowest:
                raise InvalidArgument(f"{name} must be at least {lowest}, got {getattr(self, name)}")
        for name in ("learning_rate", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise InvalidArgument(f"{name} must be positive, got {getattr(self, name)}")
        for name, below in (("warmup", 1), ("overlap", 1), ("intensity", 1), ("weight_decay", math.inf)):
            if not 0 <= getattr(self, name) < below:
                raise InvalidArgument(f"{name} must be at least 0 and below {below}, got {getattr(self, name)}")
        if not 0 <= self.foreground <= 1:
            raise InvalidArgument(f"foreground must be from 0 to 1, got {self.foreground}")
        if self.flip != "none" and not (self.flip and set(self.flip) <= set("xyz")):
            raise InvalidArgument(f"flip must be some of x, y and z, or none, got {self.flip!r}")

    @property
    def augmentation(self) -> Augmentation:
        """How patches are placed and changed."""
        return Augmentation(self.foreground, "" if self.flip == "none" else self.flip, self.intensity)


def finetune_flags() -> Callable[[Any], Any]:
    """Decorate a click command with a flag for every field."""

    def decorate(function: Any) -> Any:
        for one in reversed(fields(FinetuneOptions)):
            function = option_of(one)(function)
        return function

    return decorate

"""Stored numbers to a device, and normalized there.

Integers are half or a quarter of the float32 values that a model gets, so less goes over the bus, and the processor is
spared a pass over every voxel. Copies and arithmetic go on a stream of the thread that asks, beside the training
step. The arithmetic is that of `mixio.normalize.apply_linear`, step by step, each step a kernel of its own, so that a
product and a sum are rounded one after the other and the values are the same bits on every device.
"""

import threading
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor


class Upload:
    """Brings raw patches to `device`; without streams where that is not CUDA."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._streams = threading.local()

    def __call__(self, patches: Sequence[npt.NDArray[Any]], linear: Tensor) -> "Arriving":
        """Patches of B arrays (X, Y, Z) of stored numbers, with their scales and offsets (B, 2), on their way."""
        if self.device.type != "cuda":
            return Arriving(self._normalized(patches, linear), None)
        with torch.cuda.stream(self._stream()):
            image = self._normalized(patches, linear)
            return Arriving(image, torch.cuda.current_stream(self.device).record_event())

    def _normalized(self, patches: Sequence[npt.NDArray[Any]], linear: Tensor) -> Tensor:
        image = torch.empty((len(patches), 1, *patches[0].shape), device=self.device)  # (B, 1, X, Y, Z)
        for patch, target, (scale, offset) in zip(patches, image[:, 0], linear.tolist(), strict=True):
            stored = torch.from_numpy(patch)
            if self.device.type == "cuda":  # torch keeps pinned memory until the copy is done, and uses it again
                stored = stored.pin_memory()
            target.copy_(stored.to(self.device, non_blocking=True))
            target.mul_(scale).add_(offset).clamp_(0, 1)
        return image

    def _stream(self) -> "torch.cuda.Stream":
        if not hasattr(self._streams, "one"):
            self._streams.one = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        stream: torch.cuda.Stream = self._streams.one
        return stream


class Arriving:
    """A batch of images (B, 1, X, Y, Z) that another stream is filling."""

    def __init__(self, image: Tensor, done: "torch.cuda.Event | None") -> None:
        self._image, self._done = image, done

    def arrived(self) -> Tensor:
        """The images, for the stream that is current here: it waits for them, the calling thread does not."""
        if self._done is not None:
            here = torch.cuda.current_stream(self._image.device)
            here.wait_event(self._done)
            self._image.record_stream(here)  # or their memory could be given away while this stream reads it
        return self._image

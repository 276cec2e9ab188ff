"""Stored numbers through the pipe of a `DataLoader`, float32 values behind it.

Workers send batches to the training process through shared memory, and that copy is their ceiling. So in a worker an
image is a `Stored`: a tensor to everybody who asks, which holds what the store holds and a scale and an offset.
`default_collate` joins them without looking at values, they travel as they are, and whoever unpickles them gets
plain float32 tensors, the same bits as without workers. Anything else that is done with one, as by a `collate_fn`
of one's own, makes the float32 tensor first and goes on with that.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mixio.errors import require
from mixio.normalize import Linear, apply_linear

try:
    import torch
    from torch import Tensor
    from torch.utils._pytree import tree_map
    from torch.utils.data._utils.collate import default_collate_fn_map
except ImportError as error:
    raise require("torch", "torch") from error

_ALIGNED = 16
"""Patches of several types lie in one block of bytes, each at a multiple of this."""


class Stored(Tensor):
    """A float32 image (1, X, Y, Z) that is a patch (X, Y, Z) of stored numbers until somebody looks."""

    patch: npt.NDArray[Any]
    linear: Linear
    _image: Tensor | None

    @staticmethod
    def __new__(cls, patch: npt.NDArray[Any], linear: Linear) -> "Stored":
        made: Stored = Tensor._make_wrapper_subclass(cls, (1, *patch.shape), dtype=torch.float32)
        made.patch, made.linear, made._image = patch, linear, None
        return made

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return function(*tree_map(_plain, args), **tree_map(_plain, kwargs or {}))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, function: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return function(*tree_map(_plain, args), **tree_map(_plain, kwargs or {}))

    def as_subclass(self, cls: type[Any]) -> Any:
        """A view of the float32 tensor, as of any tensor; torch asks no function of ours here."""
        return self.image().as_subclass(cls)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _same, (self.image(),)

    def image(self) -> Tensor:
        """The float32 tensor, made once: what is changed in place stays changed."""
        if self._image is None:
            self._image = _images([self.patch], [self.linear])[0]
        return self._image

    @property
    def untouched(self) -> bool:
        """Whether nobody has looked, so that the stored numbers are still what this is."""
        return self._image is None


class StoredBatch:
    """Collated `Stored` images on their way to another process, where they come out as a tensor (B, 1, X, Y, Z)."""

    def __init__(self, images: Sequence[Stored]) -> None:
        self.linear = [one.linear for one in images]
        self.layout = [(one.patch.dtype.str, one.patch.shape) for one in images]
        starts = _starts([one.patch.nbytes for one in images])
        storage = torch.UntypedStorage._new_shared(starts[-1])  # type: ignore[no-untyped-call]
        self.block = torch.empty(0, dtype=torch.uint8).set_(storage)
        memory = self.block.numpy()
        for one, start in zip(images, starts, strict=False):
            _view(memory, start, one.patch.dtype.str, one.patch.shape)[...] = one.patch

    def __reduce__(self) -> Any:
        return _unpacked, (self.block, self.layout, self.linear)


def _collate(images: Sequence[Tensor], *, collate_fn_map: Any = None) -> Any:
    """What `default_collate` does with a list of `Stored`; outside of a worker, nothing is put off."""
    if torch.utils.data.get_worker_info() is None or not all(isinstance(i, Stored) and i.untouched for i in images):
        plain = [_plain(image) for image in images]
        return default_collate_fn_map[Tensor](plain, collate_fn_map=collate_fn_map)
    return StoredBatch(images)  # type: ignore[arg-type]


default_collate_fn_map[Stored] = _collate


def _unpacked(block: Tensor, layout: Sequence[tuple[str, tuple[int, ...]]], linear: Sequence[Linear]) -> Tensor:
    memory = block.numpy()
    starts = _starts([int(np.dtype(dtype).itemsize * np.prod(shape)) for dtype, shape in layout])
    patches = [_view(memory, start, *one) for start, one in zip(starts, layout, strict=False)]
    return _images(patches, linear)


def _images(patches: Sequence[npt.NDArray[Any]], linear: Sequence[Linear]) -> Tensor:
    out = np.empty((len(patches), 1, *patches[0].shape), np.float32)  # (B, 1, X, Y, Z)
    for patch, pair, target in zip(patches, linear, out[:, 0], strict=True):
        apply_linear(patch, pair, out=target)
    return torch.from_numpy(out)


def _view(memory: npt.NDArray[Any], start: int, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    return np.ndarray(shape, dtype, buffer=memory.data, offset=start)


def _starts(sizes: Sequence[int]) -> list[int]:
    """Where patches of so many bytes begin in their block, and where it ends."""
    starts = [0]
    for size in sizes:
        starts.append(starts[-1] + -(-size // _ALIGNED) * _ALIGNED)
    return starts


def _plain(value: Any) -> Any:
    return value.image() if isinstance(value, Stored) else value


def _same(image: Tensor) -> Tensor:
    return image

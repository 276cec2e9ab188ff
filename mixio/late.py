"""Stored numbers through the pipe of a `DataLoader`, float32 values behind it.

Workers send batches to the training process through shared memory, and that copy is their ceiling. So in a worker an
image is a `Stored`: a tensor to everybody who asks, which holds what the store holds and a scale and an offset.
They lie in shared memory from the start, `default_collate` joins them without looking at values, and whoever unpickles
them gets plain float32 tensors, the same bits as without workers. Anything else that is done with one, as by a
`collate_fn` of one's own, makes the float32 tensor first and goes on with that.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from mixio.buffers import Buffers
from mixio.errors import require
from mixio.normalize import Linear, apply_linear

try:
    import torch
    from torch import Tensor
    from torch.utils._pytree import tree_map
    from torch.utils.data._utils.collate import default_collate_fn_map
except ImportError as error:
    raise require("torch", "torch") from error

Kind = tuple[str, tuple[int, ...]]
"""The dtype and shape of a patch."""
_ALIGNED = 16
"""Patches of several types lie in one block of bytes, each at a multiple of this."""
_SHAPES_KEPT = 4
"""Shapes of batches for which memory is kept, to be used again."""


class Late(Tensor):
    """A float32 tensor of this shape that is stored numbers until somebody looks."""

    _made: Tensor | None

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
        if self._made is None:
            self._made = self._make()
        return self._made

    @property
    def untouched(self) -> bool:
        """Whether nobody has looked, so that the stored numbers are still what this is."""
        return self._made is None

    def _make(self) -> Tensor:
        raise NotImplementedError


class Stored(Late):
    """An image (1, X, Y, Z) that is a patch (X, Y, Z)."""

    patch: npt.NDArray[Any]
    linear: Linear
    block: "Block | None"

    @staticmethod
    def __new__(cls, patch: npt.NDArray[Any], linear: Linear, block: "Block | None" = None) -> "Stored":
        made: Stored = Tensor._make_wrapper_subclass(cls, (1, *patch.shape), dtype=torch.float32)
        made.patch, made.linear, made.block, made._made = patch, linear, block, None
        return made

    def _make(self) -> Tensor:
        out = np.empty((1, 1, *self.patch.shape), np.float32)
        return _images([self.patch], [self.linear], out)[0]


class Block:
    """Shared memory in which patches lie side by side, so that sending them to another process copies nothing."""

    def __init__(self) -> None:
        self.layout: list[Kind] = []
        self.patches: list[npt.NDArray[Any]] = []

    def place(self, kinds: Sequence[Kind]) -> list[npt.NDArray[Any]]:
        """An array for each (dtype, shape), in one new piece of memory."""
        starts = _starts(kinds)
        storage = torch.UntypedStorage._new_shared(starts[-1])  # type: ignore[no-untyped-call]
        self.bytes = torch.empty(0, dtype=torch.uint8).set_(storage)
        self.layout, self.patches = list(kinds), _views(self.bytes, kinds)
        return self.patches

    def holds(self, images: Sequence[Stored]) -> bool:
        """Whether these are its patches, all of them and in order."""
        mine = [(id(self), id(patch)) for patch in self.patches]
        return [(id(one.block), id(one.patch)) for one in images] == mine


class StoredBatch(Late):
    """Collated images (B, 1, X, Y, Z) of one block, which is what travels to another process."""

    block: Block
    linear: list[Linear]

    @staticmethod
    def __new__(cls, images: Sequence[Stored]) -> "StoredBatch":
        made: StoredBatch = Tensor._make_wrapper_subclass(cls, (len(images), *images[0].shape), dtype=torch.float32)
        made.block, made.linear, made._made = _block_of(images), [one.linear for one in images], None
        return made

    def _make(self) -> Tensor:
        return _unpacked(self.block.bytes, self.block.layout, self.linear)

    def __reduce_ex__(self, protocol: Any) -> Any:
        if not self.untouched:
            return super().__reduce_ex__(protocol)
        return _unpacked, (self.block.bytes, self.block.layout, self.linear)


def _block_of(images: Sequence[Stored]) -> Block:
    block = images[0].block
    if block is None or not block.holds(images):  # sampled one by one, in another order, or damaged
        block = Block()
        places = block.place([(one.patch.dtype.str, one.patch.shape) for one in images])
        for one, place in zip(images, places, strict=True):
            place[...] = one.patch
    return block


def _collate(images: Sequence[Tensor], *, collate_fn_map: Any = None) -> Any:
    """What `default_collate` does with a list of `Stored`; outside of a worker, nothing is put off."""
    shape = images[0].shape
    late = all(isinstance(one, Stored) and one.untouched and one.shape == shape for one in images)
    if torch.utils.data.get_worker_info() is None or not late:
        plain = [_plain(image) for image in images]
        return default_collate_fn_map[Tensor](plain, collate_fn_map=collate_fn_map)
    return StoredBatch(images)  # type: ignore[arg-type]


default_collate_fn_map[Stored] = _collate


def _unpacked(block: Tensor, layout: Sequence[Kind], linear: Sequence[Linear]) -> Tensor:
    shape = (len(layout), 1, *layout[0][1])
    return _images(_views(block, layout), linear, _buffers(shape).take())


def _images(patches: Sequence[npt.NDArray[Any]], linear: Sequence[Linear], out: npt.NDArray[np.float32]) -> Tensor:
    """Patches as float32 in `out` (B, 1, X, Y, Z)."""
    for patch, pair, target in zip(patches, linear, out[:, 0], strict=True):
        apply_linear(patch, pair, out=target)
    return torch.from_numpy(out)


_buffers = lru_cache(_SHAPES_KEPT)(Buffers)


def _views(block: Tensor, layout: Sequence[Kind]) -> list[npt.NDArray[Any]]:
    memory = block.numpy().data
    return [np.ndarray(s, d, buffer=memory, offset=at) for at, (d, s) in zip(_starts(layout), layout, strict=False)]


def _starts(kinds: Sequence[Kind]) -> list[int]:
    """Where patches begin in their block, and where it ends."""
    starts = [0]
    for dtype, shape in kinds:
        starts.append(starts[-1] + -(-np.dtype(dtype).itemsize * prod(shape) // _ALIGNED) * _ALIGNED)
    return starts


def _plain(value: Any) -> Any:
    return value.image() if isinstance(value, Late) else value


def _same(image: Tensor) -> Tensor:
    return image

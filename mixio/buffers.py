"""Memory for batches that is used again, once nobody holds it any more."""

import weakref
from collections import deque

import numpy as np
import numpy.typing as npt


class Buffers:
    """Float32 arrays of one shape that are given out again once nothing refers to them.

    Fresh memory costs a page fault for each 4 KiB, more time than it takes to fill it.
    """

    def __init__(self, shape: tuple[int, ...], *, kept: int = 8) -> None:
        self.shape = shape
        self._free: deque[npt.NDArray[np.float32]] = deque(maxlen=kept)

    def take(self) -> npt.NDArray[np.float32]:
        """An array with any values; a tensor made of it holds it for as long as any view of the tensor is held."""
        try:
            memory = self._free.pop()
        except IndexError:
            memory = np.empty(self.shape, np.float32)
        lent = memory[...]
        weakref.finalize(lent, self._free.append, memory).atexit = False
        return lent

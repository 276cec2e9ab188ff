"""Memory that is given out again, and never while somebody holds it."""

import torch

from mixio.buffers import Buffers


def test_memory_that_nothing_refers_to_is_used_again():
    buffers = Buffers((2, 3))
    first = torch.from_numpy(buffers.take())
    place, part = first.data_ptr(), first[1, 1:]
    del first
    other = torch.from_numpy(buffers.take())
    assert other.data_ptr() != place
    del part
    assert buffers.take().ctypes.data == place

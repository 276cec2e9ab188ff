import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixio.device import Upload
from mixio.normalize import apply_linear

LINEAR = st.tuples(st.floats(-10, 10, width=32), st.floats(-10, 10, width=32))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "float32"])
@given(seed=st.integers(0, 2**32), linear=st.lists(LINEAR, min_size=1, max_size=3))
def test_values_are_those_of_the_processor_bit_for_bit(dtype, seed, linear):
    patches = [np.random.default_rng([seed, i]).integers(0, 127, (3, 4, 5)).astype(dtype) for i in range(len(linear))]
    image = Upload(torch.device("cpu"))(patches, torch.tensor(linear)).arrived()
    expected = np.empty((len(linear), 1, 3, 4, 5), np.float32)
    for patch, pair, target in zip(patches, linear, expected[:, 0], strict=True):
        apply_linear(patch, pair, out=target)
    assert image.dtype == torch.float32
    assert np.array_equal(image.numpy(), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_the_same_bits_while_its_own_stream_works():
    rng = np.random.default_rng(0)
    patches = [rng.integers(-1000, 3000, (96, 96, 96)).astype(np.int16) for _ in range(4)]
    linear = torch.tensor([[5e-4, 0.5]] * 4)
    expected = Upload(torch.device("cpu"))(patches, linear).arrived()
    upload = Upload(torch.device("cuda"))
    for _ in range(20):
        assert torch.equal(upload(patches, linear).arrived().cpu(), expected)

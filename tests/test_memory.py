"""Memory order: a view, the way back, and slabs that cover everything."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mixio.memory import layout_of, slabs

SHAPES = st.tuples(*[st.integers(1, 9)] * 3)


@given(shape=SHAPES, axes=st.permutations(range(3)), signs=st.tuples(*[st.sampled_from([1, -1])] * 3))
def test_memory_order_is_contiguous_and_has_a_way_back(
    shape: tuple[int, int, int], axes: list[int], signs: tuple[int, int, int]
) -> None:
    source = np.arange(np.prod(shape)).reshape(shape)
    view = source.transpose(axes)[tuple(slice(None, None, sign) for sign in signs)]
    layout = layout_of(view)
    memory = layout.ordered(view)
    assert memory.flags.c_contiguous
    assert np.shares_memory(memory, source)
    assert np.array_equal(layout.restored(memory), view)


def test_a_plain_array_needs_no_turning() -> None:
    assert layout_of(np.zeros((3, 4, 5))).is_plain
    assert not layout_of(np.zeros((3, 4, 5), order="F")).is_plain
    assert not layout_of(np.zeros((3, 4, 5))[:, ::-1]).is_plain


@given(shape=SHAPES, nbytes=st.integers(1, 2000))
def test_slabs_cover_every_plane_once_and_keep_their_size(shape: tuple[int, int, int], nbytes: int) -> None:
    array = np.zeros(shape, np.int16)
    found = list(slabs(array, nbytes=nbytes))
    assert [n for slab in found for n in range(slab.start, slab.stop)] == list(range(shape[0]))
    assert all(array[slab].nbytes <= nbytes or slab.stop - slab.start == 1 for slab in found)

"""Foreground: the rule on real values, moved to stored ones without changing one answer."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mixio.foreground import Band, band_of, find
from mixio.volume import Volume

SLOPES = st.sampled_from([1.0, -1.0, 0.5, -2.5, 1e-3, 37.77])
INTERS = st.sampled_from([0.0, -1024.0, 0.3, 1e6])
DTYPES = st.sampled_from(
    ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32"]
)


def drawn(dtype: str, seed: int) -> NDArray[Any]:
    """Values over the whole range of an integer type, or around -500 and zero for floats."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(-300, 400, (6, 6, 6)).astype(dtype)
    info = np.iinfo(dtype)
    near = rng.integers(max(info.min, -1200), min(info.max, 3000), (6, 6, 6), dtype=dtype)
    wide = rng.integers(info.min, info.max, (6, 6, 6), dtype=dtype, endpoint=True)
    return wide if seed % 2 else near


def rule(volume: Volume, background: float, high: float, modality: str | None) -> NDArray[np.bool_]:
    """The rule as it reads, on a float copy."""
    real = volume.real().voxels.astype(np.float64)
    empty = Volume(np.array([[[background]]]), np.eye(4), volume.slope, volume.inter).real().voxels.astype(np.float64)
    if modality == "CT" and real.min() < -500 < real.max():
        return real > -500
    return np.abs(real - empty) > 0.08 * abs(high - float(empty.item()))


@given(dtype=DTYPES, seed=st.integers(0, 10**6), slope=SLOPES, inter=INTERS, modality=st.sampled_from(["CT", "MR"]))
def test_the_band_answers_as_the_rule_for_every_type_and_scale(
    dtype: str, seed: int, slope: float, inter: float, modality: str
) -> None:
    voxels = drawn(dtype, seed)
    volume = Volume(voxels, np.eye(4), slope, inter)
    background = voxels[0, 0, 0].item()
    high = float(np.percentile(volume.real().voxels.astype(np.float64), 99.5))
    extremes = voxels.min().item(), voxels.max().item()
    band = band_of(volume, background, extremes, high=lambda: high, modality=modality)
    assert np.array_equal(band.outside(voxels), rule(volume, background, high, modality))


def test_a_threshold_between_neighboring_integers_of_64_bits_is_found() -> None:
    voxels = np.array([-(2**63), -501, -500, -499, 2**63 - 1]).reshape(1, 1, 5)
    band = band_of(Volume(voxels, np.eye(4)), 0, (-(2**63), 2**63 - 1), high=lambda: 0.0, modality="CT")
    assert band.outside(voxels).ravel().tolist() == [False, False, False, True, True]


def test_a_background_outside_the_values_is_allowed() -> None:
    volume = Volume(np.full((2, 2, 2), 100, np.uint8), np.eye(4))
    band = band_of(volume, -1000, (100, 100), high=lambda: 100.0, modality="MR")
    assert band.outside(volume.voxels).all()


@given(
    shape=st.tuples(*[st.integers(1, 70)] * 3),
    seed=st.integers(0, 10**6),
    share=st.sampled_from([0.0, 0.001, 0.5, 1.0]),
    axes=st.permutations(range(3)),
    signs=st.tuples(*[st.sampled_from([1, -1])] * 3),
)
def test_counts_box_and_cells_are_those_of_a_plain_reference_in_any_layout(
    shape: tuple[int, int, int], seed: int, share: float, axes: list[int], signs: tuple[int, int, int]
) -> None:
    source = (np.random.default_rng(seed).random(shape) < share).astype(np.int16)
    view = source.transpose(axes)[tuple(slice(None, None, sign) for sign in signs)]
    found = find(view, Band(None, 0))
    places = np.argwhere(view)
    box = (places.min(0), places.max(0) + 1) if len(places) else (np.zeros(3), np.array(view.shape))
    assert found.count == len(places)
    assert np.array_equal(np.array(found.box), np.array(box))
    for cell in np.ndindex(found.occupancy.shape):
        part = view[tuple(slice(8 * c, 8 * c + 8) for c in cell)]
        assert found.occupancy[cell] == np.ceil(np.float32(part.sum()) / np.float32(part.size) * 255)


def test_occupancy_counts_cells_and_never_hides_a_lonely_voxel() -> None:
    voxels = np.zeros((17, 8, 8), np.uint8)
    voxels[:8], voxels[9, 0, 0] = 200, 200
    occupancy = find(voxels, Band(None, 0)).occupancy
    assert occupancy.shape == (3, 1, 1)
    assert occupancy.ravel().tolist() == [255, 1, 0]


@pytest.mark.parametrize(("band", "kept"), [(Band(None, None), []), (Band(2, 3), [0, 1, 4]), (Band(1, None), [0])])
def test_a_band_may_be_open_on_either_side(band: Band, kept: list[int]) -> None:
    values = np.arange(5, dtype=np.int8)
    assert values[band.outside(values)].tolist() == kept

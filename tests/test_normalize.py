from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixio.normalize import linear_of, normalize, window_of


def row(modality="CT", unit="HU", slope=1.0, inter=0.0):
    percentiles = {"0.5": 12.0, "5": 15.0, "50": 100.0, "95": 250.0, "99.5": 300.0}
    statistics = {"percentiles": percentiles}
    return SimpleNamespace(modality=modality, unit=unit, slope=slope, inter=inter, statistics=statistics)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "float32", "float64"])
@given(seed=st.integers(0, 2**32), slope=st.floats(1e-3, 1e3), inter=st.floats(-1e3, 1e3))
def test_it_is_the_clipped_share_of_the_window_for_every_stored_type(dtype, seed, slope, inter):
    patch = np.random.default_rng(seed).integers(0, 127, (3, 4, 5)).astype(dtype)
    low, high = inter, inter + 100 * slope
    expected = np.clip((patch.astype(np.float64) * slope + inter - low) / (high - low), 0, 1)
    image = normalize(patch, row(slope=slope, inter=inter), (low, high))
    assert image.dtype == np.float32
    assert image.flags.c_contiguous
    np.testing.assert_allclose(image, expected, atol=2e-3 if abs(inter) > 100 * slope else 2e-6)


def test_hounsfield_units_of_air_water_and_bone():
    patch = np.array([-1024, -1000, 0, 500, 3071], np.int16)
    assert normalize(patch, row(), window_of(row())).tolist() == [0, 0, 0.5, 0.75, 1]


def test_a_stored_offset_is_undone():
    patch = np.array([0, 1000, 2000], np.uint16)  # the DICOM habit: stored = HU + 1000
    assert normalize(patch, row(inter=-1000.0), (-1000.0, 1000.0)).tolist() == [0, 0.5, 1]


def test_the_window_follows_modality_and_unit():
    assert window_of(row("CT")) == (-1000, 1000)
    assert window_of(row("CT", None)) == (12, 300)
    assert window_of(row("PET", "SUV")) == (0, 10)
    assert window_of(row("PET", None)) == (12, 300)
    assert window_of(row("MR", None)) == (12, 300)
    assert window_of(row(None, None)) == (12, 300)


def test_a_window_of_no_width_gives_zeros_without_a_warning():
    assert normalize(np.full((2, 2, 2), 7, np.int16), row(), (7.0, 7.0)).tolist() == np.zeros((2, 2, 2)).tolist()


def test_the_patch_is_left_as_it_was():
    patch = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    normalize(patch, row(), (0.0, 1.0))
    assert patch.ravel().tolist() == list(range(8))


@pytest.mark.parametrize("dtype", ["int16", "uint16", "float32"])
@given(
    seed=st.integers(0, 2**32),
    slope=st.floats(1e-3, 1e3),
    low=st.floats(-1e3, 1e3),
    width=st.just(0.0) | st.floats(1e-3, 1e4),
)
def test_scale_and_offset_in_float32_give_the_same_bits(dtype, seed, slope, low, width):
    patch = np.random.default_rng(seed).integers(0, 32767, (3, 4, 5)).astype(dtype)
    scale, offset = linear_of(row(slope=slope), (low, low + width))
    assert (scale, offset) == (np.float32(scale), np.float32(offset))
    expected = np.clip(patch.astype(np.float32) * np.float32(scale) + np.float32(offset), np.float32(0), np.float32(1))
    assert normalize(patch, row(slope=slope), (low, low + width)).tobytes() == expected.tobytes()


def test_the_scale_and_offset_of_a_window_are_those_of_a_line_through_its_ends():
    assert linear_of(row(slope=4.0, inter=1024.0), (0.0, 2048.0)) == (2**-9, 0.5)
    assert linear_of(row(), (7.0, 7.0)) == (0, 0)

"""Casting: without loss where that is possible, else the error that is reported is the error that was made."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mixio.cast import cast
from mixio.errors import InvalidArgument, SourceError
from mixio.volume import Volume


def volume_of(voxels: Any, dtype: str, slope: float = 1.0, inter: float = 0.0) -> Volume:
    """A row of voxels."""
    return Volume(np.array(voxels, dtype).reshape(-1, 1, 1), np.eye(4), slope, inter, "HU")


def read(volume: Volume) -> NDArray[np.float64]:
    """What a reader of the store gets."""
    return volume.real().voxels.astype(np.float64).ravel()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "int64", "float32", "float64"])
def test_whole_numbers_that_fit_are_kept_with_their_scale(dtype: str) -> None:
    out, error = cast(volume_of([0, 1, 7, 255], dtype, 0.5, -3.0), "int16")
    assert out.voxels.ravel().tolist() == [0, 1, 7, 255]
    assert (out.voxels.dtype, out.slope, out.inter, out.unit, error) == (np.int16, 0.5, -3.0, "HU", 0.0)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0, 65535], "uint16"),
        ([100_000, 165_535, 120_001], "int32"),
        ([2.0**20, 2.0**20 + 65535], "float32"),
        ([-70_000, -60_000], "int64"),
    ],
)
def test_whole_numbers_of_a_range_that_fits_are_moved_without_loss(values: list[float], dtype: str) -> None:
    volume = volume_of(values, dtype)
    out, error = cast(volume, "int16")
    assert out.voxels.dtype == np.int16
    assert read(out).tolist() == read(volume).tolist()
    assert error == 0.0


def test_a_range_at_the_end_of_64_bits_does_not_wrap() -> None:
    out, _ = cast(volume_of([2**64 - 9, 2**64 - 1], "uint64"), "int16")
    assert out.voxels.ravel().tolist() == [-(2**15), -(2**15) + 8]


@given(
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([(1.0, 0.0), (-0.7, 12.0), (1e-3, -5.0)]),
    wanted=st.sampled_from(["int16", "float16", "float32"]),
    dtype=st.sampled_from(["uint8", "int16", "int32", "float32", "float64"]),
)
def test_the_error_reported_is_the_largest_that_a_reader_meets(
    seed: int, scale: tuple[float, float], wanted: str, dtype: str
) -> None:
    values = np.random.default_rng(seed).normal(50, 30, (7, 5, 3)) * (200 if dtype == "int32" else 1)
    volume = Volume(np.asfortranarray(np.clip(values, 0, 60_000).astype(dtype)), np.eye(4), *scale)
    out, error = cast(volume, wanted)
    assert out.voxels.dtype == wanted
    assert error == np.abs(read(out) - read(volume)).max()


def test_real_numbers_are_divided_into_equal_steps_of_their_range() -> None:
    values = np.random.default_rng(0).uniform(-1, 3, 10_000)
    volume = volume_of(values, "float32")
    out, error = cast(volume, "int16")
    step = np.ptp(values) / 65535
    assert out.slope == pytest.approx(step)
    assert (out.voxels.min(), out.voxels.max()) == (-(2**15), 2**15 - 1)
    assert 0.45 * step < error < 0.51 * step
    assert np.abs(read(out) - values).max() < 0.51 * step


def test_a_constant_that_is_not_whole_is_kept() -> None:
    out, error = cast(volume_of([0.25, 0.25], "float32"), "int16")
    assert read(out).tolist() == [0.25, 0.25]
    assert error == 0.0


def test_float16_rounds_and_says_by_how_much() -> None:
    out, error = cast(volume_of([0.5, 2049.0, 1.0], "float32"), "float16")
    assert out.voxels.ravel().tolist() == [0.5, 2048.0, 1.0]
    assert error == 1.0


def test_float32_of_64_bit_integers_tells_of_every_digit_lost() -> None:
    assert cast(volume_of([2**53 + 1, 0], "int64"), "float32")[1] == 1.0
    assert cast(volume_of([2**24, 5], "int64"), "float32")[1] == 0.0


def test_real_values_replace_the_scale_in_floats() -> None:
    out, error = cast(volume_of([0, 1064], "int16", 1.0, -1024.0), "float32")
    assert (out.voxels.ravel().tolist(), out.slope, out.inter, error) == ([-1024.0, 40.0], 1.0, 0.0, 0.0)


def test_scaled_floats_lose_their_scale_too() -> None:
    out, error = cast(volume_of([1.5, 2.5], "float32", 2.0, 1.0), "float32")
    assert (out.voxels.ravel().tolist(), out.slope, out.inter, error) == ([4.0, 6.0], 1.0, 0.0, 0.0)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_what_has_the_type_already_and_what_is_native_is_not_copied(dtype: str) -> None:
    volume = volume_of([1, 2], dtype)
    assert cast(volume, dtype) == (volume, 0.0)
    assert cast(volume, "native") == (volume, 0.0)


def test_values_beyond_the_type_are_refused() -> None:
    with pytest.raises(SourceError, match="holds 70000, float16 reaches 65504; choose another dtype"):
        cast(volume_of([0, 1], "int16", 70_000.0), "float16")
    with pytest.raises(SourceError, match="holds 1e\\+300, float32 reaches"):
        cast(volume_of([1e300, 0.5], "float64"), "float32")
    with pytest.raises(SourceError, match="too far apart for int16"):
        cast(volume_of([-1.5e308, 1.5e308], "float64"), "int16")


def test_another_type_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="dtype must be one of native, int16, float16, float32, got 'int8'"):
        cast(volume_of([1], "int16"), "int8")

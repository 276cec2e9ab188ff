"""What a volume holds: the same numbers as plain NumPy gives on a float copy, in any memory layout."""

import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixio.content import PERCENTILES, Content, describe
from mixio.volume import Volume

DTYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"]


def volume_of(dtype: str, shape: tuple[int, int, int], seed: int, scale: tuple[float, float] = (1.0, 0.0)) -> Volume:
    """Noise above a constant, over the type's range or to 2,000."""
    rng = np.random.default_rng(seed)
    top = 2000 if np.dtype(dtype).kind == "f" else min(2000, int(np.iinfo(dtype).max))
    voxels = (rng.random(shape) * top * (rng.random(shape) < 0.7)).astype(dtype)
    return Volume(voxels, np.eye(4), *scale)


def plain(volume: Volume, background: float, modality: str) -> tuple[dict[str, Any], float]:
    """Statistics and foreground fraction, on a float64 copy of everything."""
    real = volume.real().voxels.astype(np.float64)
    empty = float(volume.slope * background + volume.inter)
    allowed = 0.08 * abs(np.percentile(real, 99.5) - empty)
    mask = real > -500 if modality == "CT" and real.min() < -500 < real.max() else np.abs(real - empty) > allowed
    inside = np.percentile(real[mask] if mask.any() else real, PERCENTILES)
    named = {f"{p:g}": float(v) for p, v in zip(PERCENTILES, inside, strict=True)}
    numbers = {"min": real.min(), "max": real.max(), "mean": real.mean(), "std": real.std(), "percentiles": named}
    return numbers, float(mask.mean())


def assert_equal(content: Content, numbers: dict[str, Any], fraction: float) -> None:
    """Equal up to the rounding of float32."""
    assert content.foreground_fraction == fraction
    for name in ("min", "max", "mean", "std"):
        assert content.statistics[name] == pytest.approx(numbers[name], rel=1e-6, abs=1e-9)
    assert content.statistics["percentiles"] == pytest.approx(numbers["percentiles"], rel=1e-6, abs=1e-9)


@settings(max_examples=60)
@given(
    dtype=st.sampled_from(DTYPES),
    shape=st.tuples(*[st.integers(1, 70)] * 3),
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([(1.0, 0.0), (1.0, -1024.0), (0.25, 3.0), (-2.0, 100.0)]),
    modality=st.sampled_from(["CT", "MR"]),
)
def test_numbers_are_those_of_a_float_copy(
    dtype: str, shape: tuple[int, int, int], seed: int, scale: tuple[float, float], modality: str
) -> None:
    volume = volume_of(dtype, shape, seed, scale)
    assert_equal(describe(volume, 0, modality), *plain(volume, 0, modality))


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32"])
def test_every_digit_is_the_same_however_the_voxels_lie_in_memory(dtype: str) -> None:
    volume = volume_of(dtype, (41, 130, 70), 0)
    backwards = np.ascontiguousarray(volume.voxels[::-1, :, ::-1])[::-1, :, ::-1]
    expected = describe(volume, 0, "MR")
    for voxels in (np.asfortranarray(volume.voxels), backwards):
        content = describe(replace(volume, voxels=voxels), 0, "MR")
        assert content.statistics == expected.statistics
        assert np.array_equal(content.occupancy, expected.occupancy)


def test_extremes_of_64_bits_keep_their_order_and_mean() -> None:
    voxels = np.array([0, 2**64 - 1] * 4, np.uint64).reshape(2, 2, 2)
    statistics = describe(Volume(voxels, np.eye(4)), 0, "MR").statistics
    assert (statistics["min"], statistics["max"]) == (0.0, 2.0**64)
    assert statistics["mean"] == statistics["std"] == 2.0**63


def test_numbers_of_the_other_byte_order_are_counted_right() -> None:
    volume = volume_of("int16", (9, 8, 7), 0)
    other = replace(volume, voxels=volume.voxels.astype(">i2"))
    assert describe(other, 0, "MR").statistics == describe(volume, 0, "MR").statistics


def test_ct_foreground_is_what_is_denser_than_lung() -> None:
    voxels = np.full((16, 16, 16), -1000, np.int16)
    voxels[4:12, 2:14, 8:16] = 40
    content = describe(Volume(voxels, np.eye(4)), -1000, "CT")
    assert content.foreground_fraction == pytest.approx(8 * 12 * 8 / 16**3)
    assert content.foreground_box == ((4, 2, 8), (12, 14, 16))
    assert content.statistics["percentiles"] == dict.fromkeys(["0.5", "5", "50", "95", "99.5"], 40.0)


def test_foreground_is_judged_on_real_values_not_on_stored_ones() -> None:
    stored = np.zeros((8, 8, 8), np.int16)
    stored[:4] = 1064
    content = describe(Volume(stored, np.eye(4), slope=1.0, inter=-1024.0), 0, "CT")
    assert content.foreground_fraction == 0.5
    assert content.statistics["min"] == -1024.0


def test_percentiles_see_every_plane_of_a_large_volume() -> None:
    voxels = np.zeros((512, 512, 40), np.float32)
    voxels[..., 11:20] = 1000
    voxels[..., 15] = 2000
    content = describe(Volume(voxels, np.eye(4)), 0, "PET")
    assert content.foreground_fraction == pytest.approx(9 / 40)
    assert content.statistics["percentiles"] == {"0.5": 1000, "5": 1000, "50": 1000, "95": 2000, "99.5": 2000}


def test_the_few_foreground_voxels_of_a_large_volume_are_all_seen() -> None:
    voxels = np.zeros((256, 256, 40), np.float32)
    voxels[100, 100, 7], voxels[200, 3, 30] = 5, 7
    assert describe(Volume(voxels, np.eye(4)), 0, "MR").statistics["percentiles"]["50"] == 6


def test_evenly_spaced_voxels_lie_in_every_plane() -> None:
    voxels = np.broadcast_to(np.arange(100, 140, dtype=np.float32), (512, 512, 40))
    percentiles = describe(Volume(voxels, np.eye(4)), 0, "MR").statistics["percentiles"]
    assert percentiles == pytest.approx({"0.5": 100, "5": 101.5, "50": 119.5, "95": 137.5, "99.5": 139}, abs=0.5)


@pytest.mark.parametrize(
    ("dtype", "shape", "most"),
    [("int16", (256, 256, 160), 12), ("int16", (4000, 4000, 1), 12), ("float32", (300, 256, 160), 36)],
)
def test_describing_holds_a_few_slabs_and_the_sample(dtype: str, shape: tuple[int, int, int], most: int) -> None:
    voxels = np.zeros(shape, dtype, order="F")
    voxels[50:100] = 700
    tracemalloc.start()
    describe(Volume(voxels, np.eye(4)), 0, "MR")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < most * 2**20


def test_a_constant_volume_is_described_without_complaint() -> None:
    content = describe(Volume(np.full((4, 4, 4), 7, np.uint8), np.eye(4)), 7, "MR")
    assert content.statistics["std"] == 0
    assert content.foreground_fraction == 0
    assert content.foreground_box == ((0, 0, 0), (4, 4, 4))

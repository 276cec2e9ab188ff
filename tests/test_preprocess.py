"""Orientation without loss, background, foreground, statistics."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mixio.content import describe
from mixio.preprocess import background_of, fill_nonfinite, ras_axes, to_ras
from mixio.volume import Volume


@given(seed=st.integers(0, 10**6), angle=st.floats(0, 180))
def test_orientation_is_that_of_nibabel_for_any_grid(seed: int, angle: float) -> None:
    rng = np.random.default_rng(seed)
    affine = np.eye(4)
    turn = Rotation.from_rotvec(np.radians(angle) * rng.normal(size=3) / 2).as_matrix()
    affine[:3, :3] = turn[:, rng.permutation(3)] * rng.choice([-1, 1], 3) * rng.uniform(0.5, 5, 3)
    affine[:3, 3] = rng.normal(size=3) * 50
    voxels = rng.integers(0, 99, (3, 4, 5)).astype(np.int16)
    expected = nib.as_closest_canonical(nib.Nifti1Image(voxels, affine))
    ours = to_ras(Volume(voxels, affine))
    assert np.array_equal(ours.voxels, np.asarray(expected.dataobj))
    assert np.allclose(ours.affine, expected.affine, atol=1e-9)


def test_every_voxel_keeps_its_place_in_the_world() -> None:
    affine = np.array([[0, 0, -2.0, 40], [-1.5, 0, 0, 30], [0, 3.0, 0, -20], [0, 0, 0, 1]])
    voxels = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    ours = to_ras(Volume(voxels, affine))
    for index in np.ndindex(2, 3, 4):
        world = affine @ [*index, 1]
        there = np.rint(np.linalg.solve(ours.affine, world)).astype(int)[:3]
        assert ours.voxels[tuple(there)] == voxels[index]
    assert ras_axes(affine) == ((2, 0, 1), (-1, -1, 1))


def test_background_is_what_most_of_the_border_holds() -> None:
    voxels = np.full((10, 10, 10), -2000, np.int16)
    voxels[2:8, 2:8, 2:8] = 40
    voxels[5, 5, 5] = -3000
    assert background_of(voxels) == -2000


def test_background_is_the_minimum_where_the_border_is_noise() -> None:
    voxels = np.random.default_rng(0).normal(size=(12, 12, 12)).astype(np.float32)
    assert background_of(voxels) == voxels.min()


def test_nonfinite_voxels_are_counted_and_become_the_minimum() -> None:
    voxels = np.array([1, np.nan, -2, np.inf, 3, -np.inf, 0, 5], np.float32).reshape(2, 2, 2)
    filled, count = fill_nonfinite(Volume(voxels, np.eye(4)))
    assert count == 3
    assert filled.voxels.ravel().tolist() == [1, -2, -2, -2, 3, -2, 0, 5]


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


def test_occupancy_counts_cells_and_never_hides_a_lonely_voxel() -> None:
    voxels = np.zeros((17, 8, 8), np.uint8)
    voxels[:8] = 200
    voxels[9, 0, 0] = 200
    content = describe(Volume(voxels, np.eye(4)), 0, "MR")
    assert content.occupancy.shape == (3, 1, 1)
    assert content.occupancy.ravel().tolist() == [255, 1, 0]


def test_percentiles_see_every_plane_of_a_large_volume() -> None:
    voxels = np.zeros((512, 512, 40), np.float32)
    voxels[..., 11:20] = 1000
    content = describe(Volume(voxels, np.eye(4)), 0, "PET")
    assert content.foreground_fraction == pytest.approx(9 / 40)


def test_a_constant_volume_is_described_without_complaint() -> None:
    content = describe(Volume(np.full((4, 4, 4), 7, np.uint8), np.eye(4)), 7, "MR")
    assert content.statistics["std"] == 0
    assert content.foreground_fraction == 0

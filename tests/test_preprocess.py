"""Orientation and crop without loss, background, and what is not a number."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mixio.errors import InvalidArgument
from mixio.preprocess import background_of, crop, fill_nonfinite, ras_axes, to_ras
from mixio.volume import Shape, Volume


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


def test_a_volume_without_one_finite_voxel_is_told_by_its_count() -> None:
    filled, count = fill_nonfinite(Volume(np.full((2, 3, 4), np.nan, np.float32), np.eye(4)))
    assert count == filled.voxels.size
    assert not filled.voxels.any()


def test_what_is_not_a_number_becomes_what_the_border_holds_and_the_source_stays_as_it_was() -> None:
    voxels = np.full((9, 8, 7), 5, np.float32)
    voxels[3, 3, 3], voxels[4, 4, 4], voxels[0, 0, 0] = 1, np.nan, np.inf
    filled, count = fill_nonfinite(Volume(voxels, np.eye(4)))
    assert count == 2
    assert filled.voxels[4, 4, 4] == filled.voxels[0, 0, 0] == 5
    assert np.isnan(voxels[4, 4, 4])


def test_background_passes_over_what_is_not_finite() -> None:
    voxels = np.random.default_rng(0).normal(size=(12, 12, 12)).astype(np.float32)
    voxels[:, :, 0], voxels[5, 5, 5] = np.nan, -np.inf
    assert background_of(voxels) == np.sort(voxels[np.isfinite(voxels)])[0]


def test_orienting_and_cropping_copy_no_voxel() -> None:
    voxels = np.zeros((9, 8, 7), np.int16, order="F")
    turned = to_ras(Volume(voxels, np.diag([-1.0, -1, 1, 1])))
    assert np.shares_memory(turned.voxels, voxels)
    assert np.shares_memory(crop(turned, ((1, 2, 3), (4, 5, 6))).voxels, voxels)


def test_a_crop_leaves_every_voxel_at_its_place_in_the_world() -> None:
    affine = np.array([[0.9, -0.2, 0, 40], [0.2, 0.8, 0.3, 30], [0, -0.3, 3.0, -20], [0, 0, 0, 1]])
    voxels = np.random.default_rng(0).integers(0, 999, (9, 8, 7))
    part = crop(Volume(voxels, affine, 2.0, -5.0, "HU"), ((2, 1, 3), (9, 4, 5)))
    assert part.voxels.tolist() == voxels[2:9, 1:4, 3:5].tolist()
    assert np.allclose(part.affine @ [0, 0, 0, 1], affine @ [2, 1, 3, 1])
    assert (part.slope, part.inter, part.unit) == (2.0, -5.0, "HU")


@pytest.mark.parametrize("box", [((0, 0, 0), (3, 3, 0)), ((0, 0, 0), (4, 3, 3)), ((-1, 0, 0), (3, 3, 3))])
def test_a_box_that_is_empty_or_leaves_the_volume_is_refused(box: tuple[Shape, Shape]) -> None:
    with pytest.raises(InvalidArgument, match="a box must lie inside the volume"):
        crop(Volume(np.zeros((3, 3, 3)), np.eye(4)), box)

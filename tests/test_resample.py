"""Resampling: right in the world for any affine, and labels by place, never by index."""

import nibabel as nib
import nibabel.processing
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mixio import resample as module
from mixio.errors import InvalidArgument, SourceError
from mixio.preprocess import to_ras
from mixio.resample import resample, resample_label, resampled_shape
from mixio.volume import Shape, Volume


def oblique(seed: int, spacing: tuple[float, float, float] = (0.8, 1.1, 3.0)) -> NDArray[np.float64]:
    """A turned grid somewhere in the world."""
    rng = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_rotvec(rng.normal(size=3)).as_matrix() * spacing
    affine[:3, 3] = rng.normal(size=3) * 100
    return affine


def world(volume: Volume) -> NDArray[np.float64]:
    """Coordinates in mm of every voxel: (X, Y, Z, 3)."""
    index = np.moveaxis(np.indices(volume.shape), 0, -1)
    return np.asarray(index @ volume.affine[:3, :3].T + volume.affine[:3, 3])


def ramp(shape: Shape, affine: NDArray[np.float64], dtype: str = "float32") -> Volume:
    """A volume that is linear in world coordinates."""
    grid = Volume(np.empty(shape), affine)
    return Volume((world(grid) @ [0.5, -0.3, 0.2]).astype(dtype), affine)


@given(
    seed=st.integers(0, 10**6),
    shape=st.tuples(*[st.integers(16, 40)] * 3),
    spacing=st.tuples(*[st.floats(0.6, 2.0)] * 3),
)
def test_a_linear_ramp_in_the_world_stays_one(seed: int, shape: Shape, spacing: tuple[float, float, float]) -> None:
    volume = ramp(shape, oblique(seed, (0.9, 1.0, 1.2)))
    out = resample(volume, spacing)
    expected = world(out) @ [0.5, -0.3, 0.2]
    # Near the border smoothing and interpolation see the repeated last voxel.
    index = np.moveaxis(np.indices(out.shape), 0, -1) * spacing
    margin = 5.0
    far = np.array(out.shape) * spacing - margin
    inside = np.all((index > margin) & (index < far - spacing), axis=-1)
    assert inside.any()
    assert np.allclose(out.voxels[inside], expected[inside], atol=2e-4)
    assert out.spacing == pytest.approx(spacing, abs=1e-9)


@given(seed=st.integers(0, 10**6), spacing=st.tuples(*[st.floats(0.3, 6.0)] * 3))
def test_the_box_keeps_its_center_and_directions_and_its_size_to_half_a_voxel(
    seed: int, spacing: tuple[float, float, float]
) -> None:
    volume = Volume(np.zeros((30, 20, 11), np.uint8), oblique(seed))
    out = resample(volume, spacing)
    centers = [v.affine @ [*((np.array(v.shape) - 1) / 2), 1] for v in (volume, out)]
    assert np.allclose(centers[0], centers[1], atol=1e-9)
    assert np.allclose(out.affine[:3, :3] / spacing, volume.affine[:3, :3] / volume.spacing, atol=1e-12)
    grown = np.array(out.shape) * spacing - np.array(volume.shape) * volume.spacing
    assert all(abs(g) <= s / 2 + 1e-9 or n == 1 for g, s, n in zip(grown, spacing, out.shape, strict=True))


def test_a_landmark_stays_at_its_place_in_the_world() -> None:
    affine = oblique(3, (0.7, 0.7, 2.0))
    grid = Volume(np.empty((60, 60, 30)), affine)
    place = affine[:3] @ [25.3, 33.7, 14.2, 1]
    blob = 1000 * np.exp(-((world(grid) - place) ** 2).sum(-1) / (2 * 4.0**2))
    for spacing in ((1.5, 1.5, 1.5), (1.0, 3.0, 2.0), (0.5, 0.9, 1.1)):
        out = resample(Volume(blob.astype(np.float32), affine), spacing)
        weights = out.voxels.astype(np.float64)[..., None]
        centroid = (world(out) * weights).sum((0, 1, 2)) / weights.sum()
        assert np.allclose(centroid, place, atol=0.02)


def test_an_axis_that_shrinks_is_smoothed_and_another_is_not() -> None:
    noise = np.random.default_rng(0).normal(size=(64, 64, 64)).astype(np.float32)
    out = resample(Volume(noise, np.eye(4)), (4.0, 1.0, 1.0)).voxels
    # A Gaussian of deviation s leaves 1 / (2 s sqrt(pi)) of the variance of white noise.
    sigma = np.sqrt(15) / np.sqrt(8 * np.log(2))
    assert out.var() == pytest.approx(1 / (2 * sigma * np.sqrt(np.pi)), rel=0.04)
    assert np.corrcoef(out[:, :-1].ravel(), out[:, 1:].ravel())[0, 1] == pytest.approx(0, abs=0.02)


def test_linear_interpolation_is_that_of_nibabel() -> None:
    voxels = np.random.default_rng(0).normal(size=(12, 10, 9)).astype(np.float32)
    volume = Volume(voxels, oblique(1, (2.0, 2.0, 2.0)))
    out = resample(volume, (1.3, 0.9, 1.7))
    image = nib.Nifti1Image(voxels, volume.affine)
    expected = nib.processing.resample_from_to(image, (out.shape, out.affine), order=1, mode="nearest")
    assert np.allclose(out.voxels, expected.get_fdata(), atol=1e-5)


def test_slabs_give_what_one_piece_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    volume = Volume(np.random.default_rng(0).normal(size=(50, 20, 15)).astype(np.float32), np.eye(4))
    whole = resample(volume, (1.7, 0.8, 2.5)).voxels
    monkeypatch.setattr(module, "_SLAB_BYTES", 3000)
    assert np.allclose(resample(volume, (1.7, 0.8, 2.5)).voxels, whole, atol=1e-6)


def test_integers_are_rounded_and_keep_their_scale() -> None:
    voxels = np.array([0, 10, 20, 30], np.int16).reshape(4, 1, 1)
    out = resample(Volume(voxels, np.eye(4), 2.0, -1024.0, "HU"), (0.75, 1.0, 1.0))
    # Five voxels 0.75 apart about 1.5: at 0, 0.75, 1.5, 2.25 and 3.
    assert out.voxels.ravel().tolist() == [0, 8, 15, 22, 30]
    assert (out.voxels.dtype, out.slope, out.inter, out.unit) == (np.int16, 2.0, -1024.0, "HU")


@pytest.mark.parametrize("dtype", ["uint8", "int64", "uint64", "int32"])
def test_extremes_of_an_integer_type_do_not_wrap(dtype: str) -> None:
    info = np.iinfo(dtype)
    voxels = np.repeat(np.array([info.min, info.max], dtype), 4).reshape(8, 1, 1)
    out = resample(Volume(voxels, np.eye(4)), (0.5, 1.0, 1.0)).voxels.ravel()
    assert np.all(np.diff(out.astype(np.float64)) >= 0)
    assert out[0] == info.min
    assert float(out[-1]) == pytest.approx(float(info.max))


def test_a_volume_that_has_the_spacing_is_left_alone() -> None:
    volume = Volume(np.zeros((5, 6, 7)), np.diag([1.4999999, 1.5, 2, 1]))
    assert resample(volume, (1.5, 1.5, 2.0)) is volume


@pytest.mark.parametrize("spacing", [(1.0, 0.0, 1.0), (1.0, -2.0, 1.0), (1.0, float("nan"), 1.0), (1.0, 1.0)])
def test_a_spacing_that_is_none_is_refused(spacing: tuple[float, float, float]) -> None:
    with pytest.raises(InvalidArgument, match="spacing must be three positive numbers in mm"):
        resampled_shape(Volume(np.zeros((2, 2, 2)), np.eye(4)), spacing)


def test_one_voxel_is_left_of_an_axis_shorter_than_the_spacing() -> None:
    assert resample(Volume(np.ones((20, 3, 20)), np.eye(4)), (1.0, 10.0, 1.0)).shape == (20, 1, 20)


def test_a_label_of_another_axis_order_and_the_same_shape_is_brought_by_place_not_by_index() -> None:
    voxels = np.random.default_rng(0).integers(0, 9, (12, 12, 12)).astype(np.uint8)
    affine = np.array([[0, 0, 2.0, -7], [0, -2.0, 0, 30], [-2.0, 0, 0, 5], [0, 0, 0, 1]])
    label = Volume(voxels, affine)
    image = to_ras(label)
    assert label.shape == image.shape
    assert not np.array_equal(label.voxels, image.voxels)
    assert np.array_equal(resample_label(label, image), image.voxels)


@given(seed=st.integers(0, 10**6))
def test_each_voxel_has_the_label_nearest_in_the_world(seed: int) -> None:
    rng = np.random.default_rng(seed)
    label = Volume(rng.integers(0, 5, (9, 8, 7)).astype(np.int32), oblique(seed, (2.0, 2.5, 3.0)))
    image = Volume(np.empty((6, 7, 5)), oblique(seed + 1, (3.0, 2.0, 2.0)))
    image.affine[:3, 3] = label.affine[:3] @ [2, 3, 1, 1]
    out = resample_label(label, image)
    places = world(label).reshape(-1, 3)
    for index in rng.integers(0, image.shape, (20, 3)):
        there = image.affine[:3] @ [*index, 1]
        nearest = np.linalg.solve(label.affine, [*there, 1])[:3]
        inside = np.all((nearest > -0.5) & (nearest < np.array(label.shape) - 0.5))
        expected = label.voxels.ravel()[np.abs((places - there) @ _axes(label)).max(1).argmin()] if inside else 0
        assert out[tuple(index)] == expected


def _axes(volume: Volume) -> NDArray[np.float64]:
    """Takes a distance in mm to one in voxels, by the rotation of the grid."""
    return np.asarray(np.linalg.inv(volume.affine[:3, :3]).T)


def test_a_label_on_the_same_grid_is_not_touched() -> None:
    label = Volume(np.zeros((4, 5, 6), np.uint8), oblique(0))
    moved = label.affine.copy()
    moved[0, 3] += 5e-4
    assert resample_label(label, Volume(np.empty((4, 5, 6)), moved)) is label.voxels


def test_labels_of_64_bits_keep_every_digit() -> None:
    label = Volume(np.full((3, 3, 3), 2**53 + 1), np.eye(4))
    assert (
        resample_label(label, Volume(np.empty((6, 6, 6)), np.diag([0.5, 0.5, 0.5, 1])))[:5, :5, :5] == 2**53 + 1
    ).all()


def test_outside_the_label_there_is_nothing() -> None:
    label = Volume(np.ones((2, 2, 2), np.uint8), np.eye(4))
    out = resample_label(label, Volume(np.empty((4, 4, 4)), np.eye(4)))
    assert out.sum() == 8
    assert out[:2, :2, :2].all()


def test_a_label_that_misses_the_image_is_refused() -> None:
    far = np.eye(4)
    far[0, 3] = 500
    with pytest.raises(SourceError, match="lies wholly outside its image"):
        resample_label(Volume(np.ones((5, 5, 5), np.uint8), far), Volume(np.empty((5, 5, 5)), np.eye(4)))

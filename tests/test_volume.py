"""Volumes: rescale, spacing, conversion to arrays."""

import numpy as np

from mixio.volume import Volume, rescale


def test_an_unscaled_volume_keeps_its_integers() -> None:
    volume = Volume(np.arange(8, dtype=np.int16).reshape(2, 2, 2), np.eye(4))
    assert volume.real().voxels.dtype == np.int16


def test_a_scaled_volume_becomes_real_values_rounded_once() -> None:
    stored = np.array([[[-32768, 0, 32767]]], dtype=np.int16)
    volume = Volume(stored, np.eye(4), slope=4.178841590881348, inter=136932.28125)
    exact = [4.178841590881348 * s + 136932.28125 for s in (-32768, 0, 32767)]
    assert np.asarray(volume).dtype == np.float32
    assert np.asarray(volume).ravel().tolist() == np.array(exact, dtype=np.float32).tolist()


def test_large_integers_do_not_lose_digits_before_they_are_scaled() -> None:
    assert rescale(np.array([2**30 + 1], dtype=np.int64), 1.0, -(2.0**30)).tolist() == [1.0]


def test_spacing_is_the_length_of_a_step_along_each_axis() -> None:
    affine = np.array([[0, 3.0, 0, 5], [4.0, 0, 0, 6], [3.0, 0, -2.0, 7], [0, 0, 0, 1]])
    assert Volume(np.zeros((2, 2, 2)), affine).spacing == (5.0, 3.0, 2.0)


def test_the_representation_names_shape_spacing_scale_and_unit() -> None:
    volume = Volume(np.zeros((2, 3, 4), np.int16), np.eye(4), 2.0, -1.0, "HU")
    assert repr(volume) == "Volume(int16[2, 3, 4], 1 x 1 x 1 mm, 2 * stored + -1, HU)"

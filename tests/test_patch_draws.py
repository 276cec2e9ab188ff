from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.examples import Example
from tools.patch_draws import Augmentation, PatchDraws, cut, inside, windows

SHAPES = st.tuples(*[st.integers(1, 40)] * 3)
PLAIN = Augmentation(foreground=0.0, flip="", intensity=0.0)


def example(name="one", shape=(12, 10, 9), label=None):
    image = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / np.float32(np.prod(shape))
    return Example(name, name, image, 0.25, (1.0, 1.0, 1.0), label, 0)


def marked(*places):
    label = np.zeros((12, 10, 9), np.uint8)
    for value, place in enumerate(places, start=1):
        label[place] = value
    return example(label=label)


def draws(*examples, augmentation=PLAIN, size=(4, 4, 4), seed=0):
    return PatchDraws(examples, size=size, seed=seed, augmentation=augmentation)


@given(SHAPES, st.tuples(*[st.integers(1, 20)] * 3))
def test_windows_cover_a_volume_with_as_few_as_do(shape, size):
    covered = np.zeros(shape, bool)
    corners = list(windows(shape, size))
    for corner in corners:
        assert corner == inside(corner, shape, size)
        covered[tuple(slice(max(c, 0), c + p) for c, p in zip(corner, size, strict=True))] = True
    assert covered.all()
    assert len(corners) == np.prod([-(-n // p) for n, p in zip(shape, size, strict=True)])


def test_a_patch_beyond_the_volume_is_filled():
    patch = cut(np.ones((2, 6, 6)), (-1, 0, 4), (4, 4, 4), fill=7)
    assert patch[0].tolist() == patch[3].tolist() == np.full((4, 4), 7).tolist()
    assert patch[1, 0].tolist() == [1, 1, 7, 7]


def test_a_draw_is_a_function_of_the_seed_and_its_number():
    augmentation = Augmentation()
    first, again = (draws(marked((3, 3, 3)), augmentation=augmentation) for _ in range(2))
    other = draws(marked((3, 3, 3)), augmentation=augmentation, seed=1)
    assert all(np.array_equal(first[g].image, again[g].image) for g in (9, 2, 5))
    assert not all(np.array_equal(first[g].image, other[g].image) for g in range(5))


def test_every_pass_goes_once_through_all_cases_in_an_order_of_its_own():
    found = draws(*(example(str(number)) for number in range(7)))
    passes = [tuple(found.case_of(7 * turn + place) for place in range(7)) for turn in range(5)]
    assert all(sorted(one) == list(range(7)) for one in passes)
    assert len(set(passes)) > 1


def test_the_asked_share_of_patches_holds_foreground_of_each_class():
    found = draws(marked((0, 0, 0), (11, 9, 8)), augmentation=Augmentation(0.5, "", 0.0))
    seen = Counter(int(found[g].label.max()) for g in range(400))
    assert seen[1] == pytest.approx(100, abs=35)  # either corner in a quarter of the draws, hardly ever by chance
    assert seen[2] == pytest.approx(100, abs=35)
    assert draws(marked((6, 5, 4)), augmentation=Augmentation(1.0, "", 0.0))[3].label.max() == 1


def test_images_and_label_maps_are_flipped_together_along_the_named_axes_alone():
    label = (np.arange(12 * 10 * 9).reshape(12, 10, 9) % 251).astype(np.uint8)
    whole = Example("one", "one", label.astype(np.float32), 0.0, (1.0, 1.0, 1.0), label)
    found = [draws(whole, size=(12, 10, 9), augmentation=Augmentation(0.0, "xz", 0.0))[g] for g in range(24)]
    assert all(np.array_equal(patch.image, patch.label) for patch in found)
    seen = {patch.label.tobytes() for patch in found}
    assert seen == {np.flip(label, axes).tobytes() for axes in ((), (0,), (2,), (0, 2))}


def test_intensities_are_scaled_and_shifted_within_bounds():
    flat = Example("one", "one", np.full((4, 4, 4), 0.5, np.float32), 0.5, (1.0, 1.0, 1.0), None, 0)
    values = [draws(flat, augmentation=Augmentation(0.0, "", 0.2))[g].image.max() for g in range(100)]
    assert 0.5 - 0.3 <= min(values) < 0.3 < 0.7 < max(values) <= 0.5 + 0.3
    assert draws(flat)[0].image.dtype == np.float32
    assert draws(flat)[0].image.max() == np.float32(0.5)


def test_a_volume_smaller_than_the_patch_is_centered_in_its_background():
    patch = draws(example(shape=(2, 4, 4)))[0]
    assert patch.image.shape == (1, 4, 4, 4)
    assert (patch.image[0, [0, 3]] == 0.25).all()
    np.testing.assert_array_equal(patch.image[0, 1:3], example(shape=(2, 4, 4)).image)

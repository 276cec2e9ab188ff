"""Planes through stored volumes: the right place, the right way round."""

from pathlib import Path

import numpy as np
import pytest

from mixio.inspection.slices import Slice, slices_of
from mixio.store import Store
from tests.marked import NAME, marked_store


@pytest.fixture(scope="module")
def planes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Slice]:
    store = marked_store(tmp_path_factory.mktemp("marked"))
    return {one.plane: one for one in slices_of(store, NAME, planes=("axial", "coronal", "sagittal"))}


def rows_and_columns(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(mask)
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


def test_right_is_on_the_left_and_anterior_on_top_of_an_axial_plane(planes: dict[str, Slice]) -> None:
    axial = planes["axial"]
    assert axial.image.shape == (20, 24)
    assert rows_and_columns(axial.image == 1000) == (20 - 16, 20 - 12, 24 - 20, 24 - 16)
    assert axial.sides == ("R", "L")


def test_right_is_on_the_left_and_superior_on_top_of_a_coronal_plane(planes: dict[str, Slice]) -> None:
    coronal = planes["coronal"]
    assert coronal.image.shape == (16, 24)
    assert rows_and_columns(coronal.image == 1000) == (16 - 14, 16 - 10, 24 - 20, 24 - 16)


def test_anterior_is_on_the_left_and_superior_on_top_of_a_sagittal_plane(planes: dict[str, Slice]) -> None:
    sagittal = planes["sagittal"]
    assert sagittal.image.shape == (16, 20)
    assert rows_and_columns(sagittal.image == 1000) == (16 - 14, 16 - 10, 20 - 16, 20 - 12)
    assert sagittal.sides == ("A", "P")


def test_labels_lie_on_what_they_label(planes: dict[str, Slice]) -> None:
    for one in planes.values():
        assert np.array_equal(one.labels["label"] == 3, one.image == 1000)
        assert one.values == {("label", 3)}


def test_the_box_is_that_of_the_foreground(planes: dict[str, Slice]) -> None:
    for one in planes.values():
        top, bottom, left, right = rows_and_columns(one.image > 0)
        assert one.box == (left, top, right, bottom)
        assert np.array_equal(one.empty, one.image == 0)


def test_sizes_are_in_millimeters(planes: dict[str, Slice]) -> None:
    assert [planes[name].size_mm for name in ("axial", "coronal", "sagittal")] == [(48, 40), (48, 64), (40, 64)]


def test_a_labelled_middle_is_kept_and_an_unlabelled_volume_is_cut_in_its_middle(small_store: Store) -> None:
    ct, pet = slices_of(small_store, "abdomen-ct/0"), slices_of(small_store, "pet/0")
    for one, name in ((ct[0], "abdomen-ct/0"), (pet[0], "pet/0")):
        low, high = small_store.row(name).foreground_box
        assert one.index == (low[2] + high[2]) // 2


def test_a_label_in_the_middle_is_enough(small_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    corners, read = [], small_store.read_patch
    monkeypatch.setattr(small_store, "read_patch", lambda n, **at: corners.append(at["corner"]) or read(n, **at))
    slices_of(small_store, "abdomen-ct/0")
    assert corners == [(0, 0, 15)] * 3  # the label map to see where to look, then the image and the label map


def test_only_a_few_planes_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, sizes = marked_store(tmp_path), []
    read = store.read_patch
    monkeypatch.setattr(store, "read_patch", lambda name, **at: sizes.append(at["size"]) or read(name, **at))
    slices_of(store, NAME)
    assert len(sizes) <= 9 + 2  # nine places at most where labels are looked for, then the image and its label map
    assert set(sizes) == {(24, 20, 1)}


def test_a_soft_label_is_outlined_from_half_of_its_largest_value_on(tmp_path: Path) -> None:
    store = marked_store(tmp_path)
    hard = slices_of(store, NAME)[0].labels["label"]
    read = store.read_patch
    store.read_patch = lambda name, **at: read(name, **at) * (0.1 if "label" in at else 1)  # type: ignore[method-assign]
    assert np.array_equal(slices_of(store, NAME)[0].labels["label"], hard // 3)

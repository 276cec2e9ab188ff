"""The volumes of a domain that a page shows."""

from pathlib import Path

import numpy as np
import pytest

from mixio.inspection.gallery import BINS, THREE_PLANES, gallery
from mixio.store import Store
from tests.marked import NAME, marked_store


def test_the_first_volumes_are_shown_from_three_sides(small_store: Store) -> None:
    shown = gallery(small_store, small_store.names("abdomen-ct")).shown
    assert [len(one.pictures) for one in shown] == [3] * THREE_PLANES + [1] * (6 - THREE_PLANES)


def test_the_pictures_of_a_volume_have_one_scale(tmp_path: Path) -> None:
    shown = gallery(marked_store(tmp_path), [NAME]).shown[0]
    assert [(one.width, one.height) for one in shown.pictures] == [(180, 150), (180, 240), (150, 240)]  # 3.75 px/mm


def test_intensities_are_shares_of_the_voxels_in_the_window(tmp_path: Path) -> None:
    store = marked_store(tmp_path)
    found = gallery(store, [NAME])
    low, high = found.shown[0].window
    assert (low, high) == (500, 1000)
    assert sum(found.intensities) == pytest.approx(1)
    assert found.intensities[BINS] == pytest.approx(16 / (18 * 10))  # the marked block of the axial plane
    assert np.count_nonzero(found.intensities) == 2


def test_a_volume_that_cannot_be_read_is_kept_with_the_reason(small_store: Store, tmp_path: Path) -> None:
    store = marked_store(tmp_path)
    (tmp_path / "store/spine/marked/0/c/0/0/0").unlink()
    shown = gallery(store, [NAME]).shown[0]
    assert shown.pictures == ()
    assert shown.fault is not None
    assert shown.fault.startswith("spine/marked/0/c/0/0/0: the shard is missing")

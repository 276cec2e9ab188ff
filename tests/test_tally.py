"""Counts of a domain, against what the files and closed forms say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixio.inspection.tally import Tally, obliqueness, spread
from mixio.store import Store


def tally_of(store: Store, domain: str, **changes: object) -> Tally:
    tally = Tally(domain)
    for name in store.names(domain):
        tally.add(replace(store.row(name), **changes))
    return tally


def test_bytes_are_those_of_the_files_and_of_plain_arrays(small_store: Store) -> None:
    ct = tally_of(small_store, "abdomen-ct").domain()
    files = [path for path in (Path(small_store.path) / "abdomen-ct").rglob("c/**/*") if path.is_file()]
    assert ct.stored_bytes == sum(path.stat().st_size for path in files)
    assert ct.raw_bytes == 6 * 40 * 36 * 30 * (2 + 1)  # int16 images, uint8 label maps
    assert ct.compression_ratio == pytest.approx(ct.raw_bytes / ct.stored_bytes)


def test_volumes_are_counted_by_split_label_and_unit(small_store: Store) -> None:
    ct = tally_of(small_store, "abdomen-ct").domain()
    assert (ct.volumes, ct.subjects, ct.labelled, ct.label_maps) == (6, 6, 6, {"label": 6})
    assert ct.splits["train"] + ct.splits["val"] == 6
    assert (ct.splits["val"] > 0, ct.splits["test"]) == (True, 0)
    assert [(one.unit, one.volumes, one.low) for one in ct.intensity] == [("HU", 6, -1000.0)]
    assert (ct.spacing_mm.median, ct.shape.low) == ((2, 2, 3), (40, 36, 30))


def test_a_shared_window_and_the_marks_in_it(small_store: Store) -> None:
    ct = tally_of(small_store, "abdomen-ct").domain()
    rows = [small_store.row(name) for name in small_store.names("abdomen-ct")]
    middle = np.median([row.statistics["percentiles"]["50"] for row in rows])
    assert ct.window == (-1000.0, 1000.0)
    assert ct.marks[1] == pytest.approx((middle + 1000) / 2000)


def test_volumes_with_a_window_each_share_none(small_store: Store) -> None:
    tally = tally_of(small_store, "abdomen-ct")
    tally.add(small_store.row("brain-t1/0"))
    assert tally.domain().window is None


def test_volumes_to_look_at_are_counted_and_named(small_store: Store) -> None:
    turned = ((2.0, 0, 0, 0), (0, 2, -0.3, 0), (0, 0, 3, 0), (0, 0, 0, 1.0))
    ct = tally_of(small_store, "abdomen-ct", affine=turned, nonfinite=7, unit=None).domain()
    assert (ct.oblique.count, ct.oblique.worst) == (6, pytest.approx(np.degrees(np.arctan(0.1))))
    assert (ct.nonfinite.count, ct.nonfinite.total) == (6, 42)
    assert (ct.unitless.names, ct.flat.count) == (tuple(small_store.names("abdomen-ct")), 0)


def test_a_volume_of_one_value_is_blank(small_store: Store) -> None:
    same = {"min": 1.0, "max": 1.0, "percentiles": dict.fromkeys(("0.5", "5", "50", "95", "99.5"), 1.0)}
    mr = tally_of(small_store, "brain-t1", statistics=same).domain()
    assert mr.flat.count == 4


@given(st.floats(0, 40), st.integers(0, 2))
def test_obliqueness_is_the_angle_of_a_rotation(angle: float, axis: int) -> None:
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turn = np.roll([[1, 0, 0], [0, c, -s], [0, s, c]], axis, (0, 1))
    affine = np.block([[turn * [0.7, 2, 5], np.full((3, 1), 9.0)], [np.eye(4)[3]]])
    assert obliqueness(tuple(map(tuple, affine.tolist()))) == pytest.approx(angle, abs=1e-9)


@given(st.lists(st.tuples(*[st.floats(0.01, 1000)] * 3), min_size=1, max_size=40))
def test_every_value_is_in_a_bin_and_the_extremes_are_the_edges(values: list[tuple[float, float, float]]) -> None:
    array = np.array(values)
    result = spread(array)
    assert [sum(counts) for counts in result.counts] == [len(values)] * 3
    assert min(result.low) == array.min()
    assert max(result.high) == array.max()


def test_spacings_that_differ_by_rounding_are_one_bin() -> None:
    result = spread(np.array([[1.0, 1.0000001, 0.9999999]]))
    assert result.counts == ((1,), (1,), (1,))

"""Rows survive JSON and Parquet, to the last digit and the last missing field."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixio.manifest import Manifest, write_manifest
from mixio.row import Blob, Row, occupancy_grid, row_from_dict, row_to_dict
from mixio.store import Store
from mixio.stores.storage import storage_of

EXTREMES = [
    ("int64", -(2**63)),
    ("int64", 2**63 - 1),
    ("int64", 2**53 + 1),
    ("uint64", 2**64 - 1),
    ("uint64", 0),
    ("int8", -128),
    ("float32", -0.0),
    ("float32", float(np.float32(0.1))),
    ("float64", 5e-324),
    ("float64", -1.7976931348623157e308),
]


@pytest.fixture(scope="module")
def row(small_store: Store) -> Row:
    return small_store.row("abdomen-ct/0")


def through_json(row: Row) -> Row:
    return row_from_dict(json.loads(json.dumps(row_to_dict(row))))


def through_parquet(row: Row, folder: Path) -> Row:
    write_manifest(storage_of(folder), [row])
    return Manifest(storage_of(folder)).row(row.name)


@pytest.mark.parametrize(("dtype", "background"), EXTREMES)
def test_a_background_keeps_every_digit_and_its_type(row: Row, tmp_path: Path, dtype: str, background: Any) -> None:
    wanted = replace(row, dtype=dtype, background=background)
    for back in (through_json(wanted), through_parquet(wanted, tmp_path)):
        assert back == wanted
        assert repr(back.background) == repr(background)


def test_missing_fields_stay_missing_and_empty_ones_empty(row: Row, tmp_path: Path) -> None:
    for nothing in (None, ""):
        wanted = replace(row, modality=nothing, target=nothing, unit=nothing, notes={})
        assert through_json(wanted) == through_parquet(wanted, tmp_path) == wanted
    bare = replace(row, labels={}, blobs=(*row.blobs[:1], row.blobs[-1]))
    assert through_json(bare) == through_parquet(bare, tmp_path) == bare


def test_notes_and_text_of_any_script_come_back(row: Row, tmp_path: Path) -> None:
    wanted = replace(
        row, notes={"affine": "assumed", "frames": "3 of 4", "é": "“日本” \n\t\\"}, target="ναι", part="t0003"
    )
    assert through_json(wanted) == through_parquet(wanted, tmp_path) == wanted


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(
    slope=finite,
    inter=finite,
    affine=st.lists(st.tuples(finite, finite, finite, finite), min_size=4, max_size=4).map(tuple),
    spacing=st.tuples(finite, finite, finite),
    nonfinite=st.integers(0, 2**62),
    offset=st.integers(0, 2**60),
    crc=st.integers(0, 2**32 - 1),
    notes=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.text("aé\n"), max_size=3),
)
def test_every_number_comes_back_exactly(row: Row, **values: Any) -> None:
    offset, crc = values.pop("offset"), values.pop("crc")
    blobs = tuple(replace(blob, offset=offset, crc32c=crc) for blob in row.blobs)
    wanted = replace(row, **values, blobs=blobs)
    assert through_json(wanted) == wanted
    assert repr(through_json(wanted)) == repr(wanted)


def test_integers_that_json_made_floats_and_lists_are_what_they_were(row: Row) -> None:
    values = {**row_to_dict(row), "background": float(row.background)}
    assert isinstance(row_from_dict(values).background, int)
    assert isinstance(row_from_dict(values).blobs[0], Blob)
    assert all(isinstance(getattr(row_from_dict(values), name), tuple) for name in ("shape", "spacing", "affine"))


@pytest.mark.parametrize("name", [field.name for field in fields(Row)])
def test_a_missing_column_is_an_error(row: Row, name: str) -> None:
    values = row_to_dict(row)
    del values[name]
    with pytest.raises(KeyError, match=name):
        row_from_dict(values)


def test_blobs_are_those_of_image_labels_by_name_and_occupancy(row: Row) -> None:
    blobs = [Blob(word, 0, 1, 0) for word in ("image", "liver", "spleen", "occupancy")]
    two = replace(row, labels={"spleen": "uint8", "liver": "int16"}, blobs=tuple(blobs))
    assert [two.blobs_of(label)[0].path for label in (None, "liver", "spleen")] == ["image", "liver", "spleen"]
    assert two.occupancy_blob.path == "occupancy"
    assert (two.label_grid("liver").dtype, two.label_grid("spleen").dtype) == ("int16", "uint8")
    assert two.name == "abdomen-ct/0"


def test_occupancy_has_a_cell_for_every_8_voxels_begun() -> None:
    assert occupancy_grid((1, 8, 17)).shape == (1, 1, 3)

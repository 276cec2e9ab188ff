"""Rows that no conversion writes are refused, whatever their checksum says."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mixio.errors import DamagedStoreError
from mixio.manifest import write_manifest
from mixio.row import Blob, Row
from mixio.store import Store, open_store
from mixio.stores.plausible import refuse_implausible
from mixio.stores.storage import storage_of
from mixio.stores.zarr import root_bytes

BIG = 10**6


@pytest.fixture
def row(small_store: Store) -> Row:
    return small_store.row("abdomen-ct/0")


def first_blob(row: Row, **values: Any) -> Row:
    return replace(row, blobs=(replace(row.blobs[0], **values), *row.blobs[1:]))


@pytest.mark.parametrize(
    "path", ["../other/0", "/etc/passwd", "abdomen-ct/1/0/c/0/0/0", "abdomen-ct/0/../../x", "", "abdomen-ct/0\0"]
)
def test_a_shard_anywhere_but_in_its_own_place_is_refused(row: Row, path: str) -> None:
    with pytest.raises(DamagedStoreError, match=r"what it says of abdomen-ct/0 cannot be \(.* in the place of"):
        refuse_implausible(first_blob(row, path=path), "here")


@pytest.mark.parametrize(
    "values", [{"offset": -1}, {"offset": 5}, {"nbytes": 0}, {"nbytes": -1}, {"nbytes": 2**63 - 1}]
)
def test_a_shard_of_absurd_bounds_is_refused(row: Row, values: dict[str, int]) -> None:
    with pytest.raises(DamagedStoreError, match=r"bytes at -?\d+"):
        refuse_implausible(first_blob(row, **values), "here")


@pytest.mark.parametrize(
    "values",
    [
        {"path": "../x"},
        {"path": "pet/000000.tar"},
        {"key": "..", "path": "abdomen-ct/.."},
        {"key": "a/b", "path": "abdomen-ct/a/b"},
        {"domain": "", "path": "/0"},
        {"labels": {"../x": "uint8"}},
        {"key": None},
        {"shape": (BIG, BIG, BIG)},
        {"shape": (40, 36, 0)},
        {"shape": (40, 36)},
        {"shape": (400, 360, 300)},
        {"chunk": (2**20, 2**20, 2**20), "shard": (2**20, 2**20, 2**20)},
        {"chunk": (7, 7, 7)},
        {"shard": (16, 16, 16)},
        {"dtype": "object"},
        {"dtype": "complex64"},
        {"dtype": "int99"},
        {"labels": {"label": "U8"}},
        {"background": 40_000},
        {"background": float("nan"), "dtype": "float32"},
        {"codec": "zip"},
        {"slope": float("nan")},
        {"inter": float("inf")},
        {"affine": ((1.0, 0.0, 0.0, 0.0),) * 3},
        {"affine": ((float("nan"),) * 4,) * 4},
        {"labels": {}},
        {"blobs": ()},
    ],
)
def test_what_no_conversion_writes_is_refused(row: Row, values: dict[str, Any]) -> None:
    with pytest.raises(
        DamagedStoreError, match=r"here: what it says of .* cannot be \(.*\); run `mixio convert` again"
    ):
        refuse_implausible(replace(row, **values), "here")


def test_every_row_of_a_store_is_plausible(small_store: Store) -> None:
    for name in small_store.names():
        refuse_implausible(small_store.row(name), "here")


def test_a_forged_row_is_refused_by_every_way_to_read_it(row: Row, small_store: Store, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"voxels of somebody else")
    store = tmp_path / "store"
    storage_of(store).write("zarr.json", root_bytes(small_store.attributes))
    blobs = (Blob(f"../{'secret'}", 0, 23, 0), *row.blobs[1:])
    write_manifest(storage_of(store), [replace(row, blobs=blobs)])
    opened = open_store(store)
    assert opened.names() == ["abdomen-ct/0"]
    for read in (opened.read, opened.occupancy, opened.row, lambda _: list(opened.manifest.rows())):
        with pytest.raises(DamagedStoreError, match=r"'\.\./secret' in the place of abdomen-ct/0/0/c/0/0/0"):
            read("abdomen-ct/0")

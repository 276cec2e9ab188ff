"""The Zarr container: a store is a Zarr v3 hierarchy, a volume in it an OME-Zarr 0.5 image.

    store/zarr.json                       root group, attributes.mixio says how the store was made
    store/<domain>/<key>/zarr.json        the image: axes x, y, z in mm, and its affine
    store/<domain>/<key>/0/c/0/0/0        the array's shards, as blob.py encodes them
    store/<domain>/<key>/labels/<name>/0  label maps on the same grid
    store/<domain>/<key>/occupancy/0      share of foreground in each cell of 8 x 8 x 8 voxels

Everything is plain JSON and bytes, so zarr-python, tensorstore and OME-Zarr viewers open it and mixio itself needs
none of them. All JSON of a volume follows from its manifest row, so that verifying can tell any changed byte.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.blob import crc32c, metadata
from mixio.errors import DamagedStoreError, StoreError
from mixio.row import Row
from mixio.stores.inside import refuse_outside
from mixio.stores.storage import Storage

SCHEMA_VERSION = 2
"""Of stores: their root, manifest and metadata."""

ROOT = "zarr.json"
OCCUPANCY = "occupancy"


def array_path(volume: str, label: str | None = None) -> str:
    """Where an array of the volume in folder `volume` lies: its image, or a label map."""
    return f"{volume}/0" if label is None else f"{volume}/labels/{label}/0"


def shard_path(array: str, shard: tuple[int, ...]) -> str:
    """Where one shard of an array lies."""
    return "/".join([array, "c", *map(str, shard)])


def json_bytes(value: dict[str, Any]) -> bytes:
    """JSON as every file of a store holds it: one way to write a value, so that any changed byte shows."""
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def group_bytes(attributes: dict[str, Any]) -> bytes:
    """The `zarr.json` of a group."""
    return json_bytes({"zarr_format": 3, "node_type": "group", "attributes": attributes})


def root_bytes(attributes: dict[str, Any]) -> bytes:
    """The `zarr.json` of a store: how it was made, with a checksum of that."""
    return group_bytes({"mixio": {**attributes, "crc32c": _checksum(attributes)}})


def read_attributes(storage: Storage, name: str = ROOT) -> dict[str, Any]:
    """What the root group, or the copy of it with this name, says of how the store was made.

    Raises `StoreError` if this is no store of ours, `DamagedStoreError` if it was one.
    """
    try:
        refuse_outside(storage, name)
        attributes = dict(json.loads(storage.read(name))["attributes"]["mixio"])
        told = attributes.pop("crc32c", None)
    except FileNotFoundError as error:
        if Path(storage.url).exists():
            raise StoreError(f"{storage.url}: not a mixio store, its {ROOT} does not say how it was made") from error
        raise StoreError(
            f"{storage.url}: no such store; make one with `mixio convert SOURCES {storage.url}`"
        ) from error
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DamagedStoreError(
            f"{storage.url}/{name}: does not say how a store was made; if this is one, delete that file and run "
            "`mixio convert` again"
        ) from error
    is_ours = attributes.get("schema_version") == SCHEMA_VERSION  # another one may have had no checksum
    if (is_ours or told is not None) and told != _checksum(attributes):
        raise DamagedStoreError(
            f"{storage.url}/{name}: does not match its checksum; delete it and run `mixio convert` again"
        )
    return attributes


def _checksum(attributes: dict[str, Any]) -> str:
    return crc32c(json_bytes(attributes)).hex()


def metadata_files(row: Row) -> dict[str, bytes]:
    """Every `zarr.json` of a volume, by its path in the store."""
    folder = row.path
    details = {"affine": row.matrix.tolist(), "slope": row.slope, "inter": row.inter, "unit": row.unit}
    ome: dict[str, Any] = {"version": "0.5", "multiscales": [_multiscale(row.key, row.matrix)]}
    files = {
        f"{folder}/zarr.json": group_bytes({"ome": ome, "mixio": details}),
        f"{array_path(folder)}/zarr.json": json_bytes(metadata(row.grid)),
        f"{folder}/{OCCUPANCY}/zarr.json": group_bytes({}),
        f"{folder}/{OCCUPANCY}/0/zarr.json": json_bytes(metadata(row.occupancy_grid)),
    }
    if row.labels:
        names = {"ome": {"version": "0.5", "labels": sorted(row.labels)}}
        files[f"{folder}/labels/zarr.json"] = group_bytes(names)
    for label in sorted(row.labels):
        image = {"source": {"image": "../../"}}
        ome = {"version": "0.5", "image-label": image, "multiscales": [_multiscale(label, row.matrix)]}
        files[f"{folder}/labels/{label}/zarr.json"] = group_bytes({"ome": ome})
        files[f"{array_path(folder, label)}/zarr.json"] = json_bytes(metadata(row.label_grid(label)))
    return files


def _multiscale(name: str, affine: NDArray[np.float64]) -> dict[str, Any]:
    scale = np.linalg.norm(affine[:3, :3], axis=0).tolist()
    transforms = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": affine[:3, 3].tolist()}]
    axes = [{"name": axis, "type": "space", "unit": "millimeter"} for axis in "xyz"]
    return {"name": name, "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": transforms}]}

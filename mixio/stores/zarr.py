"""The Zarr container: a store is a Zarr v3 hierarchy, a volume in it an OME-Zarr 0.5 image.

    store/zarr.json                       root group, attributes.mixio says how the store was made
    store/<domain>/<key>/zarr.json        the image: axes x, y, z in mm, and its affine
    store/<domain>/<key>/0/c/0/0/0        the array's shards, as blob.py encodes them
    store/<domain>/<key>/labels/<name>/0  label maps on the same grid
    store/<domain>/<key>/occupancy/0      share of foreground in each cell of 8 x 8 x 8 voxels

Everything is written as plain JSON and bytes, so zarr-python, tensorstore and OME-Zarr viewers open it and
mixio itself needs none of them to read or write.
"""

import json
import os
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.blob import Grid, crc32c, encode_shard, metadata
from mixio.errors import StoreError

FORMAT = {"zarr_format": 3, "node_type": "group"}
OCCUPANCY = "occupancy"


def shard_path(array: str, shard: tuple[int, ...]) -> str:
    """Where one shard of an array lies, relative to the store."""
    return "/".join([array, "c", *map(str, shard)])


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write JSON in one rename."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
    os.replace(temporary, path)


def write_group(folder: Path, attributes: dict[str, Any]) -> None:
    """Make `folder` a Zarr group."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "zarr.json", {**FORMAT, "attributes": attributes})


def read_attributes(root: Path) -> dict[str, Any]:
    """What the root group says of how the store was made; raises `StoreError` if this is no store of ours."""
    path = root / "zarr.json"
    if not root.exists():
        raise StoreError(f"{root}: no such store; make one with `mixio convert SOURCES {root}`")
    try:
        attributes = json.loads(path.read_text())["attributes"]["mixio"]
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise StoreError(f"{root}: not a mixio store, its zarr.json does not say how it was made") from error
    result: dict[str, Any] = attributes
    return result


def write_array(volume: Path, array: str, voxels: NDArray[Any], grid: Grid) -> Iterator[tuple[str, int, int]]:
    """Write an array below the folder of its volume; yields each shard's path there, length and crc32c."""
    folder = volume / array
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "zarr.json", metadata(grid))
    for position in product(*map(range, grid.shards)):
        slices = tuple(slice(p * s, (p + 1) * s) for p, s in zip(position, grid.shard, strict=True))
        data = encode_shard(voxels[slices], grid)
        path = shard_path(array, position)
        (volume / path).parent.mkdir(parents=True, exist_ok=True)
        (volume / path).write_bytes(data)
        yield path, len(data), int.from_bytes(crc32c(data), "little")


def image_attributes(name: str, affine: NDArray[np.float64], details: dict[str, Any]) -> dict[str, Any]:
    """OME-Zarr 0.5 attributes of an image, and ours (affine voxel -> mm, rescale, unit)."""
    return {
        "ome": {"version": "0.5", "multiscales": [_multiscale(name, affine)]},
        "mixio": {"affine": affine.tolist(), **details},
    }


def label_attributes(name: str, affine: NDArray[np.float64]) -> dict[str, Any]:
    """OME-Zarr 0.5 attributes of a label map."""
    source = {"source": {"image": "../../"}}
    return {"ome": {"version": "0.5", "image-label": source, "multiscales": [_multiscale(name, affine)]}}


def _multiscale(name: str, affine: NDArray[np.float64]) -> dict[str, Any]:
    scale = np.linalg.norm(affine[:3, :3], axis=0).tolist()
    transforms = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": affine[:3, 3].tolist()}]
    axes = [{"name": axis, "type": "space", "unit": "millimeter"} for axis in "xyz"]
    return {"name": name, "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": transforms}]}


def put_in_place(partial: Path, final: Path) -> None:
    """Move a finished volume to where readers look for it, replacing one that an interrupted run left."""
    if final.exists():
        shutil.rmtree(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    os.replace(partial, final)

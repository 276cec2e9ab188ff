"""`manifest.json`: how many rows a manifest has, and the length and checksum of its files."""

import json
from pathlib import Path
from typing import IO, Any

from mixio.blob import extend_crc32c
from mixio.errors import DamagedStoreError, StoreError
from mixio.stores.inside import refuse_outside
from mixio.stores.storage import Storage
from mixio.stores.zarr import SCHEMA_VERSION, json_bytes

NAME = "manifest.json"
MANIFEST = "manifest.parquet"
_PIECE = 2**22
_INDEX_TOLD = {"nbytes": int, "tables": int, "crc32c": str}


def measured(storage: Storage) -> tuple[bytes | None, int, int]:
    """Length and crc32c of the Parquet file; its bytes too where there is no file to read them from again."""
    try:
        refuse_outside(storage, MANIFEST)
        local = Path(storage.url) / MANIFEST
        if local.is_file():
            with local.open("rb") as file:
                return None, *length_and_crc(file)
        data = storage.read(MANIFEST)
    except FileNotFoundError as error:
        raise half_written(storage) from error
    return data, len(data), extend_crc32c(0, data)


def read_told(storage: Storage) -> dict[str, Any]:
    """What the file beside the manifest says of it."""
    where = f"{storage.url}/{NAME}"
    try:
        refuse_outside(storage, NAME)
        told = json.loads(storage.read(NAME))
        if told["schema_version"] != SCHEMA_VERSION or type(told["rows"]) is not int:
            raise ValueError(f"schema version {told['schema_version']}, {told['rows']} rows")
        index = told.get("index")
        if index is not None and {name: type(value) for name, value in index.items()} != _INDEX_TOLD:
            raise ValueError(f"{index} of the index")
    except FileNotFoundError as error:
        raise half_written(storage) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedStoreError(f"{where}: not readable ({error}); run `mixio convert` again") from error
    return dict(told)


def half_written(storage: Storage) -> StoreError:
    return StoreError(f"{storage.url}: the store is half-written, {MANIFEST} is missing; run `mixio convert` again")


def sidecar_bytes(rows: int, nbytes: int, crc: int, index: dict[str, Any] | None = None) -> bytes:
    """The file beside a manifest of so many rows and bytes with this crc32c; `index` is what is told of its index."""
    told = {"schema_version": SCHEMA_VERSION, "rows": rows, "nbytes": nbytes, "crc32c": f"{crc:08x}"}
    return json_bytes(told if index is None else {**told, "index": index})


def length_and_crc(file: IO[bytes]) -> tuple[int, int]:
    nbytes, crc = 0, 0
    while piece := file.read(_PIECE):
        nbytes, crc = nbytes + len(piece), extend_crc32c(crc, piece)
    return nbytes, crc

"""How volumes are converted: recorded in the store, and the same for all of it."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mixio.blob import CHUNK
from mixio.cast import DTYPES
from mixio.codec import DEFAULT, Codec
from mixio.errors import InvalidArgument, StoreError
from mixio.manifest import check_version
from mixio.readers import FRAMES
from mixio.stores.storage import Storage, storage_of
from mixio.stores.zarr import ROOT, SCHEMA_VERSION, read_attributes, root_bytes

CONTAINERS = ("zarr", "webdataset")
FOLDER = ".mixio"
"""What a conversion keeps for itself, in the store."""

COPY = f"{FOLDER}/{ROOT}"
"""A copy of the root, from which converting again restores it."""

_EMPTY_STORE = {FOLDER}


@dataclass(frozen=True)
class Settings:
    """How volumes are converted.

    `container` is `zarr` or `webdataset`, whose tars are closed at `shard_size` bytes. `spacing` in mm resamples
    (None: native); `dtype` casts (`native`, `int16`, `float16`, `float32`); `crop_foreground` keeps the box around
    the foreground only. `frames` says what becomes of a 4D source, `assume_affine` accepts one that does not say
    where left and right are, and up to a share of `max_nonfinite` of a volume's voxels may be NaN or infinite.

    `split_seed=None` decides from the sources (`splits.choose_seed`). With `keep_names=False` keys, subjects and
    source names are stored as salted hashes: with an empty salt, whoever knows a name can recognise it. The salt
    itself is not stored, only a slow hash of it, by which it is recognised when volumes are added.
    """

    container: str = "zarr"
    chunk: int = CHUNK
    codec: str = str(DEFAULT)
    spacing: tuple[float, float, float] | None = None
    dtype: str = "native"
    crop_foreground: bool = False
    frames: str | None = None
    assume_affine: bool = False
    max_nonfinite: float = 0.01
    shard_size: int = 2**30
    val_fraction: float = 0.1
    split_seed: int | None = None
    keep_names: bool = False
    salt: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "codec", str(Codec.parse(self.codec)))
        if self.chunk < 1:
            raise InvalidArgument(f"chunk must be at least 1 voxel, got {self.chunk}")
        self._check_choices()
        self._check_spacing()
        if self.shard_size < 1:
            raise InvalidArgument(f"shard_size must be at least 1 byte, got {self.shard_size}")
        if not 0 <= self.max_nonfinite < 1:
            raise InvalidArgument(f"max_nonfinite must be at least 0 and below 1, got {self.max_nonfinite}")
        if not 0 <= self.val_fraction < 1:
            raise InvalidArgument(f"val_fraction must be at least 0 and below 1, got {self.val_fraction}")
        if self.split_seed is not None and not 0 <= self.split_seed < 2**63:
            raise InvalidArgument(f"split_seed must be from 0 to 2^63 - 1, got {self.split_seed}")

    def _check_choices(self) -> None:
        for name, value, known in (
            ("container", self.container, CONTAINERS),
            ("dtype", self.dtype, DTYPES),
            ("frames", self.frames, (None, *FRAMES)),
        ):
            if value not in known:
                raise InvalidArgument(f"{name} must be one of {', '.join(k for k in known if k)}, got {value!r}")

    def _check_spacing(self) -> None:
        if self.spacing is None:
            return
        spacing = tuple(float(s) for s in self.spacing)
        if len(spacing) != 3 or not all(0 < s < float("inf") for s in spacing):
            raise InvalidArgument(f"spacing must be three positive numbers in mm, got {self.spacing}")
        object.__setattr__(self, "spacing", spacing)

    def recorded(self) -> dict[str, Any]:
        """What the store says of them: all but the salt."""
        values = asdict(self)
        return {**values, "spacing": list(self.spacing) if self.spacing else None, "salt": _salt_check(self.salt)}

    @property
    def identity(self) -> str:
        """Eight hex digits that name these settings."""
        return hashlib.sha256(json.dumps(self.recorded(), sort_keys=True).encode()).hexdigest()[:8]


def parse_spacing(text: str) -> tuple[float, float, float] | None:
    """`native` (None) or three numbers in mm, as in `1.5,1.5,2.0`."""
    if text == "native":
        return None
    try:
        x, y, z = (float(word) for word in re.split("[,x]", text))
    except ValueError:
        raise InvalidArgument(
            f"spacing must be native or three numbers in mm as in 1.5,1.5,2.0, got {text!r}"
        ) from None
    return x, y, z


def settings_of(store: str | Path, *, salt: str = "") -> Settings | None:
    """The settings that a store was made with; None if there is no store yet.

    Raises `StoreError` if its names were hashed with another salt, and if something else than a store is there.
    """
    storage = storage_of(store)
    is_lost = storage.size(ROOT) is None
    if is_lost and _is_free(storage):
        return None
    attributes = read_attributes(storage, COPY if is_lost and storage.size(COPY) is not None else ROOT)
    check_version(int(attributes.get("schema_version", 0)), storage.url)
    values = dict(attributes["settings"])
    if values["salt"] != _salt_check(salt):
        raise StoreError(
            f"{storage.url}: its names were hashed with another salt; give the one it was made with (--salt)"
        )
    spacing = tuple(values["spacing"]) if values["spacing"] else None
    return Settings(**{**values, "spacing": spacing, "salt": salt})


def _is_free(storage: Storage) -> bool:
    """Whether a store may be made there: a folder must be missing or empty; an object store is not listed."""
    folder = Path(storage.url)
    return not folder.exists() or {path.name for path in folder.iterdir()} <= _EMPTY_STORE


def write_settings(storage: Storage, settings: Settings) -> None:
    """Make the store's root, which says how it is made, and a copy of it."""
    for name in (COPY, ROOT):
        storage.write(name, root_bytes({"schema_version": SCHEMA_VERSION, "settings": settings.recorded()}))


def _salt_check(salt: str) -> str:
    if not salt:
        return ""
    return hashlib.scrypt(salt.encode(), salt=b"mixio.salt", n=2**14, r=8, p=1, dklen=16).hex()

"""How volumes are converted: recorded in the store, and the same for all of it."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mixio.blob import CHUNK
from mixio.errors import InvalidArgument, StoreError
from mixio.journal import FOLDER
from mixio.manifest import check_version
from mixio.stores.zarr import read_attributes

_EMPTY_STORE = {FOLDER, "zarr.json.tmp"}


@dataclass(frozen=True)
class Settings:
    """How volumes are converted.

    `split_seed=None` decides from the sources (`splits.choose_seed`). With `keep_names=False` keys, subjects and
    source names are stored as salted hashes: with an empty salt, whoever knows a name can recognise it. The salt
    itself is not stored, only a slow hash of it, by which it is recognised when volumes are added.
    """

    chunk: int = CHUNK
    val_fraction: float = 0.1
    split_seed: int | None = None
    keep_names: bool = False
    salt: str = ""

    def __post_init__(self) -> None:
        if self.chunk < 1:
            raise InvalidArgument(f"chunk must be at least 1 voxel, got {self.chunk}")
        if not 0 <= self.val_fraction < 1:
            raise InvalidArgument(f"val_fraction must be at least 0 and below 1, got {self.val_fraction}")
        if self.split_seed is not None and not 0 <= self.split_seed < 2**63:
            raise InvalidArgument(f"split_seed must be from 0 to 2^63 - 1, got {self.split_seed}")

    def recorded(self) -> dict[str, Any]:
        """What the store says of them: all but the salt."""
        values = asdict(self)
        return {**values, "salt": _salt_check(values["salt"])}

    @property
    def identity(self) -> str:
        """Eight hex digits that name these settings."""
        return hashlib.sha256(json.dumps(self.recorded(), sort_keys=True).encode()).hexdigest()[:8]


def settings_of(store: str | Path, *, salt: str = "") -> Settings | None:
    """The settings that a store was made with; None if there is no store yet.

    Raises `StoreError` if its names were hashed with another salt.
    """
    root = Path(store)
    if not root.exists() or {path.name for path in root.iterdir()} <= _EMPTY_STORE:
        return None
    attributes = read_attributes(root)
    check_version(int(attributes.get("schema_version", 0)), root)
    values = dict(attributes["settings"])
    if values["salt"] != _salt_check(salt):
        raise StoreError(f"{root}: its names were hashed with another salt; give the one it was made with (--salt)")
    return Settings(**{**values, "salt": salt})


def _salt_check(salt: str) -> str:
    if not salt:
        return ""
    return hashlib.scrypt(salt.encode(), salt=b"mixio.salt", n=2**14, r=8, p=1, dklen=16).hex()

"""A store, opened for reading: which volumes it has, and their voxels, whole or in patches."""

import json
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.blob import crc32c
from mixio.errors import InvalidArgument
from mixio.manifest import Blob, Row, check_version, read_manifest
from mixio.patches import BlobCache, Corner, read_region
from mixio.stores.zarr import OCCUPANCY, read_attributes
from mixio.volume import Shape, Volume


def open_store(path: str | Path) -> "Store":
    """Open the store at a local path.

    Raises `StoreError` if there is none, if it is half-written, or if a newer mixio wrote it.
    """
    return Store(Path(path))


class Store:
    """Volumes by name (`domain/key`). Pickles as its path; safe to share with forked and spawned workers."""

    def __init__(self, root: Path) -> None:
        self._root = root
        attributes = read_attributes(root)
        check_version(int(attributes.get("schema_version", 0)), root)
        self._rows = {row.name: row for row in read_manifest(root)}
        self._cache = BlobCache()

    @property
    def path(self) -> str:
        """Where the store is."""
        return str(self._root)

    @property
    def fingerprint(self) -> str:
        """16 hex characters that change with any volume, split or stored byte; not with the place."""
        parts = [(row.name, row.split, [blob.crc32c for blob in row.blobs]) for row in self._rows.values()]
        return blake2b(json.dumps(parts).encode(), digest_size=8).hexdigest()

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains it has volumes of, sorted."""
        return tuple(sorted({row.domain for row in self._rows.values()}))

    def names(self, domain: str | None = None, split: str | None = None) -> list[str]:
        """Names of its volumes, sorted; of one domain, one split, or all."""
        return [
            name
            for name, row in self._rows.items()
            if (domain is None or row.domain == domain) and (split is None or row.split == split)
        ]

    def row(self, name: str) -> Row:
        """What the manifest says of a volume."""
        try:
            return self._rows[name]
        except KeyError:
            near = [n for n in self._rows if n.partition("/")[0] == name.partition("/")[0]][:3]
            hint = f"it has {', '.join(near)}, ..." if near else f"its domains are {', '.join(self.domains)}"
            raise InvalidArgument(f"{self.path}: no volume {name!r}; {hint}") from None

    def read(self, name: str, *, label: str | None = None) -> Volume:
        """A whole volume, or one of its label maps, RAS+.

        Voxels are real values: integers as stored if the source was unscaled, else float32.
        """
        row = self.row(name)
        voxels = self.read_patch(name, corner=(0, 0, 0), size=row.shape, label=label)
        if label is not None:
            return Volume(voxels, row.matrix)
        return Volume(voxels, row.matrix, row.slope, row.inter, row.unit).real()

    def read_patch(self, name: str, *, corner: Corner, size: Shape, label: str | None = None) -> NDArray[Any]:
        """Voxels `[corner, corner + size)` in the stored dtype; the background value where that leaves the volume.

        Only the chunks that the patch overlaps are read. Raises `DamagedChunkError` naming the file if a chunk
        does not match its checksum.
        """
        row = self.row(name)
        folder = self._root / row.path
        if label is None:
            return read_region(self._cache, folder / "0", row.grid, corner, size)
        if label not in row.labels:
            raise InvalidArgument(f"{name} has no label map {label!r}; it has {sorted(row.labels) or 'none'}")
        return read_region(self._cache, folder / "labels" / label / "0", row.label_grid(label), corner, size)

    def occupancy(self, name: str) -> NDArray[np.uint8]:
        """Share of foreground voxels, 0 to 255, in each cell of 8 x 8 x 8 voxels: `(ceil(X/8), ...)`."""
        row = self.row(name)
        grid = row.occupancy_grid
        return read_region(self._cache, self._root / row.path / OCCUPANCY / "0", grid, (0, 0, 0), grid.shape)

    def damage(self) -> Iterator[tuple[str, Blob, str]]:
        """Check every stored byte; yields volume, blob and what is wrong with it."""
        for row in self._rows.values():
            for blob in row.blobs:
                try:
                    data = (self._root / blob.path).read_bytes()
                except OSError as error:
                    yield row.name, blob, f"cannot be read ({error.strerror})"
                    continue
                if len(data) != blob.nbytes:
                    yield row.name, blob, f"holds {len(data)} bytes, the manifest says {blob.nbytes}"
                elif int.from_bytes(crc32c(data), "little") != blob.crc32c:
                    yield row.name, blob, "does not match its checksum"

    def __len__(self) -> int:
        return len(self._rows)

    def __reduce__(self) -> tuple[type["Store"], tuple[Path]]:
        return Store, (self._root,)

    def __repr__(self) -> str:
        return f"Store({self.path!r}, {len(self)} volumes, {len(self.domains)} domains)"

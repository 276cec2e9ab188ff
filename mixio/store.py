"""A store, opened for reading: which volumes it has, and their voxels, whole or in patches."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.errors import InvalidArgument
from mixio.manifest import Manifest, VolumeNames, check_version
from mixio.patches import BlobCache, Corner, read_region
from mixio.row import Row
from mixio.stores.storage import Storage, storage_of
from mixio.stores.zarr import read_attributes
from mixio.volume import Shape, Volume


def open_store(path: str | Path) -> "Store":
    """Open the store at a local path, or at an `s3://` or `gs://` address.

    Raises `StoreError` if there is none, if it is half-written or damaged, or if a newer mixio wrote it.
    """
    return Store(storage_of(path))


class Store:
    """Volumes by name (`domain/key`). Pickles as its path; safe to share with forked and spawned workers.

    A process that unpickles it reads the same manifest or, if that has been written anew, raises `StoreError`.
    """

    def __init__(self, storage: Storage, *, manifest: Manifest | None = None) -> None:
        self.storage = storage
        self.attributes = read_attributes(storage)
        """How it was made."""
        check_version(int(self.attributes.get("schema_version", 0)), storage.url)
        self.manifest = Manifest(storage) if manifest is None else manifest
        self._cache = BlobCache(storage)

    @property
    def path(self) -> str:
        """Where the store is."""
        return self.storage.url

    @property
    def fingerprint(self) -> str:
        """16 hex characters that change with any volume, split or stored byte; not with the place."""
        return self.manifest.fingerprint

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains it has volumes of, sorted."""
        return self.manifest.domains

    def names(self, domain: str | None = None, split: str | None = None) -> list[str]:
        """VolumeNames of its volumes, sorted; of one domain, one split, or all."""
        return list(self.volumes(domain, split))

    def volumes(self, domain: str | None = None, split: str | None = None) -> VolumeNames:
        """The same as a sequence that makes a name when it is asked for: some bytes a volume, and fewer to pickle."""
        return self.manifest.volumes(domain, split)

    def row(self, name: str) -> Row:
        """What the manifest says of a volume."""
        try:
            return self.manifest.row(name)
        except KeyError:
            near = self.volumes(name.partition("/")[0])[:3]
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
        if label is None:
            return read_region(self._cache, row.blobs_of(), row.grid, corner, size)
        if label not in row.labels:
            raise InvalidArgument(f"{name} has no label map {label!r}; it has {sorted(row.labels) or 'none'}")
        return read_region(self._cache, row.blobs_of(label), row.label_grid(label), corner, size)

    def occupancy(self, name: str) -> NDArray[np.uint8]:
        """Share of foreground voxels, 0 to 255, in each cell of 8 x 8 x 8 voxels: `(ceil(X/8), ...)`."""
        row = self.row(name)
        grid = row.occupancy_grid
        return read_region(self._cache, [row.occupancy_blob], grid, (0, 0, 0), grid.shape)

    def __len__(self) -> int:
        return len(self.manifest)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self.storage, self.manifest)

    def __repr__(self) -> str:
        return f"Store({self.path!r}, {len(self)} volumes, {len(self.domains)} domains)"


def _reopened(storage: Storage, manifest: Manifest) -> Store:
    return Store(storage, manifest=manifest)

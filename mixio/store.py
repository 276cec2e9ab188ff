"""A store, opened for reading: which volumes it has, and their voxels, whole or in patches."""

import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.blob import Grid
from mixio.errors import InvalidArgument, brief, expect, listed
from mixio.manifest import Manifest, VolumeNames, check_version
from mixio.normalize import Linear
from mixio.patches import Corner, Patch, empty, read_patches
from mixio.row import SPLITS, Blob, Row
from mixio.shards import ShardCache
from mixio.stores.cache import CachedStorage
from mixio.stores.local import LocalStorage
from mixio.stores.storage import Storage, storage_of
from mixio.stores.zarr import read_attributes
from mixio.volume import Shape, Volume


def open_store(path: str | Path, *, cache: str | Path | None = None, cache_bytes: int = 64 * 2**30) -> "Store":
    """Open the store at a local path, or at an `s3://`, `gs://` or `https://` address.

    With `cache`, a folder, what is read of a store elsewhere is kept there, up to `cache_bytes`, for all of a user's
    processes on this machine. Raises `StoreError` if there is no store, if it is half-written or damaged, or if a newer
    mixio wrote it.
    """
    storage = storage_of(path)
    if cache is None:
        return Store(storage)
    if isinstance(storage, LocalStorage):
        raise InvalidArgument(f"{path}: a folder is read without a cache; leave cache out")
    return Store(CachedStorage(storage, Path(cache), cache_bytes))


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
        self._cache = ShardCache(storage)

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
        if domain is not None and domain not in self.domains:
            raise InvalidArgument(f"{self.path}: no domain {domain!r}; it has {listed(self.domains)}")
        if split is not None and split not in SPLITS:
            raise InvalidArgument(f"split must be one of {', '.join(SPLITS)}, or None for all, got {split!r}")
        return self.manifest.volumes(domain, split)

    def row(self, name: str) -> Row:
        """What the manifest says of a volume."""
        try:
            return self.manifest.row(name)
        except (AttributeError, KeyError, TypeError) as error:
            expect(name, str, f"{self.path}: a volume has a name, as in store.names()")
            if not isinstance(error, KeyError):
                raise
            raise self._no_volume(name) from None

    def shapes(self, names: Sequence[str]) -> NDArray[np.int64]:
        """The shapes of volumes (len(names), 3); of those that `volumes` names, some milliseconds for all of them."""
        try:
            return self.manifest.shapes(names)
        except KeyError as error:
            raise self._no_volume(error.args[0]) from None

    def _no_volume(self, name: str) -> InvalidArgument:
        near = self.manifest.volumes(name.partition("/")[0])[:3]
        hint = f"it has {', '.join(near)}, ..." if near else f"its domains are {', '.join(self.domains)}"
        return InvalidArgument(f"{self.path}: no volume {name!r}; {hint}")

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

        Only the chunks that the patch overlaps are read. Raises `DamagedChunkError` naming the volume and
        the file if a chunk does not match its checksum, `MissingShardError`, one of its kind, if the file is gone.
        """
        corner, size = _three(corner, "corner"), _three(size, "size")
        row = self.row(name)
        if label is not None and label not in row.labels:
            raise InvalidArgument(f"{name} has no label map {label!r}; it has {sorted(row.labels) or 'none'}")
        grid = row.grid if label is None else row.label_grid(label)
        return self._read(row, row.blobs_of(label), grid, corner, size)

    def read_patches(
        self,
        requests: Sequence[tuple[str, Corner]],
        *,
        size: Shape,
        out: Sequence[NDArray[Any]] | None = None,
        linear: Sequence[Linear] | None = None,
    ) -> list[NDArray[Any]]:
        """Patches of several volumes, each given by name and corner, read together.

        Without `out` in the stored dtypes. With it, its arrays of `size` are filled and returned: with stored values,
        or with `linear`, which has a scale and offset for each patch, with float32 values as `apply_linear` makes them.
        """
        if linear is not None and out is None:
            raise InvalidArgument("linear needs out: float32 arrays to fill")
        for option, each in (("out", out), ("linear", linear)):
            if each is not None and len(each) != len(requests):
                raise InvalidArgument(f"{option} has one for each of {len(requests)} patches, got {len(each)}")
        for target in out or ():
            if target.shape != tuple(size):
                raise InvalidArgument(f"each array of out must have the patch's size {tuple(size)}, got {target.shape}")
        if odd := [one for one in requests if isinstance(one, str) or len(one) != 2]:
            raise InvalidArgument(f"each patch is asked for by a name and a corner (x, y, z), got {brief(odd[0])}")
        rows = [self.row(name) for name, _ in requests]
        targets = [empty(size, row.dtype) for row in rows] if out is None else list(out)
        scales = [None] * len(rows) if linear is None else linear
        read_patches(
            self._cache,
            [
                Patch(row.blobs_of(), row.grid, corner, target, its, row.name)
                for row, (_, corner), target, its in zip(rows, requests, targets, scales, strict=True)
            ],
        )
        return targets

    def _read(self, row: Row, blobs: Sequence[Blob], grid: Grid, corner: Corner, size: Shape) -> NDArray[Any]:
        target = empty(size, grid.dtype)
        read_patches(self._cache, [Patch(blobs, grid, corner, target, volume=row.name)])
        return target

    def occupancy(self, name: str) -> NDArray[np.uint8]:
        """Share of foreground voxels, 0 to 255, in each cell of 8 x 8 x 8 voxels: `(ceil(X/8), ...)`."""
        row = self.row(name)
        grid = row.occupancy_grid
        return self._read(row, [row.occupancy_blob], grid, (0, 0, 0), grid.shape)

    def __len__(self) -> int:
        return len(self.manifest)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self.storage, self.manifest)

    def __repr__(self) -> str:
        return f"Store({self.path!r}, {len(self)} volumes, {len(self.domains)} domains)"


def _three(numbers: Sequence[int], what: str) -> Shape:
    try:
        x, y, z = map(operator.index, numbers)
    except (TypeError, ValueError):
        raise InvalidArgument(f"{what} has three whole numbers of voxels, (x, y, z), got {numbers!r}") from None
    return x, y, z


def _reopened(storage: Storage, manifest: Manifest) -> Store:
    return Store(storage, manifest=manifest)

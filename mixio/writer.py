"""One source into its volumes in a store: what a worker process of the converter does.

Every file is written whole or not at all, and none is looked for afterwards: what counts as done is what the
journal says, after the worker has answered.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from numpy.typing import NDArray

from mixio.blob import SHARD_BYTES, Grid, extend_crc32c, plan_grid, shard_pieces
from mixio.codec import Codec
from mixio.errors import PartsRefused, SourceError
from mixio.journal import files_of_volume
from mixio.originals import digest_of, image_digest, local_files, source_files, stamps_of
from mixio.prepare import Prepared, options_of, part_name, prepare
from mixio.readers import Part, files_of, read_parts
from mixio.row import Blob, Row, occupancy_grid
from mixio.settings import FOLDER, Settings
from mixio.sources import Source
from mixio.stores.names import Write
from mixio.stores.storage import Storage, storage_of
from mixio.stores.zarr import OCCUPANCY, array_path, metadata_files, shard_path

STAGED = f"{FOLDER}/staged"
"""Where volumes wait to be packed into a tar."""

_REPLACED = f"{FOLDER}/replaced"
_LABELS_AND_BUFFERS = 3
"""A volume of n bytes needs up to this many times n: the voxels, their encoding, a label map."""


@dataclass(frozen=True, slots=True)
class Task:
    """A source and what was decided about it before it is opened.

    `known` is the checksum under which it was converted before, if it was; then `replaces` says that volumes of it may
    lie where its own will, `retold` that the table says something else of it, `moved` that its path leads elsewhere.
    `memory` bounds the bytes it may take.
    """

    source: Source
    key: str
    subject: str
    source_id: str
    split: str
    settings: Settings
    known: str | None = None
    retold: bool = False
    moved: bool = False
    replaces: bool = False
    memory: int | None = None

    @property
    def name(self) -> str:
        """`domain/key`, of a source that holds one volume."""
        return f"{self.source.domain}/{self.key}"

    @property
    def told(self) -> str:
        """What the table says of it, hashed: another word makes it another conversion."""
        s = self.source
        words = [self.name, self.subject, self.split, s.modality, s.unit, s.target, sorted(s.labels), s.item, s.spacing]
        return hashlib.sha256(repr(words).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Written:
    """What became of a source: its volumes, or nothing new if it is what it was; and the parts that were refused."""

    digest: str
    stamp: str | None
    rows: tuple[Row, ...] = ()
    is_unchanged: bool = False
    source_bytes: int = 0
    refused: dict[str, str] = field(default_factory=dict)


def write_volumes(store: str, task: Task) -> Written:
    """Convert one source into the store at this place.

    Raises `SourceError` if the source, or one of its label maps, cannot be trusted, and `StoreError` if the store
    cannot be written. What was written of a source that is then refused is taken away again.
    """
    storage = storage_of(store)
    try:
        with local_files(task.source) as source:
            return _written(storage, replace(task, source=source))
    except OSError as error:  # of the source: storages raise StoreError
        name = task.source.path.name
        raise SourceError(f"{name}: cannot be read ({error.strerror or error}); is the disk mounted?") from error


def _written(storage: Storage, task: Task) -> Written:
    source = task.source
    (stamp,) = stamps_of([source])
    digests = [digest_of(path) for path in source_files(source)]
    digest = hashlib.sha256("".join(digests).encode()).hexdigest()
    if task.known == digest and not task.retold:
        return Written(digest, stamp, is_unchanged=True)
    if task.known != digest and task.moved:
        raise SourceError(
            f"{source.path.name}: its path in the table is that of another file, converted before from another "
            "folder; make the paths of the two tables differ, or use a new store"
        )
    sha256 = image_digest(source, digests)
    rows: list[Row] = []
    refused: dict[str, str] = {}
    with _taken_back(storage, rows):
        try:
            for part in read_parts(source.path, options_of(source, task.settings, max_bytes=_room(task))):
                rows.append(_write(storage, task, part, sha256))
        except PartsRefused as error:
            refused = dict(error.reasons)
        if source.url is None and stamps_of([source]) != [stamp]:
            raise SourceError(f"{source.path.name}: changed while it was read; run again when it is complete")
    nbytes = sum(path.stat().st_size for path in files_of(source.path))
    return Written(digest, stamp, tuple(rows), source_bytes=nbytes, refused=refused)


@contextmanager
def _taken_back(storage: Storage, rows: Sequence[Row]) -> Iterator[None]:
    """If the source is refused after all, no frame of it that was written before stays in the store."""
    try:
        yield
    except (SourceError, MemoryError):
        storage.delete(*(path for row in rows for path in sorted(files_of_volume(row))))
        raise


def room_for(nbytes: int) -> int:
    """Bytes of memory that converting a volume of so many bytes of voxels may take."""
    return nbytes * _LABELS_AND_BUFFERS


def _room(task: Task) -> int | None:
    """The largest volume, in bytes of voxels, that a task may read."""
    return None if task.memory is None else task.memory // _LABELS_AND_BUFFERS


def mark_of(source_id: str) -> str:
    """The file that says that volumes of this source are being written over those it had before."""
    return f"{_REPLACED}/{hashlib.sha256(source_id.encode(errors='surrogateescape')).hexdigest()[:32]}"


def _write(storage: Storage, task: Task, part: Part, sha256: str) -> Row:
    """Write one volume's shards, and in a Zarr store its metadata."""
    prepared = prepare(part, task.source, task.settings, max_bytes=_room(task))
    if task.replaces:
        storage.write(mark_of(task.source_id), b"\n")
    key = f"{task.key}_{part_name(part, task.settings)}" if part.name else task.key
    grid = _grid(prepared, task.settings)
    with storage.batch() as write:
        blobs = list(_write_shards(write, f"{task.source.domain}/{key}", prepared, grid, task.settings))
        row = _row(task, part, prepared, _Shards(key, grid, tuple(blobs), sha256))
        if task.settings.container == "zarr":
            for name, content in metadata_files(row).items():
                write(name, content)
    return row


def _grid(prepared: Prepared, settings: Settings) -> Grid:
    voxels = prepared.volume.voxels
    most = None if settings.container == "webdataset" else SHARD_BYTES  # a member of a tar is one shard
    grid = plan_grid(
        prepared.volume.shape, str(voxels.dtype), prepared.background, chunk=settings.chunk, shard_bytes=most
    )
    return replace(grid, codec=Codec.parse(settings.codec))


def _write_shards(write: Write, name: str, prepared: Prepared, grid: Grid, settings: Settings) -> Iterator[Blob]:
    """The shards of image, label maps and occupancy, in the order in which a row lists them."""
    arrays: list[tuple[str, str, NDArray[Any], Grid]] = [("image", array_path(name), prepared.volume.voxels, grid)]
    for label, voxels in sorted(prepared.labels.items()):
        label_grid = Grid(grid.shape, grid.chunk, grid.shard, str(voxels.dtype), 0, grid.codec)
        arrays.append((label, array_path(name, label), voxels, label_grid))
    cells = occupancy_grid(grid.shape)
    arrays.append((OCCUPANCY, f"{name}/{OCCUPANCY}/0", prepared.content.occupancy, cells))
    for short, folder, voxels, its_grid in arrays:
        for position in product(*map(range, its_grid.shards)):
            slices = tuple(slice(p * s, (p + 1) * s) for p, s in zip(position, its_grid.shard, strict=True))
            is_staged = settings.container == "webdataset"
            path = f"{STAGED}/{name}/{short}.shard" if is_staged else shard_path(folder, position)
            pieces = _Counted(shard_pieces(voxels[slices], its_grid))
            write(path, pieces)
            yield Blob(path, 0, pieces.nbytes, pieces.crc)


class _Counted:
    """Pieces of bytes, with their length and crc32c once they have passed."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces, self.nbytes, self.crc = pieces, 0, 0

    def __iter__(self) -> Iterator[bytes]:
        self.nbytes, self.crc = 0, 0
        for piece in self._pieces:
            self.nbytes += len(piece)
            self.crc = extend_crc32c(self.crc, piece)
            yield piece


@dataclass(frozen=True)
class _Shards:
    """What was written of a volume: under which key, how cut, where it lies; and the checksum of its source."""

    key: str
    grid: Grid
    blobs: tuple[Blob, ...]
    sha256: str


def _row(task: Task, part: Part, prepared: Prepared, shards: _Shards) -> Row:
    grid = shards.grid
    source, volume, content = task.source, prepared.volume, prepared.content
    return Row(
        key=shards.key,
        domain=source.domain,
        modality=source.modality,
        subject=task.subject,
        split=task.split,
        target=source.target,
        path=f"{source.domain}/{shards.key}",
        shape=volume.shape,
        chunk=grid.chunk,
        shard=grid.shard,
        codec=str(grid.codec),
        dtype=grid.dtype,
        background=prepared.background,
        slope=volume.slope,
        inter=volume.inter,
        unit=volume.unit,
        spacing=volume.spacing,
        affine=tuple(tuple(line) for line in volume.affine.tolist()),
        orientation=prepared.orientation,
        statistics=content.statistics,
        foreground_fraction=content.foreground_fraction,
        foreground_box=content.foreground_box,
        nonfinite=prepared.nonfinite,
        quantization_error=prepared.quantization_error,
        labels={name: str(voxels.dtype) for name, voxels in sorted(prepared.labels.items())},
        blobs=shards.blobs,
        source=task.source_id,
        part=part_name(part, task.settings),
        source_sha256=shards.sha256,
        notes=prepared.notes,
        settings=task.settings.identity,
    )

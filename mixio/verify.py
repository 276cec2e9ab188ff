"""Every stored byte against what it should be.

The manifest carries a checksum of each shard, and each shard one of its index and of every chunk; all JSON and all
tar headers follow from the manifest and are compared with what they must be; the two files that hold its rows are
compared with each other. So there is no byte of a store, its
quarantine list aside, that can change unseen. Files that the store does not speak of are not looked at. An older
manifest put back in the place of a newer one is a whole store of what there was then: a volume that has since been
replaced is told as damaged, one that has since been added is not missed, and converting again brings it back. With
the sources at hand, voxels are compared with the originals too.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.blob import crc32c, decode_shard
from mixio.errors import DamagedStoreError, MixioError, PartsRefused, StoreError
from mixio.manifest import NAME
from mixio.originals import digest_of, local_files, source_files
from mixio.prepare import Prepared, options_of, part_name, prepare
from mixio.readers import read_parts
from mixio.row import Blob, Row, row_to_line
from mixio.settings import Settings, settings_of
from mixio.sources import read_sources
from mixio.store import Store
from mixio.stores.index import NAME as INDEX
from mixio.stores.inside import refuse_outside
from mixio.stores.storage import Storage, storage_of
from mixio.stores.tar import END, header, is_tar, json_member, member_names, padding
from mixio.stores.zarr import ROOT, group_bytes, metadata_files, read_attributes, root_bytes
from mixio.tasks import tasks_of
from mixio.writer import Task

Rows = Callable[[], Iterable[Row]]


@dataclass(frozen=True)
class Damage:
    """A file that is not what it should be; `volume` is empty where it belongs to no single one.

    Converting again mends it once `delete`, a file or folder of the store, is deleted; nothing need be if it is empty.
    """

    volume: str
    file: str
    damage: str
    delete: str = ""


def verify(store: Store) -> Iterator[Damage | str]:
    """Check a store; yields what is damaged, and the name of each volume when it has been checked."""
    storage = store.storage
    yield from _mended_by(ROOT, _differing(storage, {ROOT: root_bytes(store.attributes)}, ""))
    rows: Rows = store.manifest.rows
    try:
        yield from _table_damage(store)
    except DamagedStoreError as error:
        yield Damage("", INDEX, str(error))
        rows = store.manifest.table.rows  # the volumes can be checked by what the other file says
    try:
        yield from _tars(store, rows) if any(is_tar(row.path) for row in islice(rows(), 1)) else _folders(store, rows)
    except DamagedStoreError as error:
        yield Damage("", NAME, str(error))


def _table_damage(store: Store) -> Iterator[Damage]:
    """The first row of which the Parquet file does not say what the index says."""
    theirs = _table_rows(store)
    for ours in store.manifest.rows():
        told = next(theirs, None)
        if isinstance(told, Damage):
            yield told
            return
        if told is None or row_to_line(told) != row_to_line(ours):
            yield Damage("", NAME, f"does not say of {ours.name} what {INDEX} says")
            return
    if next(theirs, None) is not None:
        yield Damage("", NAME, f"has more volumes than {INDEX}")


def _table_rows(store: Store) -> Iterator[Row | Damage]:
    try:
        yield from store.manifest.table.rows()
    except DamagedStoreError as error:
        yield Damage("", NAME, str(error))


def unopened(location: str, error: DamagedStoreError) -> Damage:
    """The damage of a store that does not open: that of its root, or of its manifest, which converting writes anew."""
    try:
        read_attributes(storage_of(location))
    except StoreError:
        return Damage("", ROOT, str(error), delete=ROOT)
    return Damage("", INDEX if INDEX in str(error) else NAME, str(error))


def _folders(store: Store, rows: Rows) -> Iterator[Damage | str]:
    for domain in store.domains:
        yield from _differing(store.storage, {f"{domain}/{ROOT}": group_bytes({})}, "")  # written by every conversion
    for row in rows():
        yield from _mended_by(row.path, _zarr_damage(store.storage, row))
        yield row.name


def _tars(store: Store, rows: Rows) -> Iterator[Damage | str]:
    for path, members in _by_tar(store, rows):
        yield from _mended_by(path, _tar_damage(store.storage, path, members))
        yield from (row.name for row in members)


def _mended_by(place: str, damages: Iterable[Damage]) -> Iterator[Damage]:
    return (replace(damage, delete=place) for damage in damages)


def _by_tar(store: Store, rows: Rows) -> Iterator[tuple[str, list[Row]]]:
    """Tars and their volumes as they lie in them. The index is asked for rows again, rather than keep them all."""
    is_index = rows == store.manifest.rows
    places = sorted((row.path, row.name) for row in rows())
    kept = {} if is_index else {row.name: row for row in rows()}
    for path, group in groupby(places, key=lambda place: place[0]):
        members = [store.row(name) if is_index else kept[name] for _, name in group]
        yield path, sorted(members, key=lambda row: row.blobs[0].offset)


def _differing(storage: Storage, expected: dict[str, bytes], volume: str) -> Iterator[Damage]:
    for name, content in expected.items():
        try:
            refuse_outside(storage, name)
            size = storage.size(name)  # of a file that has grown, no more is read than there should be
            if size is None:
                raise FileNotFoundError(2, "no such file")
            is_same = size == len(content) and storage.read_range(name, 0, size) == content
        except (OSError, StoreError) as error:
            yield Damage(volume, name, f"cannot be read ({_why(error)})")
            continue
        if not is_same:
            yield Damage(volume, name, "is not what the manifest says")


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _zarr_damage(storage: Storage, row: Row) -> Iterator[Damage]:
    yield from _differing(storage, metadata_files(row), row.name)
    for blob in row.blobs:
        yield from _blob_damage(storage, row.name, blob, is_whole_file=True)


def _blob_damage(storage: Storage, volume: str, blob: Blob, *, is_whole_file: bool = False) -> Iterator[Damage]:
    try:
        refuse_outside(storage, blob.path)
        size, end = storage.size(blob.path), blob.offset + blob.nbytes
        if size is None:
            raise FileNotFoundError(2, "no such file")
        if size < end or (is_whole_file and size > end):
            yield Damage(volume, blob.path, f"holds {size} bytes, the manifest says {end}")
            return
        data = storage.read_range(blob.path, blob.offset, blob.nbytes)
    except (OSError, StoreError) as error:
        yield Damage(volume, blob.path, f"cannot be read ({_why(error)})")
        return
    if len(data) != blob.nbytes or int.from_bytes(crc32c(data), "little") != blob.crc32c:
        yield Damage(volume, blob.path, "does not match its checksum")
        return
    try:
        decode_shard(data, blob.path)
    except StoreError as error:
        yield Damage(volume, blob.path, f"cannot be decoded ({error})")


def _tar_damage(storage: Storage, path: str, rows: list[Row]) -> Iterator[Damage]:
    """Headers, padding and metadata of a tar, byte by byte, and its shards by their checksums."""
    try:
        refuse_outside(storage, path)
    except StoreError as error:
        yield Damage("", path, str(error))
        return
    if storage.size(path) is None:
        yield Damage("", path, "cannot be read (no such file)")
        return
    position = 0
    for row in rows:
        *names, last = member_names(row)
        for name, blob in zip(names, row.blobs, strict=True):
            head = header(name, blob.nbytes)
            yield from _expect(storage, path, position, head, row.name)
            position += len(head)
            if position != blob.offset:
                yield Damage(row.name, path, f"{name} does not follow the member before it")
                return
            yield from _blob_damage(storage, row.name, blob)
            position += blob.nbytes
            yield from _expect(storage, path, position, padding(blob.nbytes), row.name)
            position += len(padding(blob.nbytes))
        text = json_member(row)
        tail = header(last, len(text)) + text + padding(len(text))
        yield from _expect(storage, path, position, tail, row.name)
        position += len(tail)
    yield from _expect(storage, path, position, END, "")
    size = storage.size(path)
    if size is not None and size != position + len(END):
        yield Damage("", path, f"holds {size} bytes, its volumes take {position + len(END)}")


def _expect(storage: Storage, path: str, offset: int, expected: bytes, volume: str) -> Iterator[Damage]:
    if not expected:
        return
    try:
        found = storage.read_range(path, offset, len(expected))
    except (OSError, StoreError) as error:
        yield Damage(volume, path, f"cannot be read at byte {offset} ({_why(error)})")
        return
    if found != expected:
        yield Damage(volume, path, f"is not what the manifest says at byte {offset}")


def compare(store: Store, sources: str | Path, *, salt: str = "") -> Iterator[Damage | str]:
    """Read the originals again and compare; yields what differs, and each source's name when it has been compared."""
    settings = settings_of(store.path, salt=salt)
    if settings is None:
        raise StoreError(f"{store.path}: no such store")
    volumes: dict[str, list[str]] = {}
    for record in store.manifest.records(["domain", "key", "source"]):
        volumes.setdefault(record["source"], []).append(f"{record['domain']}/{record['key']}")
    for task in tasks_of(read_sources(Path(sources)), settings):
        place = str(task.source.url or task.source.path)
        names = volumes.get(task.source_id)
        if names is None:
            yield Damage("", place, "is not in the store: it is in quarantine, or was never converted")
        else:
            yield from _compared(store, task, settings, names, place)
        yield place


def _compared(store: Store, task: Task, settings: Settings, names: list[str], place: str) -> Iterator[Damage]:
    rows = {row.part: row for row in map(store.row, names)}
    try:
        with local_files(task.source) as source:
            for path in source_files(source):
                digest_of(path)  # says which file cannot be read
            for part in read_parts(source.path, options_of(source, settings)):
                row = rows.pop(part_name(part, settings), None)
                if row is None:
                    yield Damage("", place, f"has a volume {part.name!r} that is not in the store; convert again")
                else:
                    differing = _differences(store, row, prepare(part, source, settings))
                    yield from (Damage(row.name, place, what) for what in differing)
    except PartsRefused as error:
        yield Damage("", place, f"has parts that are refused ({error})")
    except MixioError as error:
        yield Damage(names[0], place, f"cannot be compared ({error})")
        return
    for row in rows.values():
        yield Damage(row.name, place, "holds no such volume any more")


def _differences(store: Store, row: Row, original: Prepared) -> Iterator[str]:
    def is_stored(voxels: NDArray[Any], label: str | None = None) -> bool:
        return np.array_equal(store.read_patch(row.name, corner=(0, 0, 0), size=row.shape, label=label), voxels)

    volume = original.volume
    said, told = (row.slope, row.inter, row.unit), (volume.slope, volume.inter, volume.unit)
    if row.shape != volume.shape or not np.array_equal(row.matrix, volume.affine) or not is_stored(volume.voxels):
        yield "is not what the store holds; if it changed, convert again"
    elif said != told:
        yield f"has the slope, intercept and unit {told}, the store {said}; convert again"
    elif original.labels.keys() != row.labels.keys():
        yield f"has the label maps {sorted(original.labels)}, the store {sorted(row.labels)}; convert again"
    else:
        for label, voxels in original.labels.items():
            if not is_stored(voxels, label):
                yield f"its label map {label} is not what the store holds; if it changed, convert again"

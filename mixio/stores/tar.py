"""The WebDataset container: the volumes of a domain in tars, a few members each.

    store/<domain>/000000.tar     <key>.image.shard, <key>.<label>.shard, <key>.occupancy.shard, <key>.json, ...

A member `.shard` holds the bytes that a Zarr store holds as a file, and explains itself, so that
`webdataset.WebDataset(urls).decode(mixio.webdataset_decoder)` yields arrays; the manifest knows the offset of each, so
that a patch is read out of the tar by byte range. Member headers carry no time, owner or name of a person. Nothing
is ever unpacked to disk, and nothing here is a pickle.
"""

import json
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from mixio.blob import decode_shard
from mixio.errors import StoreError
from mixio.row import Blob, Row, row_to_dict

RECORD = 512
END = bytes(20 * RECORD)
"""Two empty records end a tar, and tar pads to twenty."""

RESERVED = ("image", "occupancy")
"""Names of members that no label map may have."""

_MEMBER = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.(shard|json)")
_PRIVATE = {"blobs", "path", "source", "source_sha256"}


def tar_path(domain: str, number: int) -> str:
    """Where a domain's tar of this number lies."""
    return f"{domain}/{number:06d}.tar"


def is_tar(path: str) -> bool:
    """Whether a volume's path says that it lies in a tar."""
    return path.endswith(".tar") and path.count("/") == 1


def member_names(row: Row) -> list[str]:
    """Names of a volume's members, in their order: the image, label maps by name, occupancy, the metadata."""
    arrays = ["image", *sorted(row.labels), "occupancy"]
    return [f"{row.key}.{array}.shard" for array in arrays] + [f"{row.key}.json"]


def json_member(row: Row) -> bytes:
    """What a streaming reader is told of a volume: its manifest row, less where it lies and what it came from."""
    values = {name: value for name, value in row_to_dict(row).items() if name not in _PRIVATE}
    return (json.dumps(values, sort_keys=True) + "\n").encode()


def header(name: str, nbytes: int) -> bytes:
    """The tar header of a member."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = nbytes, 0o644
    return info.tobuf(tarfile.GNU_FORMAT)


def padding(nbytes: int) -> bytes:
    """What fills a member's last record."""
    return bytes(-nbytes % RECORD)


def packed_bytes(row: Row) -> int:
    """How many bytes a volume takes in a tar."""
    sizes = [blob.nbytes for blob in row.blobs] + [len(json_member(row))]
    heads = sum(len(header(name, size)) for name, size in zip(member_names(row), sizes, strict=True))
    return heads + sum(size + len(padding(size)) for size in sizes)


def placed(rows: Sequence[Row], path: str) -> list[Row]:
    """The rows as they are once their volumes lie in the tar at `path`, one after the other."""
    offset, result = 0, []
    for row in rows:
        blobs = []
        for name, blob in zip(member_names(row), row.blobs, strict=False):
            offset += len(header(name, blob.nbytes))
            blobs.append(Blob(path, offset, blob.nbytes, blob.crc32c))
            offset += blob.nbytes + len(padding(blob.nbytes))
        row = replace(row, path=path, blobs=tuple(blobs))
        text = json_member(row)
        offset += len(header(member_names(row)[-1], len(text))) + len(text) + len(padding(len(text)))
        result.append(row)
    return result


def tar_pieces(rows: Sequence[Row], read: Callable[[Blob], Iterable[bytes]]) -> Iterator[bytes]:
    """The bytes of a tar of these volumes, `read` giving those of each blob."""
    for row in rows:
        *names, last = member_names(row)
        for name, blob in zip(names, row.blobs, strict=True):
            yield header(name, blob.nbytes)
            yield from read(blob)
            yield padding(blob.nbytes)
        text = json_member(row)
        yield header(last, len(text))
        yield text
        yield padding(len(text))
    yield END


def webdataset_decoder(key: str, data: bytes) -> Any:
    """Decodes the members of our tars for `WebDataset.decode`: `.shard` to an array, `.json` to a dictionary.

    An array is `(X, Y, Z)` in its stored dtype, checksums checked (`DamagedChunkError`); real values are
    `json["slope"] * stored + json["inter"]`. Returns None for members of other names, which other decoders may know.
    Raises `StoreError` for a member whose name no store of ours has.
    """
    suffix = key.rpartition(".")[2].lower()
    if suffix not in ("shard", "json"):
        return None
    name = key.lstrip(".")
    if not _MEMBER.fullmatch(f"key.{name}"):
        raise StoreError(f"{key}: not the name of a member of a mixio tar")
    return json.loads(data) if suffix == "json" else decode_shard(data, key)

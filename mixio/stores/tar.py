"""The WebDataset container: the volumes of a domain in tars, a few members each.

    store/<domain>/000000.tar     <key>.image.shard, <key>.<label>.shard, <key>.occupancy.shard, <key>.json, ...

A member `.shard` holds the bytes that a Zarr store holds as a file, and explains itself, so that
`webdataset.WebDataset(urls).decode(mixio.webdataset_decoder)` yields arrays; the manifest knows the offset of each, so
that a patch is read out of the tar by byte range. Member headers carry no time, owner or name of a person. Nothing
is ever unpacked to disk, and nothing here is a pickle. WebDataset turns member names to lower case and splits them at
the first dot, so that a sample's fields are `image.shard`, `<label>.shard`, `occupancy.shard` and `json`.
"""

import json
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from mixio.blob import crc32c, decode_shard
from mixio.errors import DamagedChunkError, StoreError
from mixio.row import Blob, Row, row_to_dict

RECORD = 512
END = bytes(20 * RECORD)
"""Two empty records end a tar, and tar pads to twenty."""

RESERVED = ("image", "occupancy")
"""Names of members that no label map may have."""

_ARRAY = re.compile(r"[a-z0-9_-]+\.shard")
_PICKLED = {"pkl", "pickle", "pyd", "pth", "pt", "ckpt"}
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
    return _line({**values, "crc32c": crc32c(_line(values)).hex()})


def _line(values: dict[str, Any]) -> bytes:
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
    """Decodes the members of our tars for `WebDataset.decode`: `.<array>.shard` to an array, `.json` to a dictionary.

    An array is `(X, Y, Z)` in its stored dtype, real values are `json["slope"] * stored + json["inter"]`; checksums
    are checked (`DamagedChunkError`). Returns None for members of other names, which other decoders may know; those
    that WebDataset runs after this one by default would unpickle, which runs whatever code a tar holds. So members
    whose suffix says pickle or torch are refused here with `StoreError`, and tars of unknown origin are best read by
    `decode(mixio.webdataset_decoder, pre=[], post=[])`, which runs no other decoder. (`WDS_SECURE=1` in the
    environment forbids WebDataset to unpickle too, but also to open local files.) A damaged member header ends a tar
    early for Python's tarfile, without an error: samples are then missing or lack fields; `mixio verify` tells.
    """
    name = key.lstrip(".").lower()
    suffix = name.rpartition(".")[2]
    if suffix in _PICKLED:
        raise StoreError(f"{key}: a pickle runs code when it is read; no mixio tar holds one, do not trust this one")
    if suffix == "shard" and not _ARRAY.fullmatch(name):
        raise StoreError(f"{key}: not the name of a member of a mixio tar")
    if suffix == "shard":
        return decode_shard(data, key)
    return _metadata(data, key) if name == "json" else None


def _metadata(data: bytes, key: str) -> dict[str, Any]:
    try:
        values = dict(json.loads(data))
        is_whole = values.pop("crc32c", None) == crc32c(_line(values)).hex()
    except (ValueError, TypeError, RecursionError) as error:
        raise DamagedChunkError(f"{key}: not readable as the metadata of a volume ({error})") from error
    if not is_whole:
        raise DamagedChunkError(f"{key}: does not match its checksum, or is not of a mixio tar; convert again")
    return values

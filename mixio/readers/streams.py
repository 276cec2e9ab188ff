"""Decoded bytes of a file, from front to back, never more than asked for and checked to the end.

gzip is inflated with ISA-L, about three times as fast as zlib. `finish` reads on to the end, where the checksum and
the length stand: a damaged stream fails there instead of giving wrong voxels. What follows the claimed end is bounded,
so that a stream made to inflate without end is refused too.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from isal import igzip, isal_zlib

from mixio.errors import SourceError
from mixio.readers.layout import Data

SLACK = 1 << 20  # bytes that may follow the voxels: footers and padding
_DAMAGED: tuple[Any, ...] = (igzip.BadGzipFile, isal_zlib.IsalError, EOFError)
_IGZIP: Any = igzip.IGzipFile
_PIECE = 1 << 18  # decoded at once, so that the copy into the volume finds it in cache


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Stream:
    """Decoded bytes in order; every method raises `SourceError` if the stream turns out to be damaged."""

    def __init__(self, source: _Readable, name: str, encoding: str) -> None:
        self._source = source
        self._name = name
        self._encoding = encoding
        self._position = 0

    def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer only at the end."""
        pieces = []
        while size > 0 and (piece := self._piece(size)):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def fill(self, buffer: memoryview) -> None:
        """Fill all of `buffer`, bytes, from the stream."""
        done = 0
        while done < len(buffer):
            piece = self._piece(len(buffer) - done)
            if not piece:
                raise self._short(len(buffer) - done)
            buffer[done : done + len(piece)] = piece
            done += len(piece)

    def skip(self, size: int) -> None:
        """Pass over the next `size` bytes."""
        if isinstance(self._source, io.FileIO):
            self._source.seek(size, io.SEEK_CUR)
            self._position += size
            return
        while size > 0:
            piece = self._piece(size)
            if not piece:
                raise self._short(size)
            size -= len(piece)

    def finish(self) -> None:
        """Read to the end, at most `SLACK` bytes on, so that checksums are checked."""
        end = self._position
        while self._piece(_PIECE):
            if self._position - end > SLACK:
                raise SourceError(
                    f"{self._name}: more than {SLACK} bytes follow the {end} that the header claims; repair the header"
                )

    def _piece(self, size: int) -> bytes:
        try:
            piece = self._source.read(min(size, _PIECE))
        except _DAMAGED as error:
            raise SourceError(
                f"{self._name}: {self._encoding} stream is damaged ({error}); fetch the file again"
            ) from error
        self._position += len(piece)
        return piece

    def _short(self, missing: int) -> SourceError:
        claimed = self._position + missing
        return SourceError(
            f"{self._name}: the header claims {claimed} bytes, the stream holds {self._position}; truncated?"
        )


@contextmanager
def open_stream(data: Data, name: str) -> Iterator[Stream]:
    """The decoded bytes of `data`, opened for one pass; `name` stands in messages."""
    with open(data.path, "rb", buffering=0) as file:
        file.seek(data.start)
        yield Stream(_decoder(file, data.encoding), name, data.encoding)


def encoding_of(path: Path) -> str:
    """`gzip` for a name that ends in .gz or .mgz, else `raw`."""
    return "gzip" if path.name.lower().endswith((".gz", ".mgz")) else "raw"


def _decoder(file: io.FileIO, encoding: str) -> _Readable:
    if encoding == "gzip":
        gzipped: _Readable = _IGZIP(fileobj=file, mode="rb")
        return gzipped
    return _Zlib(file) if encoding == "zlib" else file


class _Zlib:
    """A zlib stream read in pieces; nothing may follow it."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self._inflate = isal_zlib.decompressobj()
        self._pending = b""

    def read(self, size: int, /) -> bytes:
        while not self._inflate.eof:
            packed = self._pending or self._file.read(_PIECE)
            piece = self._inflate.decompress(packed, size)
            self._pending = self._inflate.unconsumed_tail
            if piece:
                return piece
            if not packed and not self._inflate.eof:
                raise EOFError("it ends before its end marker")
        if self._inflate.unused_data or self._file.read(1):
            raise EOFError("something follows its end marker")
        return b""

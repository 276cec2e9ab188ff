"""A folder as a place for objects: each name a file, put there by one rename.

The file and the folders that name it are flushed to the disk before `write` returns, so that neither a kill nor a power
cut leaves half an object under its name. What a kill may leave is a temporary file, `.NAME.XXXX.part`.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mixio.errors import StoreError
from mixio.stores.names import checked


@dataclass(frozen=True)
class LocalStorage:
    """The folder at the path `url`; it is made at the first write."""

    url: str

    def path(self, name: str) -> Path:
        """The file of this name."""
        return Path(self.url) / checked(name)

    def read(self, name: str) -> bytes:
        """The whole file."""
        path = self.path(name)
        with _told(path):
            return path.read_bytes()

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`."""
        path = self.path(name)
        with _told(path), path.open("rb") as file:
            file.seek(offset)
            data = file.read(length)
        if len(data) != length:
            raise StoreError(f"{path}: expected {length} bytes at {offset}, got {len(data)}; the file was cut short")
        return data

    def write(self, name: str, pieces: bytes | Iterable[bytes]) -> None:
        """Write beside the file, flush, rename over it, flush the folder."""
        path = self.path(name)
        with _told(path), _written_beside(path, pieces) as temporary:
            os.replace(temporary, path)

    def create(self, name: str, data: bytes) -> bool:
        """Link the finished file to its name, which fails if the name is taken."""
        path = self.path(name)
        with _told(path), _written_beside(path, data) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            finally:
                temporary.unlink()
        return True

    def size(self, name: str) -> int | None:
        """Bytes of the file."""
        found = self._status(name)
        return None if found is None else found.st_size

    def delete(self, name: str) -> None:
        """Unlink the file; flushed, so that a deleted one does not come back."""
        path = self.path(name)
        with _told(path), suppress(FileNotFoundError):
            path.unlink()
            _flush_folder(path.parent)

    def tag(self, name: str) -> str | None:
        """Inode, size and time of change: a rename over the file changes the first, an edit the others."""
        found = self._status(name)
        return None if found is None else f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"

    def _status(self, name: str) -> os.stat_result | None:
        path = self.path(name)
        with _told(path):
            try:
                return path.stat()
            except (FileNotFoundError, NotADirectoryError):
                return None


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: no such object") from error
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}; check the disk's space and the permissions") from error


@contextmanager
def _written_beside(path: Path, pieces: bytes | Iterable[bytes]) -> Iterator[Path]:
    _make_folders(path.parent)
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            os.fchmod(number, 0o666 & ~_UMASK)
            for piece in (pieces,) if isinstance(pieces, bytes) else pieces:
                file.write(piece)
            file.flush()
            os.fsync(number)
        yield Path(name)
        _flush_folder(path.parent)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise


def _make_folders(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    _flush_folder(folder.parent)


def _flush_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _umask()

"""A folder.

A file is written under a temporary name in `.mixio/tmp`, on the same file system, flushed to the disk, and renamed.
So a kill, a full disk or a power cut leaves under a name either what was there before or all of what was to be there;
what it may leave besides is a temporary file, which `sweep` takes away by listing that one folder.

Flushing has a price for each time the file system commits its own journal. A `batch` therefore writes all of its
files first, has the kernel begin to write them back, and flushes them, then the folders they were renamed into,
together: about one commit for all of them instead of two for each.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from mixio.errors import StoreError
from mixio.stores.names import Pieces, Write, checked
from mixio.stores.ranges import Range

TEMPORARY = ".mixio/tmp"
"""Where files lie until they are whole."""

_ATTEMPTS = 100


@dataclass(frozen=True)
class LocalStorage:
    """Files below the folder `url`, which is made when the first of them is written."""

    url: str

    def path(self, name: str) -> Path:
        """The file of this name."""
        return Path(self.url) / checked(name)

    def read(self, name: str) -> bytes:
        """The whole file."""
        path = self.path(name)
        with sought(path):
            return path.read_bytes()

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`."""
        return self.read_ranges(name, [(offset, length)])[0]

    def read_ranges(
        self, name: str, ranges: Sequence[Range], *, fresh: bool = False, tag: str | None = None
    ) -> list[bytes]:
        """The bytes of each range, of one open file."""
        path = self.path(name)
        with sought(path), path.open("rb", buffering=0) as file:
            found = [os.pread(file.fileno(), length, offset) for offset, length in ranges]
            if tag is not None and tag != _tag_of(os.fstat(file.fileno())):
                raise StoreError(f"{path}: the file was replaced while it was read; open the store again")
        for data, (offset, length) in zip(found, ranges, strict=True):
            if len(data) != length:
                raise StoreError(
                    f"{path}: expected {length} bytes at {offset}, got {len(data)}; the file was cut short"
                )
        return found

    def write(self, name: str, pieces: Pieces) -> None:
        """One file, durable on return."""
        with self.batch() as write:
            write(name, pieces)

    @contextmanager
    def batch(self) -> Iterator[Write]:
        """Files that are put in place, and durable, together when the context ends; none of them if it fails."""
        waiting: dict[Path, Path] = {}

        def write(name: str, pieces: Pieces) -> None:
            target = self.path(name)
            waiting[self._filled(target, pieces)] = target

        try:
            yield write
            for temporary, target in waiting.items():
                _flush_whole(temporary, target)
            changed: set[Path] = set()
            for temporary, target in waiting.items():
                with told(target):
                    changed |= _put(temporary, target)
            for folder in sorted(changed):
                with told(folder):
                    flush(folder)
        except BaseException:
            for temporary in waiting:
                with suppress(OSError):
                    temporary.unlink()
            raise

    def create(self, name: str, data: bytes) -> bool:
        """A link from the finished file to its name, which fails where the name is taken."""
        path = self.path(name)
        temporary = self._filled(path, data)
        try:
            with told(path):
                flush(temporary)
                changed = make_folders(path.parent)
                try:
                    os.link(temporary, path)
                except FileExistsError:
                    return False
                for folder in sorted(changed | {path.parent}):
                    flush(folder)
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def _filled(self, target: Path, pieces: Pieces) -> Path:
        """A new temporary file with the content that is to be at `target`; none if that fails."""
        temporary = Path(self.url) / TEMPORARY / token_hex(16)
        try:
            _fill(temporary, target, pieces)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return temporary

    def size(self, name: str) -> int | None:
        """Bytes of the file; None where there is none."""
        status = self._status(name)
        return None if status is None else status.st_size

    def tag(self, name: str) -> str | None:
        """Number, size and time of the file: replacing it changes the first, writing into it the others."""
        status = self._status(name)
        return None if status is None else _tag_of(status)

    def identity(self, name: str) -> tuple[int, str] | None:
        """Size and tag."""
        status = self._status(name)
        return None if status is None else (status.st_size, _tag_of(status))

    def _status(self, name: str) -> os.stat_result | None:
        path = self.path(name)
        try:
            with sought(path):
                status = path.stat()
        except FileNotFoundError:
            return None
        return status if stat.S_ISREG(status.st_mode) else None

    def delete(self, *names: str) -> None:
        """Unlink files, and the folders that are empty then; durable on return."""
        changed: set[Path] = set()
        for name in names:
            path = self.path(name)
            with suppress(FileNotFoundError), sought(path):
                path.unlink()
                changed.add(self._pruned(path.parent))
        for folder in sorted(changed):
            with suppress(FileNotFoundError), sought(folder):
                flush(folder)

    def _pruned(self, folder: Path) -> Path:
        """The nearest folder above that is not empty, once the others are gone."""
        root = Path(self.url)
        while folder != root:
            try:
                folder.rmdir()
            except OSError:
                break
            folder = folder.parent
        return folder

    def sweep(self) -> None:
        """Take away what killed writers left; for who knows, by a lease, that nobody else writes here."""
        with suppress(FileNotFoundError), sought(Path(self.url) / TEMPORARY):
            for entry in os.scandir(Path(self.url) / TEMPORARY):
                os.unlink(entry.path)


def _tag_of(status: os.stat_result) -> str:
    return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"


@contextmanager
def sought(path: Path) -> Iterator[None]:
    """As `told`, for who reads: what is missing stays a `FileNotFoundError`."""
    with told(path):
        try:
            yield
            return
        except (FileNotFoundError, NotADirectoryError) as error:
            missing = error
    raise FileNotFoundError(f"{path}: no such object") from missing


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what the system says into an error that names the file and the way out."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}; check the disk's space and the permissions") from error


def flush(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # how some network file systems say that they flush no folders
            raise
    finally:
        os.close(descriptor)


def make_folders(folder: Path) -> set[Path]:
    """Make the folder and those above it; returns the ones that have a new name in them."""
    if folder.is_dir():
        return set()
    changed = make_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    return changed | {folder.parent}


def _fill(temporary: Path, target: Path, pieces: Pieces) -> None:
    """Write a new file and have the kernel begin to write it back; errors of who makes the pieces pass unchanged."""
    with told(target):
        temporary.parent.mkdir(parents=True, exist_ok=True)
        file = open(temporary, "xb", buffering=0)  # noqa: SIM115 - closed below, errors told apart
    with file:
        for piece in [pieces] if isinstance(pieces, bytes) else pieces:
            rest = memoryview(piece)
            with told(target):
                while rest:
                    rest = rest[file.write(rest) :]
        with told(target):
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _put(temporary: Path, target: Path) -> set[Path]:
    """Rename into place; again where somebody pruned the folder meanwhile. Returns the folders that changed."""
    changed: set[Path] = set()
    for _ in range(_ATTEMPTS):
        try:
            changed |= make_folders(target.parent)
            os.replace(temporary, target)
            return changed | {target.parent}
        except FileNotFoundError as error:
            missing = error
            if not temporary.exists():
                raise _swept(target) from error
    raise missing


def _flush_whole(temporary: Path, target: Path) -> None:
    with told(target):
        try:
            flush(temporary)
        except FileNotFoundError as error:
            raise _swept(target) from error


def _swept(target: Path) -> StoreError:
    return StoreError(f"{target}: its temporary file was swept away; another conversion has begun, wait for it to end")

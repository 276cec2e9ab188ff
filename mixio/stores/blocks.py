"""A folder of blocks with a limit to its bytes, shared by all processes of a machine.

    blocks/ab/ab12...    a crc32c of the block's name and its bytes, then its bytes; put there by renaming
    parts/ab12...        a block that is being brought, locked by who brings it
    lock                 held by who takes the least recently used away

A block is believed if its checksum is right and thrown away if not, so a torn or rotten one costs a download and no
more. Locks end with their holder, whatever kills it; a part that nobody holds is swept at the next opening. A process
looks at the whole folder when it has written a 64th of the limit, and makes room down to 15 / 16 of it: with up to
four writers the limit holds but for the blocks in their hands, each further one may add a 64th. Where the folder cannot
be read or written, what it would have kept is read from afar, and a warning says so once.
"""

import fcntl
import os
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mixio.blob import extend_crc32c
from mixio.errors import MixioWarning

_CRC_BYTES = 4
_PAGE = 4096
"""What a small file takes of a disk."""
NOBODY = -1
"""In place of a claim where the folder cannot be written: what was brought is not kept."""


class BlockFolder:
    """Blocks by their names, hexadecimal words of one length."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder, self.limit_bytes = folder, limit_bytes
        self._written = 0
        self._has_warned = False
        try:
            (folder / "parts").mkdir(parents=True, exist_ok=True)
            self._sweep()
            self._trim()
        except OSError as error:
            self._warn(error)

    def get(self, name: str) -> bytes | None:
        """The block, which is then the most recently used; None if it is not there or not what was put there."""
        path = self._path(name)
        try:
            with path.open("rb", buffering=0) as file:
                data = file.readall()
                with suppress(OSError):  # a folder that can only be read
                    os.utime(file.fileno())
        except FileNotFoundError:
            return None
        except OSError as error:
            self._warn(error)
            return None
        if data[:_CRC_BYTES] != _checksum(name, data[_CRC_BYTES:]):
            self.drop(name)
            return None
        return data[_CRC_BYTES:]

    def drop(self, name: str) -> None:
        """Take a block away."""
        try:
            self._path(name).unlink(missing_ok=True)
        except OSError as error:
            self._warn(error)

    def claim(self, name: str) -> int | None:
        """A claim to bring the block, to be given to `release`; None while somebody else has one."""
        path = self.folder / "parts" / name
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            self._warn(error)
            return NOBODY
        try:
            if _locked(descriptor) and _is_at(descriptor, path):
                return descriptor
        except OSError as error:
            os.close(descriptor)
            self._warn(error)
            return NOBODY
        os.close(descriptor)
        return None

    def keep(self, name: str, claim: int, data: bytes) -> None:
        """Put the block there that was claimed."""
        if claim == NOBODY:
            return
        path = self._path(name)
        try:
            os.ftruncate(claim, 0)
            rest = memoryview(_checksum(name, data) + data)
            while rest:
                rest = rest[os.write(claim, rest) :]
            path.parent.mkdir(parents=True, exist_ok=True)
            os.rename(self.folder / "parts" / name, path)
            self._written += _on_disk(len(data) + _CRC_BYTES)
            if self._written >= self.limit_bytes // 64:
                self._trim()
        except OSError as error:
            self._warn(error)

    def release(self, name: str, claim: int) -> None:
        """Give a claim back, whether the block was kept or not."""
        if claim == NOBODY:
            return
        path = self.folder / "parts" / name
        with suppress(OSError):
            if _is_at(claim, path):
                path.unlink()
        # A child forked meanwhile has this descriptor too, and closing ours alone would leave the lock to it.
        with suppress(OSError):
            fcntl.flock(claim, fcntl.LOCK_UN)
        os.close(claim)

    def _path(self, name: str) -> Path:
        return self.folder / "blocks" / name[:2] / name

    def _sweep(self) -> None:
        """Take away the parts that nobody holds."""
        with os.scandir(self.folder / "parts") as entries:
            for entry in entries:
                with suppress(FileNotFoundError, IsADirectoryError):  # whatever else lies there is not ours
                    descriptor = os.open(entry.path, os.O_RDWR | os.O_CLOEXEC)
                    try:
                        if _locked(descriptor) and _is_at(descriptor, Path(entry.path)):
                            os.unlink(entry.path)
                    finally:
                        os.close(descriptor)

    def _trim(self) -> None:
        """Make room, unless somebody else is about it."""
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if not _locked(descriptor):
                return
            blocks = sorted(self._all())
            excess = sum(size for _, size, _ in blocks) - (self.limit_bytes - self.limit_bytes // 16)
            for _, size, path in blocks:
                if excess <= 0:
                    break
                with suppress(FileNotFoundError):
                    os.unlink(path)
                excess -= size
            self._written = 0
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    def _all(self) -> Iterator[tuple[int, int, str]]:
        """When each block was last used, its bytes and its path."""
        with suppress(FileNotFoundError), os.scandir(self.folder / "blocks") as groups:
            for group in groups:
                with suppress(FileNotFoundError, NotADirectoryError), os.scandir(group.path) as entries:
                    for entry in entries:
                        with suppress(FileNotFoundError):
                            status = entry.stat()
                            if entry.is_file():  # whatever else lies there is not ours
                                yield status.st_mtime_ns, _on_disk(status.st_size), entry.path

    def _warn(self, error: OSError) -> None:
        if not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"{self.folder}: the cache cannot be used ({error.strerror or error}), so bytes are read from afar "
                "again; mend its permissions or its disk's space",
                MixioWarning,
                stacklevel=2,
            )

    def __reduce__(self) -> tuple[type["BlockFolder"], tuple[Path, int]]:
        return BlockFolder, (self.folder, self.limit_bytes)


def _checksum(name: str, data: bytes) -> bytes:
    return extend_crc32c(extend_crc32c(0, name.encode()), data).to_bytes(_CRC_BYTES, "little")


def _on_disk(nbytes: int) -> int:
    return -(-nbytes // _PAGE) * _PAGE


def _locked(descriptor: int) -> bool:
    """Whether we have the lock now; another `OSError` than somebody else's lock is a file system without locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file still lies at the path: it may have been renamed or unlinked before it was locked."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False

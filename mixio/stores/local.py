"""A folder."""

import os
from collections.abc import Iterable
from pathlib import Path


class LocalStorage:
    """Files below a folder."""

    def __init__(self, location: str | Path) -> None:
        self.url = str(location)
        self._root = Path(location)

    def read(self, name: str) -> bytes:
        return (self._root / name).read_bytes()

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        with open(self._root / name, "rb") as file:
            file.seek(offset)
            return file.read(length)

    def write(self, name: str, pieces: bytes | Iterable[bytes]) -> None:
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".tmp")
        with open(temporary, "wb") as file:
            for piece in [pieces] if isinstance(pieces, bytes) else pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)

    def create(self, name: str, data: bytes) -> bool:
        try:
            with open(self._root / name, "xb") as file:
                file.write(data)
        except FileExistsError:
            return False
        return True

    def size(self, name: str) -> int | None:
        try:
            return (self._root / name).stat().st_size
        except FileNotFoundError:
            return None

    def delete(self, name: str) -> None:
        (self._root / name).unlink(missing_ok=True)

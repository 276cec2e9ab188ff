"""An append-only list of lines that survives a kill at any instant."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from mixio.blob import crc32c
from mixio.stores.storage import Storage

Position = tuple[int, int]


def open_log(storage: Storage, name: str) -> "Log":
    """The log of this name."""
    return Log(Path(storage.url) / f"{name}.jsonl")


class Log:
    """One file: a checksum, a space and the line, each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damaged = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(path, len(whole))

    def __iter__(self) -> Iterator[tuple[Position, bytes]]:
        offset = 0
        with self._path.open("rb") as file:
            for raw in file:
                position = offset, len(raw)
                offset += len(raw)
                line = raw[9:-1]
                if raw[:8] != crc32c(line).hex().encode():
                    self.damaged += 1
                    continue
                yield position, line

    def read(self, position: Position) -> bytes:
        with self._path.open("rb") as file:
            file.seek(position[0])
            return file.read(position[1])[9:-1]

    def append(self, lines: Sequence[bytes]) -> list[Position]:
        positions = []
        with self._path.open("ab") as file:
            for line in lines:
                raw = crc32c(line).hex().encode() + b" " + line + b"\n"
                positions.append((file.tell(), len(raw)))
                file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        return positions

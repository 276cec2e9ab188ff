"""What a conversion has finished, so that an interrupted one goes on where it was.

One line of JSON per finished volume, appended and flushed when the volume is in its place. A last line torn by a
crash is ignored, and its volume converted again. A source whose size or time of change differs from the line's
is converted again too.
"""

import json
import os
from pathlib import Path
from typing import Any

from mixio.manifest import Row, row_from_dict, row_to_dict

FOLDER = ".mixio"


class Journal:
    """The finished volumes of the store at `root`, by source name hash."""

    def __init__(self, root: Path) -> None:
        self._path = root / FOLDER / "journal.jsonl"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lines: dict[str, dict[str, Any]] = {}
        self._drop_torn_line()
        for line in self._path.read_text().splitlines():
            entry = json.loads(line)
            self._lines[entry["row"]["source"]] = entry

    def _drop_torn_line(self) -> None:
        self._path.touch()
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(self._path, len(whole))

    def finished(self, source: str, stamp: list[int]) -> bool:
        """Whether this source was converted, and has not changed since."""
        entry = self._lines.get(source)
        return entry is not None and entry["stamp"] == stamp

    def add(self, row: Row, stamp: list[int]) -> None:
        """Record a volume that is in its place."""
        entry = {"stamp": stamp, "row": row_to_dict(row)}
        with self._path.open("a") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._lines[row.source] = entry

    def rows(self) -> list[Row]:
        """All rows so far, the latest of each source."""
        return [row_from_dict(entry["row"]) for entry in self._lines.values()]


def stamp_of(path: Path) -> list[int]:
    """Size in bytes and time of change in ns: what tells that a file is the one seen before."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]

"""Files of one JSON object a line, which a kill at any moment leaves readable.

A line is added by one write, so that it is there or not; what a crash tore all the same ends without a newline, is no
line to who reads, and is cut off before the next one is added. One writer at a time.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any


def append_object(path: str | os.PathLike[str], value: Mapping[str, Any]) -> None:
    """Add one line, which is on disk on return; makes the file and its folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as file:
        _drop_torn_line(file)
        file.write(json.dumps(value).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_objects(path: str | os.PathLike[str]) -> list[Any]:
    """All whole lines, oldest first; `ValueError` if one of them is not JSON."""
    return [json.loads(line) for line in Path(path).read_bytes().split(b"\n")[:-1] if line.strip()]


def _drop_torn_line(file: IO[bytes]) -> None:
    if file.tell() == 0:
        return
    file.seek(-1, os.SEEK_END)
    if file.read(1) != b"\n":
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)

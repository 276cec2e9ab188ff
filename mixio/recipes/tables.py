"""Tables of sources as text: `.csv` or `.jsonl`, with the columns that are used."""

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

from mixio.errors import InvalidArgument
from mixio.recipes.layout import Row

SUFFIXES = (".csv", ".jsonl")
_COLUMNS = ("path", "domain", "modality", "subject", "split", "target", "unit", "item", "spacing")


def as_csv(rows: Sequence[Row]) -> str:
    """The rows as CSV, known columns first, then the labels in order of their names."""
    used = {name for row in rows for name in row}
    columns = [name for name in _COLUMNS if name in used] + sorted(used.difference(_COLUMNS))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_table(rows: Sequence[Row], table: Path) -> None:
    """Write the rows, their absolute paths made relative to the table's folder, in one rename.

    Raises `InvalidArgument` for another suffix than `.csv` or `.jsonl`.
    """
    if table.suffix.lower() not in SUFFIXES:
        raise InvalidArgument(f"{table}: a table is written as {' or '.join(SUFFIXES)}; name it so")
    relative = [_relative(row, table.resolve().parent) for row in rows]
    is_csv = table.suffix.lower() == ".csv"
    text = as_csv(relative) if is_csv else "".join(json.dumps(row) + "\n" for row in relative)
    temporary = table.with_name(f"{table.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, table)


def _relative(row: Row, folder: Path) -> Row:
    """The row with its path and labels relative to a folder."""
    is_path = {name for name in row if name == "path" or name.partition(":")[0] == "label"}
    return {n: Path(os.path.relpath(value, folder)).as_posix() if n in is_path else value for n, value in row.items()}

"""What the recipes share: how a folder is looked through, and what a row and a domain are called.

Hidden files are passed over everywhere: macOS leaves a `._NAME` beside every NAME that it unpacks.
"""

import csv
import re
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Protocol

from mixio.errors import InvalidArgument

Row = dict[str, str]

NIFTI = (".nii.gz", ".nii")
_BRAIN_DOMAINS = {
    "t1w": "brain-t1",
    "t1n": "brain-t1",
    "t1": "brain-t1",
    "t1c": "brain-t1c",
    "t1gd": "brain-t1c",
    "t2w": "brain-t2",
    "t2": "brain-t2",
    "t2f": "brain-flair",
    "flair": "brain-flair",
    "pdw": "brain-pd",
    "pd": "brain-pd",
    "t2starw": "brain-t2star",
    "t2star": "brain-t2star",
    "inplanet1": "brain-t1-inplane",
    "inplanet2": "brain-t2-inplane",
    "angio": "brain-mra",
}


class Recipe(Protocol):
    """A module of this package. `EXPECTED` says which folder it wants, `FLAGS` what `mixio convert` must be told."""

    EXPECTED: str
    FLAGS: str

    def rows(self, root: Path) -> Iterator[Row]:
        """A row per volume, paths absolute; nothing where the folder is another one."""
        ...


def row(path: Path, domain: str, **columns: str | Path | None) -> Row:
    """A row of the table of sources, less the columns that are None; `label__x` is the column `label:x`."""
    given = {name.replace("__", ":", 1): str(value) for name, value in columns.items() if value not in (None, "")}
    return {"path": str(path), "domain": domain, **given}


def volumes(folder: Path, pattern: str = "*") -> list[Path]:
    """The NIfTI files in the folder that the pattern matches (`**/*` for all below), hidden ones left out, sorted."""
    return [p for p in visible(folder, pattern) if p.name.lower().endswith(NIFTI)]


def visible(folder: Path, pattern: str) -> list[Path]:
    """What the pattern matches in the folder, less what is hidden or lies in a hidden folder, sorted."""
    return sorted(p for p in folder.glob(pattern) if not any(n.startswith(".") for n in p.relative_to(folder).parts))


def stem(path: Path) -> str:
    """The file name without `.nii.gz` or another suffix."""
    return path.name.removesuffix(".gz").removesuffix(".nii") if path.name.endswith(NIFTI) else path.stem


def beside(folder: Path, name: str) -> Path | None:
    """The file `name.nii.gz` or `name.nii` in the folder; None if there is neither."""
    return next((p for p in (folder / f"{name}{suffix}" for suffix in NIFTI) if p.is_file()), None)


def brain_domain(sequence: str) -> str:
    """The domain of a sequence by its name in the file: T1w is `brain-t1`, t2f is `brain-flair`, FA is `brain-fa`."""
    known = _BRAIN_DOMAINS.get(sequence.lower())
    return known or "brain-" + "-".join(re.findall(r"[a-z0-9]+", sequence.lower()))


def number(text: str) -> str | None:
    """A number as a class: `0.0` is `0`, `0.50` is `0.5`; None for what is none, such as `N/A`."""
    try:
        value = float(text)
    except ValueError:
        return None
    return f"{value:g}" if isfinite(value) else None


def read_csv(path: Path, *needed: str, delimiter: str = ",") -> list[dict[str, str]]:
    """The rows of a table that comes with a data set; raises `InvalidArgument` if a needed column is missing."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, delimiter=delimiter)
            rows = [{name: value or "" for name, value in line.items() if name} for line in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidArgument(f"{path}: not a readable table ({error}); fetch it again") from error
    missing = [name for name in needed if name not in (reader.fieldnames or [])]
    if missing:
        raise InvalidArgument(f"{path}: expected a column {missing[0]!r}, got {', '.join(reader.fieldnames or [])}")
    return rows

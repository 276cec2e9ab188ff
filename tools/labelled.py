"""Images with what is to be learned of them: a label map or a class each, and who was scanned.

A folder has `images/` and `labels/`, or `imagesTr/` and `labelsTr/` as the Medical Segmentation Decathlon names them;
a label map belongs to the image of the same file name. A table has the columns `image` and `label`, or `image` and
`class`, and optionally `subject`, `split` (train, val or test), `modality` and `unit`; paths are relative to it.
Without a subject a file is a subject of its own. Without a split subjects are held out by a hash of their names
and the seed of the split, as `mixio convert` does it: adding cases moves none, and no subject is in two splits.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixio.errors import InvalidArgument, listed
from mixio.readers import is_volume, stem_of
from mixio.row import SPLITS
from mixio.sources import MODALITIES
from mixio.splits import split_of

FOLDERS = (("images", "labels"), ("imagesTr", "labelsTr"))
COLUMNS = ("image", "label", "class", "subject", "split", "modality", "unit")


@dataclass(frozen=True)
class Case:
    """One image, with a label map to segment it by or the name of the class it belongs to."""

    name: str
    image: Path
    subject: str
    label: Path | None = None
    target: str | None = None
    split: str | None = None
    modality: str | None = None
    unit: str | None = None


def read_cases(location: Path) -> list[Case]:
    """The cases of a folder or a table, by name; all have a label map, or all a class.

    Raises `InvalidArgument` if there are none, or naming the file or row at fault.
    """
    if not location.exists():
        raise InvalidArgument(f"{location}: no such file or folder; give a folder with images/ and labels/, or a .csv")
    cases = sorted(_of_folder(location) if location.is_dir() else _of_table(location), key=lambda case: case.name)
    if not cases:
        raise InvalidArgument(f"{location}: no pairs of an image and its label; expected images/ and labels/, or rows")
    if twice := sorted(name for name, times in Counter(case.name for case in cases).items() if times > 1):
        raise InvalidArgument(f"{location}: listed twice: {listed(twice)}; keep one of each")
    return cases


def in_splits(cases: Sequence[Case], *, seed: int, val_fraction: float) -> dict[str, list[Case]]:
    """The cases by split; `train` and `val` are there, `test` if the table names it.

    A subject goes where any of its rows says, else where its name and the seed say. Raises `InvalidArgument` if a
    subject is named in two splits, or if no case is left to train or to measure on.
    """
    named: dict[str, str] = {}
    for case in cases:
        if case.split and named.setdefault(case.subject, case.split) != case.split:
            raise InvalidArgument(
                f"subject {case.subject!r} is in the splits {named[case.subject]!r} and {case.split!r}; "
                "all cases of a subject belong to one"
            )
    splits: dict[str, list[Case]] = {"train": [], "val": []}
    for case in cases:
        split = named.get(case.subject) or split_of(case.subject, seed=seed, val_fraction=val_fraction)
        splits.setdefault(split, []).append(case)
    for split in ("train", "val"):
        if not splits[split]:
            raise InvalidArgument(
                f"no case in the split {split}: the {len(cases)} cases are of "
                f"{len({case.subject for case in cases})} subjects; choose another --split-seed or --val-fraction, "
                "or name the splits in a column split"
            )
    return splits


def _of_folder(folder: Path) -> Iterator[Case]:
    for names in FOLDERS:
        images, labels = (folder / name for name in names)
        if images.is_dir() and labels.is_dir():
            break
    else:
        raise InvalidArgument(f"{folder}: no pairs there; expected the folders images/ and labels/, or a .csv")
    of_image, of_label = (_volumes(place) for place in (images, labels))
    if alone := sorted(of_image.keys() ^ of_label.keys()):
        raise InvalidArgument(
            f"{folder}: no pairs for {listed(alone)}; an image and its label map have one file name, "
            "so add what is missing or take the rest away"
        )
    return (Case(name, of_image[name], name, label=of_label[name]) for name in of_image)


def _volumes(folder: Path) -> dict[str, Path]:
    """The volumes of a folder by their name without suffix; hidden files are none."""
    return {stem_of(path): path for path in folder.iterdir() if is_volume(path) and not path.name.startswith(".")}


def _of_table(table: Path) -> Iterator[Case]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidArgument(f"{table}: not a readable table ({error}); expected a .csv") from error
    for number, row in enumerate(rows, start=1):
        values = {name: (row.get(name) or "").strip() for name in COLUMNS}
        yield _of_row({name: value for name, value in values.items() if value}, table, f"{table.name} row {number}")
    kinds = {bool(row.get("label")) for row in rows}
    if len(kinds) > 1:
        raise InvalidArgument(f"{table}: some rows have a label map and some a class; split the table in two")


def _of_row(values: dict[str, str], table: Path, where: str) -> Case:
    if "image" not in values or ("label" in values) == ("class" in values):
        raise InvalidArgument(
            f"{where}: expected an image, and either a label map in the column label or a name in the column class"
        )
    for name, known in (("split", SPLITS), ("modality", MODALITIES)):
        if values.get(name, known[0]) not in known:
            raise InvalidArgument(f"{where}: {name} {values[name]!r} is not one of {', '.join(known)}")
    return Case(
        name=values["image"],
        image=table.parent / values["image"],
        subject=values.get("subject", values["image"]),
        label=table.parent / values["label"] if "label" in values else None,
        target=values.get("class"),
        split=values.get("split"),
        modality=values.get("modality"),
        unit=values.get("unit"),
    )

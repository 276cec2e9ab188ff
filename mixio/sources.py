"""What to convert: a table of sources, or a folder of domains.

A table (`.csv`, `.jsonl`, `.parquet`) has one volume a row. `path` and `domain` are needed; `modality`,
`subject`, `split`, `target`, `unit`, `key`, `item`, `spacing`, `label` and `label:<name>` are understood; other
columns are ignored. A path is a file, a folder of DICOM, or a URL; it is relative to the table. `item` names one part
of a file that holds several, and `spacing` is that of a file that does not say it. A folder has one subfolder a
domain, with the volumes in it, and subfolders of DICOM; links are followed, and what is hidden is passed over.
"""

import csv
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mixio.errors import InvalidArgument
from mixio.readers import is_volume, stem_of, walk
from mixio.row import SPLITS

MODALITIES = ("CT", "MR", "PET")
TABLES = (".csv", ".jsonl", ".parquet")
Spacing = tuple[float, float, float]
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_KEY = re.compile(r"[A-Za-z0-9._-]+")
_LONGEST_KEY = 150
"""What file systems and tars bear, suffixes and names of parts included."""
_MODALITY_WORDS = {"ct": "CT", "pet": "PET", "mr": "MR", "mri": "MR", "t1": "MR", "t2": "MR", "flair": "MR"}


@dataclass(frozen=True, slots=True)
class Source:
    """One volume to convert; `name` is its path as the table gives it, by which it is recognised later.

    `item` is the part of the file (a frame's number, or `array/number` in an archive); then `name` is `path#item`.
    `spacing` in mm is that of a file that says nothing of it. With a `url`, `path` is only its last component.
    `has_subject` says that the table names the subject; else it is the file's name.
    """

    path: Path
    name: str
    domain: str
    subject: str
    modality: str | None = None
    split: str | None = None
    target: str | None = None
    unit: str | None = None
    key: str | None = None
    labels: dict[str, Path] = field(default_factory=dict)
    item: str | None = None
    spacing: Spacing | None = None
    url: str | None = None
    has_subject: bool = False


@dataclass(frozen=True)
class Names:
    """What is kept of a source's names: all of it, or salted hashes."""

    salt: str
    keep: bool

    def key(self, name: str, domain: str) -> str:
        """The key of a volume in its domain: from its path, less the folder that repeats the domain."""
        if self.keep:
            parts = Path(name).with_name(_key_stem(Path(name).name)).parts
            parts = parts[1:] if len(parts) > 1 and slug(parts[0]) == domain else parts
            key = re.sub(r"[^A-Za-z0-9._-]", "_", "_".join(parts))
            key = f"{key[:-4]}_tar" if key.endswith(".tar") else key
            return key if len(key) <= _LONGEST_KEY else f"{key[:100]}_{self._hash(name)[:12]}"
        return f"case-{self._hash(name)[:12]}"

    def subject(self, name: str) -> str:
        """The subject as the manifest names it."""
        return _as_text(name) if self.keep else f"subject-{self._hash(name)[:12]}"

    def source(self, name: str) -> str:
        """The source as the manifest names it."""
        return _as_text(name) if self.keep else self._hash(name)[:32]

    def _hash(self, name: str) -> str:
        return hashlib.sha256(f"{self.salt}\0{name}".encode(errors="surrogateescape")).hexdigest()


def _as_text(name: str) -> str:
    r"""The name as UTF-8 can hold it: a byte of a file name that is no text becomes `\\udc` and its hex digits."""
    return name.encode(errors="backslashreplace").decode()


def read_sources(location: Path) -> list[Source]:
    """The sources of a table or a folder, in its order; raises `InvalidArgument` naming the row at fault."""
    if not location.exists():
        raise InvalidArgument(f"{location}: no such file or folder; give a table of sources or a folder of domains")
    if location.is_dir():
        sources = _from_folder(location)
    elif location.suffix.lower() not in TABLES:
        raise InvalidArgument(f"{location}: a table of sources is one of {', '.join(TABLES)}")
    else:
        try:
            sources = [_source(row, location, number) for number, row in enumerate(_rows(location), start=1)]
        except InvalidArgument:
            raise
        except (ValueError, csv.Error) as error:
            raise InvalidArgument(f"{location}: not a readable table ({error})") from error
    if not sources:
        raise InvalidArgument(f"{location}: holds no volumes; expected <domain>/*.nii.gz or a table with rows")
    twice = [name for name, n in Counter(source.name for source in sources).items() if n > 1]
    if twice:
        raise InvalidArgument(f"{location}: {twice[0]} is listed {Counter(s.name for s in sources)[twice[0]]} times")
    _refuse_one_name_for_many(sources, location)
    return sources


def _refuse_one_name_for_many(sources: list[Source], location: Path) -> None:
    """Files of one name in several folders would be one subject if nothing says who they are of."""
    subjects: dict[str, list[Source]] = {}
    for source in sources:
        subjects.setdefault(source.domain, []).append(source)
    for domain, members in subjects.items():
        places: dict[str, set[str]] = {}
        for source in members:
            if not source.has_subject:
                places.setdefault(source.subject, set()).add((source.url or str(source.path)).rpartition("/")[0])
        for stem, folders in places.items():
            if len(folders) > 1:
                raise InvalidArgument(
                    f"{location}: volumes of {domain} in {len(folders)} folders are named {stem!r}; "
                    "say whose they are in a column subject"
                )


def slug(text: str) -> str:
    """The nearest valid domain name."""
    return "-".join(re.findall(r"[a-z0-9]+", text.lower()))


def _stem(path: Path) -> str:
    """The name without its format suffix; a folder's that ends in a number, such as `1.2.840.10008`, has none."""
    return path.name if path.suffix[1:].isdigit() else stem_of(path)


def _key_stem(name: str) -> str:
    """The name of a source without its format suffix: `scan.nii.gz#2` is `scan_2`."""
    file, mark, item = name.rpartition("#")
    has_item = mark and Path(file).suffix and not is_volume(Path(name))
    return f"{_stem(Path(file))}_{item}" if has_item else _stem(Path(name))


def _from_folder(folder: Path) -> list[Source]:
    try:
        paths = sorted(_volumes_in(folder))
    except OSError as error:
        raise InvalidArgument(
            f"{error.filename}: cannot be looked into ({error.strerror}); mend that, or list the volumes in a table"
        ) from error
    sources = []
    for path in paths:
        if len(path.relative_to(folder).parts) != 2:
            raise InvalidArgument(
                f"{path} is not at <domain>/<file> in {folder}, nor a folder of DICOM at <domain>/<case>, "
                "so its domain is unclear; list the volumes in a table"
            )
    for path in paths:
        domain = slug(path.relative_to(folder).parts[0])
        if not domain:
            raise InvalidArgument(f"{path.parent}: cannot be made a domain name; rename it with letters a-z and digits")
        name = path.relative_to(folder).as_posix()
        sources.append(Source(path, name, domain, _stem(path), _guess_modality(domain)))
    return sources


def _volumes_in(folder: Path) -> list[Path]:
    """The files that are volumes by name, and the folders that hold DICOM: by name, or two levels down by content."""
    found = []
    for here, every in walk(folder):
        names = [name for name in every if not name.startswith(".")]
        volumes = [here / name for name in names if is_volume(Path(name))]
        found += volumes
        others = [here / name for name in names if not is_volume(Path(name))]
        depth = len(here.relative_to(folder).parts)
        dicom = (p for p in others if p.name.lower().endswith(".dcm") or (depth == 2 and _is_dicom(p)))
        first = next(dicom, None)
        if first:
            found.append(here if depth else first)
    return found


def _is_dicom(path: Path) -> bool:
    """Whether the file has the DICOM magic after its preamble of 128 bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _rows(table: Path) -> Iterator[Any]:
    """The rows one by one, for a table may have millions."""
    if table.suffix.lower() == ".parquet":
        from mixio.stores.parquet import read_table  # it loads pyarrow

        yield from read_table(table)
    elif table.suffix.lower() == ".jsonl":
        with table.open(encoding="utf-8") as lines:
            yield from (json.loads(line) for line in lines if line.strip())
    else:
        with table.open(newline="", encoding="utf-8-sig") as file:
            yield from csv.DictReader(file)


def _source(row: Any, table: Path, number: int) -> Source:
    if not isinstance(row, dict):
        raise InvalidArgument(f"{table.name} row {number}: expected an object with path and domain, got {row!r}")
    where = f"{table.name} row {number}"
    if row.get(None):
        raise InvalidArgument(f"{where}: has more fields than the table has columns; quote those that hold a comma")
    values = {name: str(value).strip() for name, value in row.items() if not _is_empty(value)}
    for needed in ("path", "domain"):
        if needed not in values:
            raise InvalidArgument(f"{where}: no {needed}; columns path and domain are needed in every row")
    _check(values, where)
    url = values["path"] if "://" in values["path"] else None
    path = Path(Path(urlsplit(url).path).name) if url else table.parent / values["path"]
    item = values.get("item")
    labels = {
        name.partition(":")[2] or "label": table.parent / value
        for name, value in values.items()
        if name == "label" or name.startswith("label:")
    }
    return Source(
        path=path,
        name=f"{values['path']}#{item}" if item else values["path"],
        domain=values["domain"],
        subject=values.get("subject", _stem(path)),
        modality=values.get("modality") or _guess_modality(values["domain"]),
        split=values.get("split"),
        target=values.get("target"),
        unit=values.get("unit"),
        key=values.get("key"),
        labels=labels,
        item=item,
        spacing=_spacing(values["spacing"], where) if "spacing" in values else None,
        url=url,
        has_subject="subject" in values,
    )


def _is_empty(value: Any) -> bool:
    """Whether a cell says nothing: an empty one, or the NaN by which a data frame says so."""
    return value is None or value != value or not str(value).strip()


def _check(values: dict[str, str], where: str) -> None:
    domain, modality, split, key = (values.get(n) for n in ("domain", "modality", "split", "key"))
    if domain is None or not _SLUG.fullmatch(domain):
        raise InvalidArgument(f"{where}: domain {domain!r} is not a lower-case slug; use {slug(domain or '')!r}")
    if modality is not None and modality not in MODALITIES:
        raise InvalidArgument(f"{where}: modality {modality!r} is not one of {', '.join(MODALITIES)}")
    if split is not None and split not in SPLITS:
        raise InvalidArgument(f"{where}: split {split!r} is not one of {', '.join(SPLITS)}")
    names = [key] if key else []
    names += [name.partition(":")[2] for name in values if name.startswith("label:")]
    if "label" in values and "label" in names:
        raise InvalidArgument(f"{where}: has both columns label and label:label; keep one")
    for name, value in values.items():
        if name != "path" and _as_text(value) != value:
            raise InvalidArgument(f"{where}: {name} {value!r} is not text that UTF-8 can hold")
        if (name == "label" or name.startswith("label:")) and "://" in value:
            raise InvalidArgument(f"{where}: {name} {value} is a URL; a label map is read from a file, fetch it first")
    for name in names:
        if not _KEY.fullmatch(name) or set(name) == {"."} or name == "zarr.json":
            raise InvalidArgument(f"{where}: {name!r} is not a valid key; use letters, digits, '.', '_' and '-'")
        if len(name) > _LONGEST_KEY or name.endswith(".tar"):
            raise InvalidArgument(f"{where}: {name!r} is not a valid key; it must be shorter, and not end in .tar")


def _spacing(text: str, where: str) -> Spacing:
    """Millimeters along the three axes, from `1.0x1.0x2.5`, `1.0,1.0,2.5` or a list."""
    try:
        x, y, z = (float(number) for number in re.split("[x,]", text.strip("[]()")))
    except ValueError:
        x = y = z = 0.0
    if not (min(x, y, z) > 0 and isfinite(x + y + z)):
        raise InvalidArgument(f"{where}: spacing {text!r} is not three positive numbers in mm, such as 1.0x1.0x2.5")
    return x, y, z


def _guess_modality(domain: str) -> str | None:
    found = {_MODALITY_WORDS[word] for word in domain.split("-") if word in _MODALITY_WORDS}
    return found.pop() if len(found) == 1 else None

"""What to convert: a table of sources, or a folder of domains.

A table (`.csv`, `.jsonl`, `.parquet`) has one volume a row. `path` and `domain` are needed; `modality`,
`subject`, `split`, `target`, `unit`, `key`, `label` and `label:<name>` are understood; other columns are ignored.
Paths are relative to the table. A folder has one subfolder a domain, with the volumes in it.
"""

import csv
import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixio.errors import InvalidArgument
from mixio.manifest import read_table
from mixio.readers import is_volume, stem_of

MODALITIES = ("CT", "MR", "PET")
SPLITS = ("train", "val", "test")
TABLES = (".csv", ".jsonl", ".parquet")
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_KEY = re.compile(r"[A-Za-z0-9._-]+")
_MODALITY_WORDS = {"ct": "CT", "pet": "PET", "mr": "MR", "mri": "MR", "t1": "MR", "t2": "MR", "flair": "MR"}


@dataclass(frozen=True)
class Source:
    """One volume to convert; `name` is its path as the table gives it, by which it is recognised later."""

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


@dataclass(frozen=True)
class Names:
    """What is kept of a source's names: all of it, or salted hashes."""

    salt: str
    keep: bool

    def key(self, name: str, domain: str) -> str:
        """The key of a volume in its domain: from its path, less the folder that repeats the domain."""
        if self.keep:
            parts = Path(name).with_name(stem_of(Path(name))).parts
            parts = parts[1:] if len(parts) > 1 and slug(parts[0]) == domain else parts
            return re.sub(r"[^A-Za-z0-9._-]", "_", "_".join(parts))
        return f"case-{self._hash(name)[:12]}"

    def subject(self, name: str) -> str:
        """The subject as the manifest names it."""
        return name if self.keep else f"subject-{self._hash(name)[:12]}"

    def source(self, name: str) -> str:
        """The source as the manifest names it."""
        return name if self.keep else self._hash(name)[:32]

    def _hash(self, name: str) -> str:
        return hashlib.sha256(f"{self.salt}\0{name}".encode(errors="surrogateescape")).hexdigest()


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
            rows = _rows(location)
        except (ValueError, csv.Error) as error:
            raise InvalidArgument(f"{location}: not a readable table ({error})") from error
        sources = [_source(row, location, number) for number, row in enumerate(rows, start=1)]
    if not sources:
        raise InvalidArgument(f"{location}: holds no volumes; expected <domain>/*.nii.gz or a table with rows")
    twice = [name for name, n in Counter(source.name for source in sources).items() if n > 1]
    if twice:
        raise InvalidArgument(f"{location}: {twice[0]} is listed {Counter(s.name for s in sources)[twice[0]]} times")
    _refuse_one_name_for_many(sources, location)
    return sources


def _refuse_one_name_for_many(sources: list[Source], location: Path) -> None:
    """A domain of many files of one name would be one subject if nothing says who they are of."""
    subjects: dict[str, list[Source]] = {}
    for source in sources:
        subjects.setdefault(source.domain, []).append(source)
    for domain, members in subjects.items():
        stems = {stem_of(source.path) for source in members}
        if len(members) > 1 and len(stems) == 1 and {source.subject for source in members} == stems:
            raise InvalidArgument(
                f"{location}: all {len(members)} volumes of {domain} are named {stems.pop()!r}; "
                "say whose they are in a column subject"
            )


def slug(text: str) -> str:
    """The nearest valid domain name."""
    return "-".join(re.findall(r"[a-z0-9]+", text.lower()))


def _from_folder(folder: Path) -> list[Source]:
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and is_volume(p))
    sources = []
    for path in paths:
        if len(path.relative_to(folder).parts) != 2:
            raise InvalidArgument(
                f"{path} is not at <domain>/<file> in {folder}, so its domain is unclear; list the volumes in a table"
            )
    for path in paths:
        domain = slug(path.relative_to(folder).parts[0])
        if not domain:
            raise InvalidArgument(f"{path.parent}: cannot be made a domain name; rename it with letters a-z and digits")
        name = path.relative_to(folder).as_posix()
        sources.append(Source(path, name, domain, stem_of(path), _guess_modality(domain)))
    return sources


def _rows(table: Path) -> list[dict[str, Any]]:
    if table.suffix.lower() == ".parquet":
        return read_table(table)
    if table.suffix.lower() == ".jsonl":
        return [json.loads(line) for line in table.read_text().splitlines() if line.strip()]
    with table.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def _source(row: Any, table: Path, number: int) -> Source:
    if not isinstance(row, dict):
        raise InvalidArgument(f"{table.name} row {number}: expected an object with path and domain, got {row!r}")
    values = {name: str(value).strip() for name, value in row.items() if name and value not in (None, "")}
    where = f"{table.name} row {number}"
    for needed in ("path", "domain"):
        if needed not in values:
            raise InvalidArgument(f"{where}: no {needed}; columns path and domain are needed in every row")
    _check(values, where)
    path = table.parent / values["path"]
    labels = {
        name.partition(":")[2] or "label": table.parent / value
        for name, value in values.items()
        if name == "label" or name.startswith("label:")
    }
    return Source(
        path=path,
        name=values["path"],
        domain=values["domain"],
        subject=values.get("subject", stem_of(path)),
        modality=values.get("modality") or _guess_modality(values["domain"]),
        split=values.get("split"),
        target=values.get("target"),
        unit=values.get("unit"),
        key=values.get("key"),
        labels=labels,
    )


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
    for name in names:
        if not _KEY.fullmatch(name) or set(name) == {"."} or name == "zarr.json":
            raise InvalidArgument(f"{where}: {name!r} is not a valid key; use letters, digits, '.', '_' and '-'")


def _guess_modality(domain: str) -> str | None:
    found = {_MODALITY_WORDS[word] for word in domain.split("-") if word in _MODALITY_WORDS}
    return found.pop() if len(found) == 1 else None

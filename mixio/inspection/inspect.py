"""What is in a store, as data: one summary per domain, and the settings and the quarantine of the whole.

One pass over the rows of the manifest, none of which is kept, and no file of a volume is opened, so that a store of
a million volumes is summarised as one of ten is. A few numbers per volume are kept until the end of its domain, for
medians and histograms; names are kept of a small sample alone, which a hash of the name chooses: the same store gives
the same sample, and adding volumes seldom changes it.
"""

from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from mixio.inspection.faults import Quarantine, read_quarantine
from mixio.inspection.tally import Domain, Tally
from mixio.store import Store

SAMPLE = 8
"""Volumes of each domain that are shown."""


@dataclass(frozen=True)
class Inspection:
    """What is in a store; `sample` names the volumes to show, by domain; `settings` are those it was made with."""

    store: str
    volumes: int
    subjects: int
    domains: tuple[Domain, ...]
    sample: dict[str, tuple[str, ...]]
    settings: dict[str, Any]
    quarantine: Quarantine

    @property
    def title(self) -> str:
        """The name of the store's folder."""
        return Path(self.store).resolve().name

    @property
    def keeps_names(self) -> bool:
        """Whether the names of sources may be shown."""
        return self.settings.get("keep_names") is True


def inspect_store(store: Store, *, sample: int = SAMPLE) -> Inspection:
    """Summarise a store; `sample` volumes of each domain are chosen to be shown."""
    everybody: set[str] = set()
    domains, samples = [], {}
    for domain, rows in groupby(store.manifest.rows(), key=attrgetter("domain")):
        tally, nearest = Tally(domain), _Nearest(sample)
        for row in rows:
            tally.add(row)
            nearest.add(row.name)
        everybody |= tally.subjects
        domains.append(tally.domain())
        samples[domain] = nearest.names()
    return Inspection(
        store=store.path,
        volumes=sum(domain.volumes for domain in domains),
        subjects=len(everybody),
        domains=tuple(sorted(domains, key=attrgetter("domain"))),
        sample=dict(sorted(samples.items())),
        settings=_settings(store),
        quarantine=read_quarantine(store.storage),
    )


def _settings(store: Store) -> dict[str, Any]:
    """The recorded settings; of the salt, only whether there is one."""
    settings = dict(store.attributes.get("settings", {}))
    return {**settings, "salt": "a secret one" if settings.get("salt") else "none"}


class _Nearest:
    """The `size` names whose hashes are smallest, of any number of them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: list[tuple[bytes, str]] = []

    def add(self, name: str) -> None:
        entry = (blake2b(name.encode(errors="surrogateescape"), digest_size=8).digest(), name)
        if len(self._kept) < self._size or (self._kept and entry < self._kept[-1]):
            self._kept = sorted([*self._kept, entry])[: self._size]

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(name for _, name in self._kept))

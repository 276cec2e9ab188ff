"""Which subjects are held out: by a hash of the subject, so that nothing else can move them.

A subject's place depends on its name and the split seed alone. The same subject is never in two splits, whatever
domains its scans belong to, and volumes added later never move an old one.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b

from mixio.errors import InvalidArgument
from mixio.sources import Source

_TRIES = 2_000


def split_of(subject: str, *, seed: int, val_fraction: float) -> str:
    """`val` for the given fraction of subjects, `train` for the others."""
    digest = blake2b(_bytes(subject), digest_size=8, key=seed.to_bytes(8, "little"), person=b"mixio.split").digest()
    return "val" if int.from_bytes(digest, "little") < val_fraction * 2**64 else "train"


def _bytes(name: str) -> bytes:
    return name.encode(errors="surrogateescape")  # file names need not be UTF-8


def explicit_splits(sources: Iterable[Source]) -> dict[str, str]:
    """The splits that the sources name themselves, by subject; a subject in two of them is refused."""
    chosen: dict[str, str] = {}
    for source in sources:
        if source.split is None:
            continue
        if chosen.setdefault(source.subject, source.split) != source.split:
            raise InvalidArgument(
                f"subject {source.subject!r} is in the splits {chosen[source.subject]!r} and {source.split!r}; "
                "a subject's scans belong to one split"
            )
    return chosen


def choose_seed(sources: Iterable[Source], *, val_fraction: float) -> int:
    """The smallest seed by which every domain of two subjects or more has some in train and some in val.

    With many subjects that is 0; with a handful a domain would often be left without held-out volumes.
    If no seed does, the one that serves most domains.
    """
    sources = list(sources)
    explicit = explicit_splits(sources)
    subjects: dict[str, set[str]] = {}
    for source in sources:
        subjects.setdefault(source.domain, set()).add(source.subject)
    open_domains = [names for names in subjects.values() if len(names) > 1 and not names <= explicit.keys()]
    best, best_served = 0, -1
    for seed in range(_TRIES if val_fraction > 0 else 1):
        served = sum(_is_served(names, explicit, seed, val_fraction) for names in open_domains)
        if served > best_served:
            best, best_served = seed, served
        if served == len(open_domains):
            break
    return best


def _is_served(names: set[str], explicit: Mapping[str, str], seed: int, val_fraction: float) -> bool:
    missing = {"train", "val"}
    for name in sorted(names):
        missing.discard(explicit.get(name) or split_of(name, seed=seed, val_fraction=val_fraction))
        if not missing:
            return True
    return False

"""What a disk delivers from the store's own files, past the page cache: the limit of a first reading.

The cache is bypassed by O_DIRECT where the file system takes it; else every range is dropped from the cache before it
is read, and believed only if the system then counts as many bytes fetched from a disk as were asked for.
"""

import mmap
import os
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tools.bench_system import fetched
from tools.bench_turns import Spread, in_turns, rate_of, spread_of

_ALIGNED = 4096
_SEQUENTIAL = 8 * 2**20
_MANY = 16
"""Requests that are in flight at once in the deep row; a spinning disk and a network need them as an SSD does."""
_AT_LEAST = 0.5


@dataclass(frozen=True)
class Disk:
    """Bytes a second: random reads of a chunk's size one at a time and 16 at a time, and reads in a row.

    Those in a row are of 8 MiB, or of what a file has left: `sequential_bytes` is their mean. `how` says how the cache
    was bypassed; where that could not be done the rates are None and `how` says why.
    """

    how: str
    read_bytes: int = 0
    random: Spread | None = None
    random_deep: Spread | None = None
    sequential: Spread | None = None
    sequential_bytes: int = 0

    @property
    def best_random(self) -> float | None:
        """Bytes a second of random reads at the better depth."""
        rates = [rate.median for rate in (self.random, self.random_deep) if rate is not None]
        return max(rates, default=None)


def measure_disk(files: Sequence[Path], chunk: float, *, seconds: float) -> Disk:
    """Measure on these files, with random reads of the mean chunk's bytes rounded up to what O_DIRECT takes."""
    nbytes = max(1, -(-int(chunk) // _ALIGNED)) * _ALIGNED
    large = [path for path in files if path.stat().st_size >= nbytes]
    if not large:
        return Disk("not measurable here: no file of the store is as long as one read")
    for how, read in (("O_DIRECT", _direct), ("posix_fadvise", _dropping)):
        if _is_honest(read, large, nbytes):
            return _measured(how, read, large, nbytes, seconds)
    return Disk("not measurable here: the file system lets nobody past its page cache")


_Read = Callable[[Path, int, int], int]
"""Reads about so many bytes of a file from an offset; returns how many it read."""


def _measured(how: str, read: _Read, files: Sequence[Path], nbytes: int, seconds: float) -> Disk:
    rng = random.Random(0)

    def one_random(_: int = 0) -> int:
        path = rng.choice(files)
        return read(path, rng.randrange(path.stat().st_size - nbytes + 1), nbytes)

    pieces = [(path, at) for path in files for at in range(0, path.stat().st_size, _SEQUENTIAL)]
    place = iter(pieces)

    def one_in_a_row() -> int:
        nonlocal place
        for path, offset in place:
            return read(path, offset, _SEQUENTIAL)
        place = iter(pieces)
        return 0

    with ThreadPoolExecutor(_MANY) as pool:
        turns = in_turns(
            {
                "random": lambda limit: rate_of(one_random, limit),
                "random_deep": lambda limit: rate_of(lambda: sum(pool.map(one_random, range(4 * _MANY))), limit),
                "sequential": lambda limit: rate_of(one_in_a_row, limit),
            },
            seconds=seconds,
        )
    mean = sum(path.stat().st_size for path in files) // len(pieces)
    return Disk(how, nbytes, **{name: spread_of(rates) for name, rates in turns.items()}, sequential_bytes=mean)


def _is_honest(read: _Read, files: Sequence[Path], nbytes: int) -> bool:
    """Whether a few reads go through, and are counted as fetched where the system counts."""
    before, asked = fetched(), 0
    try:
        for path in files[:8]:
            asked += read(path, 0, nbytes)
    except OSError:
        return False
    after = fetched()
    return before is None or after is None or after - before >= _AT_LEAST * asked


def _direct(path: Path, offset: int, nbytes: int) -> int:
    if not hasattr(os, "O_DIRECT"):
        raise OSError("this system has no O_DIRECT")
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, nbytes) as buffer:  # begins on a page, as O_DIRECT wants
            return os.preadv(descriptor, [buffer], offset // _ALIGNED * _ALIGNED)
    finally:
        os.close(descriptor)


def _dropping(path: Path, offset: int, nbytes: int) -> int:
    if not hasattr(os, "posix_fadvise"):
        raise OSError("this system has no posix_fadvise")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, offset, nbytes, os.POSIX_FADV_DONTNEED)
        return len(os.pread(descriptor, nbytes, offset))
    finally:
        os.close(descriptor)

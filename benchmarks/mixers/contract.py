"""What every contestant is asked for: a job of so many ranks, and each rank's batches, from the beginning or a state.

A sample is one integer that says which domain and which volume it is, so whatever is delivered can be told apart. A
contestant's module has `job(run, states)`, which gives a stream for each rank; `states` are those of all ranks of an
earlier job, and the ranks of this one take them in turn. Where a state can be made for a position to which no job has
run, it also has `state_at(run, position)`; `prepare(run)` where it needs files, and `reopened(run, state)` where its
real loader is another thing than its job.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

PLACES = 2**32
"""Volumes that a domain may have."""


class Refused(Exception):
    """What a library cannot do, in words."""


@dataclass(frozen=True)
class Run:
    """A run of `draws` samples over all ranks, `batch` of them a rank and step.

    `volumes` are those of all domains together. `variant` is what a contestant's rows differ in.
    """

    folder: str
    weights: tuple[float, ...]
    draws: int = 10**6
    ranks: int = 1
    batch: int = 64
    workers: int = 0
    volumes: int = 100_000
    seed: int = 0
    variant: str = ""

    @property
    def domains(self) -> int:
        return len(self.weights)

    @property
    def each(self) -> int:
        """Volumes of one domain."""
        return self.volumes // self.domains


class Stream(Protocol):
    """One rank's batches, each a list of samples."""

    def __iter__(self) -> Iterator[list[int]]: ...
    def __next__(self) -> list[int]: ...
    def state(self) -> Any:
        """What is to be saved now; raises `Refused` where there is nothing."""


class Loaded:
    """One rank's loader that has `state_dict` and `load_state_dict`, as PyTorch's users know them."""

    def __init__(self, loader: Any, state: Any) -> None:
        self.loader = loader
        if state is not None:
            loader.load_state_dict(state)
        self.batches = iter(loader)

    def __iter__(self) -> "Loaded":
        return self

    def __next__(self) -> list[int]:
        return integers(next(self.batches))

    def state(self) -> Any:
        return self.loader.state_dict()


class Numbers:
    """The volumes of a domain as a map-style data set."""

    def __init__(self, domain: int, volumes: int) -> None:
        self.first, self.volumes = domain * PLACES, volumes

    def __len__(self) -> int:
        return self.volumes

    def __getitem__(self, number: int) -> int:
        return self.first + int(number)


def name(domain: int) -> str:
    """Sorted as the numbers are."""
    return f"domain-{domain:02d}"


def integers(batch: Sequence[int]) -> list[int]:
    """Collates a batch."""
    return [int(sample) for sample in batch]


def domains_of(samples: NDArray[np.int64]) -> NDArray[np.int64]:
    """The domain of each sample."""
    return samples // PLACES


def delivered(streams: Sequence[Stream], steps: int) -> NDArray[np.int64]:
    """What each rank gets in so many steps, read rank after rank: (ranks, steps, batch)."""
    return np.array([_of_one(stream, steps) for stream in streams])


def _of_one(stream: Stream, steps: int) -> NDArray[np.int64]:
    samples = np.fromiter(chain.from_iterable(islice(stream, steps)), np.int64)
    if not len(samples) or len(samples) % steps:
        raise Refused(f"ended after {len(samples)} samples")
    return samples.reshape(steps, -1)


def global_batches(samples: NDArray[np.int64]) -> NDArray[np.int64]:
    """What all ranks together get at each step: (ranks, steps, batch) -> (steps, ranks * batch)."""
    return samples.swapaxes(0, 1).reshape(samples.shape[1], -1)


def of_rank(states: Sequence[Any] | None, rank: int) -> Any:
    """The state that a rank begins with."""
    return None if states is None else states[rank % len(states)]


def prepared(
    run: Run, form: str, write: Callable[[Path, int], None], samples: Callable[[int], int] | None = None
) -> list[Path]:
    """A folder for each domain in some library's form; `write(folder, domain)` fills those that are not there.

    `samples(domain)` is how many a domain has, if not as many as every other.
    """
    folders = []
    for domain in range(run.domains):
        folder = Path(run.folder) / form / f"{domain:02d}-{samples(domain) if samples else run.each}"
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            unfinished = Path(mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
            write(unfinished, domain)
            try:
                unfinished.rename(folder)
            except OSError:  # another contestant of the same library was first
                rmtree(unfinished)
        folders.append(folder)
    return folders

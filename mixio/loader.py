"""Batches of a mixture, read ahead by threads of the training process.

    loader = MixtureLoader(dataset, num_samples=10**6, batch_size=4)
    for batch in loader:
        ...
        checkpoint["data"] = loader.state_dict()

The batches are those of `DataLoader(dataset, batch_size, sampler=MixtureSampler(...))`, bit for bit. Reading,
checksums, decompression and normalisation release the interpreter's lock, so threads do them side by side; each batch
is assembled in the memory that the model gets, while a `DataLoader` copies it between processes. Python that holds the
lock, as most transforms and other people's data sets do, is faster in a `DataLoader` with workers.
"""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import Any

from mixio.ahead import Ahead
from mixio.buffers import Buffers
from mixio.dataset import MixtureDataset
from mixio.device import Arriving, Upload
from mixio.errors import InvalidArgument, at_least, require
from mixio.sampler import MixtureSampler

try:
    import torch
    from torch.utils.data import default_collate
except ImportError as error:
    raise require("torch", "torch") from error

REMOTE_THREADS = 16
"""Threads for a store in a bucket, which mostly wait."""
MOST_THREADS = 16
"""Threads that are taken without being asked for: each has a batch in hand, and that is memory."""


class MixtureLoader:
    """Iterates over one rank's batches of a run, from the position last loaded to its end.

    `num_samples`, `batch_size`, `rank` and `num_replicas` are those of `MixtureSampler`. `threads` is by default this
    rank's part of the processors of the machine (LOCAL_WORLD_SIZE ranks share them), at most `MOST_THREADS`, and
    `REMOTE_THREADS` for a store in a bucket; they are started when iterating begins. At most `prefetch` batches (by
    default two more than `threads`) are begun before they are asked for; that many lie in memory, and those that the
    training loop holds. A batch is the loop's to keep or to change: its memory is used again only when nothing refers
    to it any more.

    A `transform`, and the members of a dictionary of data sets, are called by one thread at a time, for they may keep
    state; which batch comes first is not fixed, so randomness belongs to the sample's `seed`.

    With `device`, images come there as stored integers and are normalized there, for CUDA on a stream beside the
    training step (see `mixio.device`); the rest of the batch stays on the CPU. It needs a store and no transform.

    What fails in a thread is raised in the loop at the place of its batch, and ends the iteration. Breaking out of
    the loop ends the threads; each finishes the batch that it has in hand. `close()` of the iterator does the same.
    """

    def __init__(
        self,
        dataset: MixtureDataset,
        *,
        num_samples: int,
        batch_size: int,
        rank: int | None = None,
        num_replicas: int | None = None,
        threads: int | None = None,
        prefetch: int | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        self.dataset = dataset
        self.sampler = MixtureSampler(
            dataset, num_samples=num_samples, batch_size=batch_size, rank=rank, num_replicas=num_replicas
        )
        self.batch_size = self.sampler.batch_size
        self.threads = at_least(1, _threads_for(dataset) if threads is None else threads, "threads")
        self.prefetch = at_least(1, self.threads + 2 if prefetch is None else prefetch, "prefetch")
        self.device = None if device is None else _this_one(device)
        if self.device is not None and not _is_plain(dataset):
            raise InvalidArgument("device needs a store and no transform; move the batches to it in the loop")
        self._progress = _Progress(self.sampler)

    def __iter__(self) -> "_Batches":
        self._progress = _Progress(self.sampler.copy())
        return _Batches(self, self._progress)

    def __len__(self) -> int:
        """Batches of this rank in the whole run, those before a loaded position too."""
        return len(self.sampler) // self.batch_size

    def set_epoch(self, epoch: int) -> None:
        """Nothing changes: a run has no epochs. Frameworks call this on whatever they iterate over."""

    def state_dict(self) -> dict[str, Any]:
        """The run's position, to be saved as JSON: all batches that the loop has received, of every rank.

        Taken in the loop's body, it counts the batch that the body works on; a run that loads it goes on with the next
        one. That is the convention of torchdata's `StatefulDataLoader`. Batches read ahead do not count. All ranks have
        the same state as long as they make the same steps, and `MixtureSampler` takes it as well.
        """
        return self._progress.state()

    def load_state_dict(self, state: Mapping[str, Any], *, allow_change: bool = False) -> None:
        """Go on where a run stopped, with any world size, batch size and threads; refuses the state of other draws.

        What is being iterated over goes on as it was; the next iteration begins there. With `allow_change`, see
        `MixtureSampler.load_state_dict`; then nothing may have been iterated over.
        """
        self.sampler.load_state_dict(state, allow_change=allow_change)
        self._progress = _Progress(self.sampler)


class _Progress:
    """How many batches one iteration has handed to the loop."""

    def __init__(self, sampler: MixtureSampler) -> None:
        self.sampler, self.batches = sampler, 0

    def state(self) -> dict[str, Any]:
        step = self.sampler.batch_size * self.sampler.num_replicas
        return self.sampler.state_dict(consumed=self.sampler.start + self.batches * step)


class _Batches(Iterator[Any]):
    """One iteration of a `MixtureLoader`."""

    def __init__(self, loader: MixtureLoader, progress: _Progress) -> None:
        self._progress = progress
        draws, size = iter(progress.sampler), loader.batch_size
        tasks = iter(lambda: tuple(islice(draws, size)), ())
        self._ahead = Ahead(_assembly(loader), tasks, threads=loader.threads, depth=loader.prefetch)

    def __next__(self) -> Any:
        batch = next(self._ahead)
        if isinstance(batch, dict) and isinstance(batch.get("image"), Arriving):
            batch["image"] = batch["image"].arrived()
        self._progress.batches += 1
        return batch

    def close(self) -> None:
        """End the threads and wait for them."""
        self._ahead.close()


def _assembly(loader: MixtureLoader) -> "_Direct | _Uploaded | _Collated":
    if loader.device is not None:
        return _Uploaded(loader.dataset, Upload(loader.device))
    return _Direct(loader.dataset, loader.batch_size) if _is_plain(loader.dataset) else _Collated(loader.dataset)


class _Direct:
    """Batches of a store, read into memory that was used before."""

    def __init__(self, dataset: MixtureDataset, batch_size: int) -> None:
        self.dataset = dataset
        self.buffers = Buffers((batch_size, 1, *dataset.patch_size))

    def __call__(self, draws: Sequence[int]) -> Any:
        return self.dataset.read_batch(draws, out=self.buffers.take())


class _Uploaded:
    """Batches of a store, brought to a device as they are stored."""

    def __init__(self, dataset: MixtureDataset, upload: Upload) -> None:
        self.dataset, self.upload, self.alone = dataset, upload, _OneThreadEach()

    def __call__(self, draws: Sequence[int]) -> Any:
        self.alone()
        batch = self.dataset.read_batch(draws, raw=True)
        image = self.upload(batch["image"], batch.pop("linear"))
        return {**batch, "image": image}


class _Collated:
    """Batches of whatever the data set gives, transform and all."""

    def __init__(self, dataset: MixtureDataset) -> None:
        self.dataset, self.alone = dataset, _OneThreadEach()
        # Transforms keep state, as MONAI's random ones do, and so may data sets: one thread at a time calls them.
        self._reading = threading.Lock() if dataset.crops is None else nullcontext()
        self._transforming = threading.Lock()

    def __call__(self, draws: Sequence[int]) -> Any:
        self.alone()
        with self._reading:
            samples = self.dataset.untransformed(draws)
        with self._transforming:
            samples = self.dataset.transformed(samples)
        return default_collate(samples)


class _OneThreadEach:
    """Keeps torch from giving every thread of ours a team of threads of its own."""

    def __init__(self) -> None:
        self._usual, self._seen = torch.get_num_threads(), threading.local()

    def __call__(self) -> None:
        if not hasattr(self._seen, "by_this_thread"):
            self._seen.by_this_thread = True
            torch.get_num_threads()  # or torch would set the usual number at its first use in this thread
            torch.set_num_threads(1)
            # That also became what threads begin with that have not used torch yet; another thread puts it right.
            other = threading.Thread(target=torch.set_num_threads, args=(self._usual,), daemon=True)
            other.start()
            other.join()


def _is_plain(dataset: MixtureDataset) -> bool:
    return dataset.crops is not None and dataset.transform is None


def _threads_for(dataset: MixtureDataset) -> int:
    if "://" in getattr(dataset.source, "path", ""):
        return REMOTE_THREADS
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    ranks = max(1, int(os.environ.get("LOCAL_WORLD_SIZE") or 1))
    return min(MOST_THREADS, max(1, cores // ranks))


def _this_one(device: torch.device | str) -> torch.device:
    """With its number: threads of ours do not know which device the training loop has made the current one."""
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InvalidArgument(
            f'device must be one that torch has here, such as "cuda", "cuda:0" or "cpu", got {device!r}'
        ) from error
    if found.type != "cuda":
        return found
    there = torch.cuda.device_count()
    if (found.index or 0) >= there:
        raise InvalidArgument(
            f"device={device!r}, but torch has {there} CUDA devices here; choose another, or leave device out"
        )
    return torch.device("cuda", torch.cuda.current_device()) if found.index is None else found

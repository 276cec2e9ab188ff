"""Sources to a store: the one composer of readers, preprocessing, blobs and the manifest.

Each source is read, prepared, encoded and written by a worker on its own; when it has answered, the journal says so.
A source that cannot be trusted goes to `quarantine.jsonl` with its reason, and the rest goes on. The manifest is
written last.
"""

import logging
from dataclasses import asdict, replace
from os import cpu_count
from pathlib import Path

from mixio.conversion import Conversion, Progress, Summary
from mixio.errors import StoreError
from mixio.settings import FOLDER, Settings, settings_of, write_settings
from mixio.sources import Source, read_sources
from mixio.splits import choose_seed
from mixio.stores.lease import held
from mixio.stores.storage import Storage, storage_of
from mixio.stores.zarr import ROOT
from mixio.tasks import tasks_of
from mixio.telling import telling_names, telling_words
from mixio.workers import Workers, available_memory

logger = logging.getLogger("mixio")


def convert(
    sources: str | Path,
    store: str | Path,
    *,
    settings: Settings | None = None,
    jobs: int | None = None,
    memory: int | None = None,
    dask: str | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Convert a table or folder of sources into the store; goes on where an interrupted conversion was.

    `settings=None` takes those of the store if it exists, else the defaults. `jobs` worker processes (default: one
    a core; 0 works in this process), which together take up to `memory` bytes (default: four fifths of what is
    free); or the Dask cluster at the address `dask`, or a `local` one. Raises `InvalidArgument` for wrong sources or
    settings, before anything is written, and `StoreError` if the store cannot be written.
    """
    if dask and "://" not in str(store):
        sources, store = Path(sources).absolute(), Path(store).absolute()  # workers have working folders of their own
    storage = storage_of(store)
    listed = read_sources(Path(sources))
    jobs = cpu_count() or 1 if jobs is None else jobs
    workers = Workers(jobs, available_memory() if memory is None else memory, dask)
    made_with = settings_of(storage.url, salt=settings.salt if settings else "")
    settled = _settle(storage, made_with, settings, listed)
    bound = None if dask and memory is None else workers.memory_each  # of other machines' memory we know nothing
    tasks = tasks_of(listed, settled, memory=bound)
    with held(storage, f"{FOLDER}/lock") as lease:
        if settings_of(storage.url, salt=settled.salt) not in (None, settled):
            raise StoreError(f"{storage.url}: another conversion has made this store meanwhile; run again")
        run = Conversion(storage, settled, workers, progress, lease)
        run.plan(tasks)
        if storage.size(ROOT) is None:
            write_settings(storage, settled)
        _say_what_is_to_come(listed, settled, workers)
        run.work()
        run.finish()
    return run.summary


def _settle(storage: Storage, made_with: Settings | None, wanted: Settings | None, sources: list[Source]) -> Settings:
    """The settings of the store: decided now, or checked against those it was made with."""
    if made_with is not None:
        if wanted is None:
            return made_with
        if wanted.split_seed is None:
            wanted = replace(wanted, split_seed=made_with.split_seed)
        differing = sorted(name for name, value in asdict(made_with).items() if value != getattr(wanted, name))
        if differing:
            raise StoreError(
                f"{storage.url}: was made with another {', '.join(differing)}; leave that out to add to it, "
                "or use a new store"
            )
        return made_with
    settings = wanted or Settings()
    if settings.split_seed is not None:
        return settings
    return replace(settings, split_seed=choose_seed(sources, val_fraction=settings.val_fraction))


def _say_what_is_to_come(sources: list[Source], settings: Settings, workers: Workers) -> None:
    if workers.dask is None:
        gib = workers.memory_each / 2**30
        logger.info(
            "%d jobs, up to %.1f GiB for a volume in each, %.1f GiB in all",
            max(1, workers.jobs), gib, gib * max(1, workers.jobs),
        )  # fmt: skip
    _warn_of_names(sources, settings)


def _warn_of_names(sources: list[Source], settings: Settings) -> None:
    telling, words = list(telling_names(sources)), list(telling_words(sources))
    if words:
        logger.warning(
            "%d keys, targets, domains or names of labels look like those of persons or like dates, the first: %s; "
            "these columns are stored as they are: change what tells too much",
            len(words), words[0],
        )  # fmt: skip
    if telling and settings.keep_names:
        logger.warning(
            "%d names look like those of persons or like dates, and --keep-names stores them; the first: %s",
            len(telling), telling[0],
        )  # fmt: skip
    elif telling and not settings.salt:
        logger.warning(
            "%d names look like those of persons or like dates, the first: %s; they are stored as hashes, which "
            "whoever guesses a name can recognise: give a secret --salt",
            len(telling), telling[0],
        )  # fmt: skip

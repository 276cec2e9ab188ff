"""The work on a Dask cluster: one that is there, by its address, or a `local` one, started for it.

Workers must see the sources and the store at the same paths as the converter. What a lost worker had goes to another;
what is written twice by that is the same bytes. distributed is used in this file alone.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from itertools import chain, islice
from typing import Any, TypeVar

from mixio.errors import StoreError, WorkerDied, require

T = TypeVar("T")
R = TypeVar("R")
Outcomes = Iterator[tuple[T, R | BaseException]]

_PATIENCE = "30s"
"""How long a scheduler may take to answer."""


def on_dask(function: Callable[[T], R], tasks: Iterable[T], *, address: str, jobs: int) -> Outcomes[T, R]:
    """On the Dask cluster at an address, or on one of so many jobs started here for `local`.

    What a lost worker had goes to another. Tasks that were there when several died, as many as the scheduler is
    configured to bear, are tried again one by one at the end, so that each is given up for its own sake only.
    """
    queue, suspects = iter(tasks), []
    first = list(islice(queue, 1))
    if not first:
        return
    with _client(address, jobs) as client:
        for task, outcome in _ahead(client, function, chain(first, queue)):
            if _is_killed(outcome):
                suspects.append(task)
            else:
                yield task, outcome
        for suspect in suspects:
            for task, outcome in _ahead(client, function, [suspect]):
                died = WorkerDied("the Dask workers that converted it died, for want of memory or by a crash")
                yield task, died if _is_killed(outcome) else outcome


def _is_killed(outcome: Any) -> bool:
    return isinstance(outcome, distributed().KilledWorker)


def _ahead(client: Any, function: Callable[[T], R], tasks: Iterable[T]) -> Outcomes[T, R]:
    """Every task with its outcome, two submitted for each thread of the cluster."""
    ahead = 2 * max(1, sum(client.nthreads().values()))
    queue, running, finished = iter(tasks), {}, distributed().as_completed()
    for task in islice(queue, ahead):
        running[future := client.submit(function, task, pure=False)] = task
        finished.add(future)
    for future in finished:
        task, error = running.pop(future), _error_of(future, client)
        for following in islice(queue, 1):
            running[another := client.submit(function, following, pure=False)] = following
            finished.add(another)
        yield task, future.result() if error is None else error
        future.release()


def _error_of(future: Any, client: Any) -> BaseException | None:
    if future.cancelled():
        raise StoreError(f"{client.scheduler.address}: the Dask scheduler has gone; start one and run again")
    error: BaseException | None = future.exception()
    return error


def distributed() -> Any:
    """Dask's distributed, which is imported when it is asked for only."""
    try:
        return import_module("distributed")
    except ImportError as error:
        raise require("distributed", "dask") from error


@contextmanager
def _client(address: str, jobs: int) -> Iterator[Any]:
    """A client of the cluster, and for `local` the cluster itself, while the context lasts."""
    dask = distributed()
    with ExitStack() as stack:
        if address == "local":
            address = stack.enter_context(
                dask.LocalCluster(n_workers=max(1, jobs), threads_per_worker=1, dashboard_address=None)
            )
        try:
            client = stack.enter_context(dask.Client(address, timeout=_PATIENCE))
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{address}: no Dask scheduler answers there ({error}); start one, or use --dask local"
            ) from error
        yield client

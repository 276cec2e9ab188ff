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


def on_dask(
    function: Callable[[T], R], tasks: Iterable[T], *, address: str, jobs: int, ahead: int | None = None
) -> Outcomes[T, R]:
    """On the Dask cluster at an address, or on one of so many jobs started here for `local`.

    At most `ahead` tasks are there at once (None: two for each thread of the cluster).

    What a lost worker had goes to another. Tasks that were there when several died, as many as the scheduler is
    configured to bear, are tried again one by one at the end, so that each is given up for its own sake only.
    """
    queue, suspects = iter(tasks), []
    first = list(islice(queue, 1))
    if not first:
        return
    with _client(address, jobs) as client:
        most = ahead or 2 * max(1, sum(client.nthreads().values()))
        for task, outcome in _submitted(client, function, chain(first, queue), most):
            if _is_killed(outcome):
                suspects.append(task)
            else:
                yield task, outcome
        for suspect in suspects:
            for task, outcome in _submitted(client, function, [suspect], 1):
                died = WorkerDied("the Dask workers that had it died, for want of memory or by a crash")
                yield task, died if _is_killed(outcome) else outcome


def _is_killed(outcome: Any) -> bool:
    return isinstance(outcome, distributed().KilledWorker)


def _submitted(client: Any, function: Callable[[T], R], tasks: Iterable[T], most: int) -> Outcomes[T, R]:
    """Every task with its outcome, at most so many of them submitted at once."""
    queue, running, finished = iter(tasks), {}, distributed().as_completed()
    for task in islice(queue, most):
        running[future := client.submit(_attempt, function, task, pure=False)] = task
        finished.add(future)
    for future in finished:
        task, outcome = running.pop(future), _outcome_of(future, client)
        for following in islice(queue, 1):
            running[another := client.submit(_attempt, function, following, pure=False)] = following
            finished.add(another)
        yield task, outcome
        future.release()


def _attempt(function: Callable[[T], R], task: T) -> R | BaseException:
    """On a worker: what is raised is an answer too, and not for the cluster's log, which may be read by others."""
    try:
        return function(task)
    except Exception as error:
        return error


def _outcome_of(future: Any, client: Any) -> Any:
    try:
        if not future.cancelled():
            return future.exception() or future.result()
    except OSError as error:
        raise _gone(client) from error
    raise _gone(client)


def _gone(client: Any) -> StoreError:
    return StoreError(f"{client.scheduler.address}: the Dask scheduler has gone; start one and run again")


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

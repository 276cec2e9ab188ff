"""Work done ahead of who needs it, by threads of this process, and handed over in order.

Threads are started when iterating begins. They end when all is handed over, at an error, on `close`, when nobody holds
the iterator any more, and at the exit of the interpreter; each finishes the task that it has in hand first.
"""

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from mixio.errors import MixioError

_PATIENCE = 10.0
"""Seconds that the collector, and the exit of the interpreter, wait for each thread."""

Task = TypeVar("Task")
Result = TypeVar("Result")


class Ahead(Iterator[Result], Generic[Task, Result]):
    """`work` of each of `tasks`, in their order, with at most `depth` of them begun and not yet handed over.

    An error of `work` is raised in the place of its result and ends the iteration. A forked child has a copy of this
    object but none of its threads; asked for the next result there, it raises `MixioError`.
    """

    def __init__(self, work: Callable[[Task], Result], tasks: Iterable[Task], *, threads: int, depth: int) -> None:
        self._shelf = _Shelf(work, iter(tasks), depth)
        self._process = os.getpid()
        # The threads hold the shelf and not this object, so that it can be let go while they work.
        self._workers = [
            threading.Thread(target=_serve, args=(self._shelf,), name=f"mixio-ahead-{number}", daemon=True)
            for number in range(threads)
        ]
        # The collector may run in a thread that holds a lock which a worker waits for: it does not wait for ever.
        self._finalizer = weakref.finalize(self, _end, self._shelf, self._workers, self._process, _PATIENCE)
        for worker in self._workers:
            worker.start()

    def __next__(self) -> Result:
        if os.getpid() != self._process:
            raise MixioError("threads do not survive a fork, so nothing more comes here; iterate anew in the child")
        outcome = self._shelf.take()
        if outcome is None:
            self.close()
            raise StopIteration
        result, error = outcome
        if error is None:
            return result  # type: ignore[no-any-return]
        self.close()
        try:
            raise error
        finally:
            del outcome, error  # the traceback holds this frame, which must not hold the error

    def close(self) -> None:
        """End the threads and wait for them; there is nothing more to iterate."""
        if self._finalizer.detach() is not None:
            _end(self._shelf, self._workers, self._process, None)


_Outcome = tuple[Any, BaseException | None]


class _Shelf:
    """What the threads and the one who takes share."""

    def __init__(self, work: Callable[[Any], Any], tasks: Iterator[Any], depth: int) -> None:
        self.work, self.tasks, self.depth = work, tasks, depth
        # One lock that the thread which has it may take again: a collected iterator may be ended at any point.
        lock = threading.RLock()
        self.filled, self.room = threading.Condition(lock), threading.Condition(lock)
        self.begun = self.taken = 0
        self.outcomes: dict[int, _Outcome] = {}
        self.exhausted = self.stopped = False

    def begin(self) -> tuple[int, Any] | None:
        """The number of the next task, and the task; None when there is nothing more to do."""
        with self.room:
            self.room.wait_for(lambda: self.stopped or self.begun - self.taken < self.depth)
            if self.stopped or self.exhausted:
                return None
            try:
                task = next(self.tasks)
            except BaseException as error:
                self._finish(error)
                return None
            self.begun += 1
            return self.begun - 1, task

    def _finish(self, error: BaseException) -> None:
        """There is no next task; an error of the tasks comes in its place."""
        if not isinstance(error, StopIteration):
            self.outcomes[self.begun] = None, error
            self.begun += 1
        self.exhausted = True
        self.filled.notify_all()
        self.room.notify_all()

    def put(self, number: int, outcome: _Outcome) -> None:
        with self.filled:
            if not self.stopped:
                self.outcomes[number] = outcome
                self.filled.notify_all()

    def take(self) -> _Outcome | None:
        """The next outcome in order; None after the last."""
        with self.filled:
            self.filled.wait_for(self._decided)
            if self.stopped or self.taken not in self.outcomes:
                return None
            self.taken += 1
            self.room.notify_all()
            return self.outcomes.pop(self.taken - 1)

    def stop(self) -> None:
        with self.filled:
            self.stopped = True
            self.outcomes.clear()
            self.filled.notify_all()
            self.room.notify_all()

    def _decided(self) -> bool:
        return self.stopped or self.taken in self.outcomes or (self.exhausted and self.taken == self.begun)


def _serve(shelf: _Shelf) -> None:
    while _serve_one(shelf):
        pass


def _serve_one(shelf: _Shelf) -> bool:
    """A function of its own, so that a waiting thread holds no result of before."""
    begun = shelf.begin()
    if begun is None:
        return False
    number, task = begun
    shelf.put(number, _attempt(shelf.work, task))
    return True


def _attempt(work: Callable[[Any], Any], task: Any) -> _Outcome:
    try:
        return work(task), None
    except BaseException as error:  # raised by who takes it
        return None, error


def _end(shelf: _Shelf, workers: list[threading.Thread], process: int, patience: float | None) -> None:
    if os.getpid() != process:
        return  # a forked child: no threads to end, and a lock that one of them may have held
    shelf.stop()
    if threading.current_thread() not in workers:  # which may be the one to collect a forgotten iterator
        for worker in workers:
            if worker.ident is not None:
                worker.join(patience)

"""One holder at a time of a name in a place.

In a folder it is a lock on a file, which the kernel lets go when the holder dies. In an object store it is an object
that the holder rewrites every sixth of the lease's length. Who finds one watches it: once it changes, its holder lives
and the lease is refused; unchanged for the whole length, its holder is dead and it is taken over. Every change is a
conditional put, so of several takers one wins. No clock is compared with another's.

What remains: a holder that was suspended between asking `still_held` and writing may write after a takeover. Ask right
before each write that matters; where that is a conditional put itself, as in `log.py`, nothing can go wrong at all.
"""

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from secrets import token_hex

from mixio.errors import StoreError
from mixio.stores.local import LocalStorage, told
from mixio.stores.objects import ObjectStorage
from mixio.stores.storage import Storage

SECONDS = 60.0


class Lease:
    """What a holder has; for a lock on a file it never ends before the holder does."""

    def still_held(self) -> bool:
        """Whether nobody else can have taken it."""
        return True

    def check(self) -> None:
        """Refuse to go on if somebody else can have taken it; asks no server."""
        if not self.still_held():
            raise StoreError("the lease of the store was lost, for want of a connection; run again to go on")


@contextmanager
def held(storage: Storage, name: str, *, seconds: float | None = None) -> Iterator[Lease]:
    """Hold the name; a second holder is refused with `StoreError`, after `seconds` at most."""
    if isinstance(storage, LocalStorage):
        with _locked(storage, name):
            storage.sweep()
            yield Lease()
        return
    if not isinstance(storage, ObjectStorage):
        raise StoreError(f"{storage.url}: a lease needs a folder or an object store")
    lease = _Kept(storage, name, SECONDS if seconds is None else seconds)
    lease.take()
    try:
        yield lease
    finally:
        lease.release()


@contextmanager
def _locked(storage: LocalStorage, name: str) -> Iterator[None]:
    path = storage.path(name)
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    with file:
        with told(path):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise _busy(storage, file.read()) from error
        file.truncate(0)
        file.write(_now())
        file.flush()
        yield


class _Kept(Lease):
    """A lease kept by a thread; `_tag` is that of the object as this holder last wrote it, None when it was lost."""

    def __init__(self, storage: ObjectStorage, name: str, seconds: float) -> None:
        self._storage, self._name, self._seconds = storage, name, seconds
        self._since, self._token, self._beat = _now(), token_hex(16), 0
        self._tag: str | None = None
        self._written = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._refresh, name="mixio-lease", daemon=True)

    def take(self) -> None:
        """Create the object, or take over one that its holder left; then keep it."""
        before, data = _clock(), self._data()
        if not self._storage.create(self._name, data):
            stale = self._watched()
            before = _clock()
            if stale != self._data() and not self._claimed(stale, data):
                raise _busy(self._storage, "just now")
        self._tag, self._written = self._storage.tag(self._name), before
        self._thread.start()

    def _watched(self) -> bytes | None:
        """What lies there unchanged for the whole length, None if nothing does."""
        first = self._content()
        limit = _clock() + (self._seconds if first is None else json.loads(first).get("seconds", self._seconds))
        while first is not None and self._token.encode() not in first and _clock() < limit:
            time.sleep(self._seconds / 12)
            now = self._content()
            if now is None:
                return None
            if now != first:
                raise _busy(self._storage, str(json.loads(now)["since"]))
        return first

    def _claimed(self, stale: bytes | None, data: bytes) -> bool:
        if stale is None:
            return self._storage.create(self._name, data)
        tag = self._storage.tag(self._name)
        return self._content() == stale and tag is not None and self._storage.replace(self._name, data, tag)

    def _content(self) -> bytes | None:
        try:
            return self._storage.read(self._name)
        except FileNotFoundError:
            return None

    def _data(self) -> bytes:
        told = {"since": self._since, "token": self._token, "beat": self._beat, "seconds": self._seconds}
        return json.dumps(told).encode()

    def _refresh(self) -> None:
        while not self._end.wait(self._seconds / 6):
            before, tag = _clock(), self._tag
            self._beat += 1
            try:
                if tag is None or not self._beaten(tag):
                    self._tag = None
                    return
            except (StoreError, FileNotFoundError):
                continue  # tried again at the next beat; still_held says no before another can take it
            self._written = before

    def _beaten(self, tag: str) -> bool:
        # A put whose answer was lost, sent again, finds the tag changed by itself; so what lies there decides. It is
        # read after the tag, which then is that of this holder's object and of no later one.
        self._storage.replace(self._name, self._data(), tag)
        self._tag = self._storage.tag(self._name)
        return self._owned()

    def _owned(self) -> bool:
        content = self._content()
        return content is not None and self._token.encode() in content

    def still_held(self) -> bool:
        """Whether the last beat is young enough that nobody can have seen it unchanged for the whole length."""
        return self._tag is not None and _clock() - self._written < self._seconds * 0.75

    def release(self) -> None:
        """End the thread and take the object away, if it is still ours."""
        self._end.set()
        self._thread.join()
        if self.still_held() and self._owned():
            self._storage.delete(self._name)


def _busy(storage: Storage, since: str) -> StoreError:
    return StoreError(f"{storage.url}: another conversion is writing here (since {since}); wait for it to end")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds") + f", process {os.getpid()}"


def _clock() -> float:
    """Seconds that go on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))

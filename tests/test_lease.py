"""One holder at a time: the living are not disturbed, the dead are replaced."""

import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from mixio.errors import StoreError
from mixio.stores.lease import held
from mixio.stores.storage import Storage, storage_of
from tests.servers import s3, s3_log, s3_server  # noqa: F401

SECONDS = 2.0
HOLD = (
    "import sys, time; from mixio.stores.lease import held; from mixio.stores.storage import storage_of\n"
    "with held(storage_of(sys.argv[1]), 'lock', seconds=2.0): print('held', flush=True); time.sleep(60)"
)


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return storage_of(tmp_path / "store")
    return storage_of(f"{request.getfixturevalue('s3')}/{uuid.uuid4().hex}")


def test_a_second_holder_is_refused_and_the_first_undisturbed(place: Storage) -> None:
    with held(place, "lock", seconds=SECONDS) as lease:
        with (
            pytest.raises(StoreError, match=r"another conversion is writing here \(since 20.*\); wait for it to end"),
            held(place, "lock", seconds=SECONDS),
        ):
            pass
        time.sleep(1.5 * SECONDS)
        assert lease.still_held()


def test_a_released_lease_is_free_at_once(place: Storage) -> None:
    for _ in range(2):
        started = time.monotonic()
        with held(place, "lock", seconds=SECONDS):
            assert time.monotonic() - started < SECONDS / 2


def test_a_killed_holder_is_replaced(place: Storage) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, place.url], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        child.kill()
    with held(place, "lock", seconds=SECONDS) as lease:
        assert lease.still_held()


def test_a_holder_learns_that_it_lost_the_lease(s3: str) -> None:  # noqa: F811
    place = storage_of(f"{s3}/{uuid.uuid4().hex}")
    with held(place, "lock", seconds=SECONDS) as lease:
        place.write("lock", b'{"since": "later", "token": "another"}')
        time.sleep(SECONDS / 2)
        assert not lease.still_held()
    assert b"another" in place.read("lock")

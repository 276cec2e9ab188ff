"""A whole store is read over a line that fails, to the last byte as it is on this machine."""

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import numpy as np
import pytest

from mixio.store import Store, open_store
from mixio.stores.storage import storage_of
from tests.servers import Proxy, s3, s3_log, s3_server  # noqa: F401
from tests.websites import Website, put_store, website  # noqa: F401

Far = tuple[str, Proxy]


@pytest.fixture(params=["s3", "web"])
def far(request: pytest.FixtureRequest, small_store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Far]:
    """Where `small_store` lies behind a proxy, and the proxy."""
    if request.param == "web":
        site: Website = request.getfixturevalue("website")
        site.folder = Path(small_store.path)
        proxy = Proxy(site.address)
        url = proxy.address
    else:
        url = f"{request.getfixturevalue('s3')}/{uuid.uuid4().hex}"
        put_store(Path(small_store.path), storage_of(url))
        proxy = Proxy(request.getfixturevalue("s3_server"))
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        url += "/"  # another url, so that a new client is made, which finds the proxy
    proxy.rng, proxy.odds = Random(7), {"drop": 0.05, "truncate": 0.01}
    yield url, proxy
    proxy.shutdown()
    proxy.server_close()


def assert_same(store: Store, expected: Store, *, times: int) -> None:
    def compare(number: int) -> None:
        draw = Random(number)
        name = draw.choice(expected.names())
        shape = expected.row(name).shape
        corner = tuple(draw.randrange(-5, n - 5) for n in shape)
        ours = store.read_patch(name, corner=corner, size=(24, 24, 24))
        np.testing.assert_array_equal(ours, expected.read_patch(name, corner=corner, size=(24, 24, 24)))

    for name in expected.names():
        np.testing.assert_array_equal(store.read(name).voxels, expected.read(name).voxels)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(compare, range(times)))


def test_a_line_that_drops_and_truncates_gives_every_byte(far: Far, small_store: Store) -> None:
    url, proxy = far
    assert_same(open_store(url), small_store, times=200)
    assert proxy.met["drop"] > 5
    assert proxy.met["truncate"] > 0


def test_the_cache_holds_no_byte_of_a_fault(far: Far, small_store: Store, tmp_path: Path) -> None:
    url, proxy = far
    proxy.odds = {"drop": 0.1, "truncate": 0.1}
    for _ in range(2):
        assert_same(open_store(url, cache=tmp_path / "cache"), small_store, times=50)
    assert proxy.met["truncate"] > 0


@pytest.mark.slow
def test_a_server_that_is_away_for_ten_seconds_ends_no_run(far: Far, small_store: Store) -> None:
    url, proxy = far
    store = open_store(url)
    proxy.out_until = time.monotonic() + 10
    assert_same(store, small_store, times=100)
    assert proxy.met["503"] > 3

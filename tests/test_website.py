"""A store behind a web server is read; what the server cannot do, or does not allow, is said at once."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mixio.errors import StoreError
from mixio.store import Store, open_store
from mixio.stores import patience
from mixio.stores.storage import Storage, storage_of
from tests.servers import Proxy
from tests.websites import Website, website  # noqa: F401


def test_a_store_on_the_web_is_the_same_store(website: Website, small_store: Store) -> None:  # noqa: F811
    website.folder = Path(small_store.path)
    store = open_store(website.address)
    assert (store.names(), store.fingerprint) == (small_store.names(), small_store.fingerprint)
    for name in store.names():
        np.testing.assert_array_equal(store.read(name).voxels, small_store.read(name).voxels)


@pytest.fixture
def place(website: Website) -> Storage:  # noqa: F811
    storage_of(website.folder).write("a/x y", b"0123456789" * 10_000)
    return storage_of(website.address)


def test_a_server_without_ranges_is_refused_not_downloaded(website: Website, place: Storage) -> None:  # noqa: F811
    website.has_ranges = False
    with pytest.raises(StoreError, match="/a/x y: the server does not answer requests for byte ranges"):
        place.read_range("a/x y", 0, 5)
    assert len(website.asked) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 410])
def test_a_refusal_is_told_at_once(website: Website, place: Storage, status: int) -> None:  # noqa: F811
    website.status = status
    with pytest.raises(StoreError, match=f"{website.address}/a/x y: "):
        place.read_range("a/x y", 0, 5)
    assert len(website.asked) == 1


def test_redirects_are_followed(website: Website, place: Storage) -> None:  # noqa: F811
    other = Website(website.folder)
    website.moved_to = other.address
    assert place.read_range("a/x y", 5, 6) == b"567890"
    assert place.size("a/x y") == 100_000
    other.shutdown()
    other.server_close()


def test_nothing_is_written_to_the_web(place: Storage) -> None:
    for ask in (
        lambda: place.write("x", b""),
        lambda: place.batch(),
        lambda: place.create("x", b""),
        lambda: place.delete("x"),
        lambda: place.sweep(),
    ):
        with pytest.raises(StoreError, match="a store on the web can only be read"):
            ask()


def test_converting_to_the_web_is_refused_in_one_line(website: Website, sources: Path) -> None:  # noqa: F811
    command = [sys.executable, "-m", "mixio", "convert", str(sources), website.address]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 2
    assert website.address in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("has_etags", [True, False])
@pytest.mark.parametrize("fault", ["drop", "truncate", "503"])
def test_faults_of_the_line_are_tried_again(
    website: Website,  # noqa: F811
    place: Storage,
    fault: str,
    has_etags: bool,
) -> None:
    website.has_etags = has_etags
    proxy = Proxy(website.address)
    through = storage_of(proxy.address)
    for ask in (lambda: through.read_range("a/x y", 3, 99_000)[:4], lambda: through.read("a/x y")[3:7]):
        proxy.faults = [fault] * 3
        assert ask() == b"3456"
    assert proxy.met[fault] == 6
    proxy.shutdown()
    proxy.server_close()


def test_a_server_that_stays_away_is_given_up(
    website: Website,  # noqa: F811
    place: Storage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "SECONDS", 0.5)
    proxy = Proxy(website.address)
    proxy.odds = {"truncate": 1.0}
    with pytest.raises(StoreError, match="/a/x y: "):
        storage_of(proxy.address).read("a/x y")
    assert proxy.seen > 2
    proxy.shutdown()
    proxy.server_close()

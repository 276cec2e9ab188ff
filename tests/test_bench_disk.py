"""Reads past the page cache, counted by the system itself."""

import os
from pathlib import Path

import pytest

from tools.bench_disk import measure_disk


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        path.write_bytes(os.urandom(300_000))
    return paths


def test_a_disk_is_measured_or_it_is_said_why_not(shards: list[Path]) -> None:
    disk = measure_disk(shards, 20_000, seconds=0.2)
    if disk.random is None:
        assert disk.how.startswith("not measurable here")
    else:
        assert disk.how in ("O_DIRECT", "posix_fadvise")
        assert disk.read_bytes == 20_480  # 5 times 4096
        assert disk.sequential_bytes == 300_000  # no file has 8 MiB
        assert disk.best_random >= disk.random.median > 0


def test_without_o_direct_ranges_are_dropped_before_they_are_read(
    shards: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_DIRECT")
    assert measure_disk(shards, 20_000, seconds=0.1).how in (
        "posix_fadvise",
        "not measurable here: the file system lets nobody past its page cache",
    )


def test_a_cache_that_cannot_be_passed_is_no_disk(shards: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.bench_disk.fetched", lambda: 0)  # the system counts no byte from a disk
    disk = measure_disk(shards, 20_000, seconds=0.1)
    assert (disk.random, disk.best_random) == (None, None)
    assert disk.how == "not measurable here: the file system lets nobody past its page cache"


def test_files_shorter_than_a_read_are_no_measure(shards: list[Path]) -> None:
    assert measure_disk(shards, 400_000, seconds=0.1).how == (
        "not measurable here: no file of the store is as long as one read"
    )

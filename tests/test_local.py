"""A folder as a place: what a kill leaves, what is flushed, what an empty folder becomes."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from mixio.errors import StoreError
from mixio.stores.lease import held
from mixio.stores.local import TEMPORARY, LocalStorage

KILLED = """
import os, sys
from mixio.stores.local import LocalStorage
def pieces():
    yield bytes(1000)
    os.kill(os.getpid(), 9)
LocalStorage(sys.argv[1]).write("a/x", pieces())
"""


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_what_a_killed_writer_leaves_lies_apart_and_goes_with_the_next_lease(tmp_path: Path) -> None:
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)]).returncode == -9
    assert len(list((tmp_path / TEMPORARY).iterdir())) == 2
    assert not (tmp_path / "a").exists()
    with held(LocalStorage(str(tmp_path)), "lock"):
        assert files(tmp_path) == ["lock"]


def test_a_file_is_flushed_before_it_has_its_name_and_its_folders_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    paths = {name: f"{tmp_path}/{name}" for name in ("", "v", "v/0")}
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        done.append("flush file" if TEMPORARY in path else f"flush {Path(path).relative_to(tmp_path)}")
        real_fsync(descriptor)

    def replace(source: Path, target: Path) -> None:
        done.append(f"name {Path(target).relative_to(tmp_path)}")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    with LocalStorage(str(tmp_path)).batch() as write:
        write("v/a", b"1")
        write("v/0/b", iter([b"2"]))
    assert done == ["flush file"] * 2 + ["name v/a", "name v/0/b", "flush .", "flush v", "flush v/0"]
    assert all(os.path.isdir(path) for path in paths.values())


def test_a_batch_that_fails_changes_nothing(tmp_path: Path) -> None:
    storage = LocalStorage(str(tmp_path))
    storage.write("v/a", b"old")
    with suppress(ZeroDivisionError), storage.batch() as write:
        write("v/a", b"new")
        write("v/b", [b"%d" % (1 // len(files(tmp_path / "none")))])
    assert files(tmp_path) == ["v/a"]
    assert storage.read("v/a") == b"old"


def test_folders_go_with_their_last_file(tmp_path: Path) -> None:
    storage = LocalStorage(str(tmp_path))
    for name in ("ct/1/0/c", "ct/1/zarr.json", "ct/2/zarr.json"):
        storage.write(name, b"1")
    storage.delete("ct/1/0/c", "ct/1/zarr.json")
    assert [path.name for path in (tmp_path / "ct").iterdir()] == ["2"]
    storage.delete("ct/2/zarr.json")
    assert [path.name for path in tmp_path.iterdir()] == [".mixio"]


def test_a_folder_pruned_while_another_writes_into_it_is_made_again(tmp_path: Path) -> None:
    storage, other = LocalStorage(str(tmp_path)), LocalStorage(str(tmp_path))

    def churn() -> None:
        for number in range(300):
            other.write(f"ct/deep/{number}", b"1")
            other.delete(f"ct/deep/{number}")

    thread = threading.Thread(target=churn)
    thread.start()
    for number in range(300):
        storage.write(f"ct/deep/of/{number}", b"1")
        storage.delete(f"ct/deep/of/{number}")
    thread.join()
    assert files(tmp_path) == []


def test_a_writer_whose_temporary_was_swept_is_told_who_is_here(tmp_path: Path) -> None:
    storage = LocalStorage(str(tmp_path))
    with pytest.raises(StoreError, match=f"{tmp_path}/x: .* another conversion has begun"):
        storage.write("x", map(sweeping(storage), [b"1", b"2"]))
    assert storage.size("x") is None


def sweeping(storage: LocalStorage) -> Callable[[bytes], bytes]:
    def sweep(piece: bytes) -> bytes:
        storage.sweep()
        return piece

    return sweep


def test_a_folder_is_no_object(tmp_path: Path) -> None:
    storage = LocalStorage(str(tmp_path))
    storage.write("a/x", b"1")
    assert storage.size("a") is None
    assert storage.tag("a/x/y") is None
    with pytest.raises(StoreError, match=f"{tmp_path}/a: .*check the disk's space and the permissions"):
        storage.read("a")

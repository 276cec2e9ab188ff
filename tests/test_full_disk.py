"""A disk that fills up: one clear line, nothing half-written believed, and the same bytes once there is room."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from mixio.convert import convert
from mixio.errors import StoreError
from mixio.settings import CONTAINERS, Settings
from mixio.store import open_store
from mixio.verify import Damage, verify
from tests.crashes import files_of, folder_in_memory, write_many

FLAGS = "--frames each --chunk 16 --split-seed 1 --shard-size 80K".split()
SETTINGS = {
    name: Settings(container=name, frames="each", chunk=16, split_seed=1, shard_size=80 * 2**10) for name in CONTAINERS
}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with folder_in_memory() as found:
        yield found


@pytest.fixture(scope="module")
def table(folder: Path) -> Path:
    return write_many(folder / "in")


@pytest.fixture(scope="module")
def whole(table: Path, folder: Path) -> dict[str, Path]:
    """A store for each container, converted with room to spare."""
    for name, settings in SETTINGS.items():
        convert(table, folder / name, settings=settings, jobs=0)
    return {name: folder / name for name in CONTAINERS}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Callable[[int], None]]]:
    """A file system of its own, and what sets its size in KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system may be mounted here ({mounted.stderr.decode().strip()})")
    try:
        yield place, lambda kib: subprocess.run(["mount", "-o", f"remount,size={kib}k", place], check=True)
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def command(table: Path, store: Path, container: str, jobs: int) -> list[str]:
    words = [sys.executable, "-m", "mixio", "convert", table, store, "--container", container, "--jobs", jobs, *FLAGS]
    return [str(word) for word in words]


def refused(command: list[str]) -> str:
    """The one line in which a command gives up."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert (done.returncode, done.stdout, len(errors)) == (2, "", 1), done.stderr
    assert "Traceback" not in done.stderr
    return errors[0]


@pytest.mark.slow
@pytest.mark.parametrize("container", CONTAINERS)
def test_the_command_on_a_full_disk_says_so_and_goes_on_when_there_is_room(
    container: str, table: Path, whole: dict[str, Path], disk: tuple[Path, Callable[[int], None]]
) -> None:
    place, resize = disk
    resize(1024)
    line = refused(command(table, place / "store", container, 2))
    assert "No space left on device" in line
    assert str(place / "store") in line
    resize(64 * 1024)
    assert subprocess.run(command(table, place / "store", container, 2), capture_output=True).returncode == 1
    assert files_of(place / "store") == files_of(whole[container])


@pytest.mark.slow
@pytest.mark.parametrize("container", CONTAINERS)
def test_wherever_the_disk_fills_up_nothing_half_written_is_believed(
    container: str, table: Path, whole: dict[str, Path], disk: tuple[Path, Callable[[int], None]]
) -> None:
    place, resize = disk
    needed = sum(-(-path.stat().st_size // 4096) * 4 for path in whole[container].rglob("*") if path.is_file())
    stops = 0
    for kib in range(64, 2 * needed, needed // 24):
        resize(kib)
        refusal = refusal_of(partial(convert, table, place / "store", settings=SETTINGS[container], jobs=0))
        assert "No space left on device" in refusal or not refusal
        stops += bool(refusal)
    assert stops > 10
    assert files_of(place / "store") == files_of(whole[container])
    assert [step for step in verify(open_store(place / "store")) if isinstance(step, Damage)] == []


def refusal_of(work: Callable[[], object]) -> str:
    """What a conversion is refused with; empty if it is not."""
    try:
        work()
    except StoreError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("container", "blocks"), [("zarr", 3), ("webdataset", 3), ("webdataset", 60)])
def test_a_file_that_may_not_grow_further_is_one_line_and_no_harm(
    container: str, blocks: int, table: Path, whole: dict[str, Path], tmp_path: Path
) -> None:
    limited = ["bash", "-c", f'ulimit -f {blocks}; exec "$@"', "_", *command(table, tmp_path / "store", container, 0)]
    line = refused(limited)
    assert "File too large" in line
    assert str(tmp_path / "store") in line
    convert(table, tmp_path / "store", settings=SETTINGS[container], jobs=0)
    assert files_of(tmp_path / "store") == files_of(whole[container])

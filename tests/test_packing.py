"""Volumes into tars: in the order of names, old ones left alone, changed ones made again."""

import tarfile
from pathlib import Path

import numpy as np
import pytest

from mixio.convert import Summary, convert
from mixio.settings import Settings
from mixio.store import open_store
from mixio.verify import Damage, verify
from tests.conftest import write_nifti

SETTINGS = Settings(container="webdataset", keep_names=True, chunk=8, codec="none", shard_size=9000, val_fraction=0)
"""A volume of one value, of which hardly more than headers and metadata are stored, takes 3 to 4 kB: three a tar."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven volumes, b to h, in one domain."""
    for value, name in enumerate("bcdefgh"):
        put(tmp_path, name, value)
    return tmp_path


def put(folder: Path, name: str, value: int) -> None:
    write_nifti(folder / "in" / "ct" / f"{name}.nii", np.full((8, 8, 8), value, np.int16))


def pack(folder: Path, jobs: int = 0) -> Summary:
    return convert(folder / "in", folder / "store", settings=SETTINGS, jobs=jobs)


def packed(folder: Path) -> dict[str, str]:
    """Which volumes lie in each tar, by Python's own reader, as a word of their letters."""
    tars = {}
    for path in sorted((folder / "store").rglob("*.tar")):
        with tarfile.open(path) as tar:
            tars[path.stem] = "".join(name[0] for name in tar.getnames() if name.endswith(".json"))
    return tars


def is_sound(folder: Path) -> bool:
    """Whether every byte of the store is what it should be."""
    return not [step for step in verify(open_store(folder / "store")) if isinstance(step, Damage)]


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in (folder / "store").rglob("*.tar")}


@pytest.mark.parametrize("jobs", [0, 2])
def test_tars_hold_volumes_in_the_order_of_their_names_and_close_at_the_shard_size(folder: Path, jobs: int) -> None:
    pack(folder, jobs)
    assert packed(folder) == {"000000": "bcd", "000001": "efg", "000002": "h"}
    assert all(len(tar) > SETTINGS.shard_size for name, tar in bytes_of(folder).items() if name != "000002")
    assert is_sound(folder)
    assert not (folder / "store" / ".mixio" / "staged").exists()


def test_domains_have_tars_of_their_own(folder: Path) -> None:
    write_nifti(folder / "in" / "mr" / "a.nii", np.ones((8, 8, 8), np.int16))
    pack(folder)
    found = sorted(str(path.relative_to(folder / "store")) for path in (folder / "store").rglob("*.tar"))
    assert found == ["ct/000000.tar", "ct/000001.tar", "ct/000002.tar", "mr/000000.tar"]


def test_one_volume_larger_than_the_shard_size_is_a_tar(folder: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 900, (16, 16, 16))
    write_nifti(folder / "in" / "ct" / "c.nii", noise.astype(np.int16))
    pack(folder)
    assert packed(folder) == {"000000": "bc", "000001": "def", "000002": "gh"}


def test_sources_added_later_go_into_new_tars_and_old_ones_stay_as_they_are(folder: Path) -> None:
    pack(folder)
    before = bytes_of(folder)
    put(folder, "a", 9)
    put(folder, "z", 10)
    summary = pack(folder)
    assert (summary.converted, summary.found) == (2, 7)
    assert packed(folder) == {"000000": "bcd", "000001": "efg", "000002": "h", "000003": "az"}
    assert {name: bytes_of(folder)[name] for name in before} == before
    assert is_sound(folder)


def test_a_changed_source_goes_into_a_new_tar_and_the_one_that_held_it_is_made_anew_without_it(folder: Path) -> None:
    pack(folder)
    before = bytes_of(folder)
    put(folder, "c", 70)
    assert pack(folder).converted == 1
    assert packed(folder) == {"000001": "efg", "000002": "h", "000003": "c", "000004": "bd"}
    assert all(bytes_of(folder)[name] == before[name] for name in ("000001", "000002"))
    assert (open_store(folder / "store").read("ct/c").voxels == 70).all()
    assert is_sound(folder)


def test_when_all_of_a_tar_has_changed_it_is_gone(folder: Path) -> None:
    pack(folder)
    put(folder, "h", 70)
    pack(folder)
    assert packed(folder) == {"000000": "bcd", "000001": "efg", "000003": "h"}
    assert is_sound(folder)


def test_nothing_new_changes_nothing(folder: Path) -> None:
    pack(folder)
    before = bytes_of(folder)
    assert pack(folder).found == 7
    assert bytes_of(folder) == before


@pytest.mark.parametrize("tar", ["000000", "000002"])
def test_a_deleted_tar_is_made_again(folder: Path, tar: str) -> None:
    pack(folder)
    letters = packed(folder)[tar]
    (folder / "store" / "ct" / f"{tar}.tar").unlink()
    assert pack(folder).converted == len(letters)
    assert "".join(sorted("".join(packed(folder).values()))) == "bcdefgh"
    assert packed(folder)["000003"] == letters
    assert is_sound(folder)


def test_a_mended_source_is_packed_after_those_that_were_whole(folder: Path) -> None:
    (folder / "in" / "ct" / "c.nii").write_bytes(b"not a volume")
    assert len(pack(folder).faults) == 1
    assert packed(folder) == {"000000": "bde", "000001": "fgh"}
    put(folder, "c", 1)
    assert pack(folder).faults == []
    assert packed(folder) == {"000000": "bde", "000001": "fgh", "000002": "c"}
    assert is_sound(folder)


def test_a_source_that_went_bad_keeps_its_volume_and_is_told(folder: Path) -> None:
    pack(folder)
    before = bytes_of(folder)
    (folder / "in" / "ct" / "c.nii").write_bytes(b"not a volume")
    assert len(pack(folder).faults) == 1
    assert bytes_of(folder) == before
    assert is_sound(folder)


@pytest.mark.parametrize("line", range(10))
def test_whatever_line_of_the_journal_is_damaged_the_store_ends_sound(folder: Path, line: int) -> None:
    pack(folder)
    journal = folder / "store" / ".mixio" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[line] = lines[line].replace(b'"', b"'", 1)
    journal.write_bytes(b"".join(lines))
    pack(folder)
    assert "".join(sorted("".join(packed(folder).values()))) == "bcdefgh"
    assert is_sound(folder)

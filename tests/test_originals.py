"""The files of a source: when they may have changed, and their checksums."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from mixio.errors import SourceError
from mixio.originals import digest_of, image_digest, local_files, source_files, stamps_of
from mixio.sources import Source
from tests.conftest import write_nifti


def source(path: Path, **labels: Path) -> Source:
    return Source(path, path.name, "ct", "s", labels=labels)


def stamp(path: Path, **labels: Path) -> str | None:
    return stamps_of([source(path, **labels)])[0]


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_nifti(tmp_path / "scan.nii", np.zeros((3, 3, 3), np.int16))


def test_a_stamp_changes_with_any_file_and_stays_without_a_change(scan: Path, tmp_path: Path) -> None:
    label = write_nifti(tmp_path / "label.nii", np.zeros((3, 3, 3), np.uint8))
    before = stamp(scan, label=label)
    assert stamp(scan, label=label) == before != stamp(scan)
    os.utime(label, (1, 1))
    assert stamp(scan, label=label) != before


def test_content_changed_behind_the_time_changes_the_part_after_the_dot_alone(scan: Path) -> None:
    os.utime(scan, (1, 1))
    before = stamp(scan)
    scan.write_bytes(scan.read_bytes()[::-1])
    os.utime(scan, (1, 1))
    assert stamp(scan) != before
    assert stamp(scan).partition(".")[0] == before.partition(".")[0]


def test_a_missing_file_has_no_stamp(scan: Path, tmp_path: Path) -> None:
    assert stamp(tmp_path / "gone.nii") is None
    assert stamp(scan, label=tmp_path / "gone.nii") is None


def test_a_pair_and_a_folder_are_all_their_files(tmp_path: Path) -> None:
    for name in ("v.hdr", "v.img", "series/1.dcm", "series/deep/2.dcm"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    assert source_files(source(tmp_path / "v.hdr")) == [tmp_path / "v.hdr", tmp_path / "v.img"]
    assert source_files(source(tmp_path / "series")) == [tmp_path / "series/1.dcm", tmp_path / "series/deep/2.dcm"]


def test_checksums_are_sha256_and_of_several_files_that_of_the_list(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(b"a" * 3_000_000)
    expected = hashlib.sha256(b"a" * 3_000_000).hexdigest()
    assert digest_of(tmp_path / "a.nii") == expected
    assert image_digest(source(tmp_path / "a.nii"), [expected, "label's"]) == expected
    for name in ("v.hdr", "v.img"):
        (tmp_path / name).touch()
    assert image_digest(source(tmp_path / "v.hdr"), ["ab", "cd", "label's"]) == hashlib.sha256(b"abcd").hexdigest()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.nii: cannot be read \(No such file or directory\)"):
        digest_of(tmp_path / "gone.nii")


def test_a_source_on_this_machine_is_read_where_it_is(scan: Path) -> None:
    with local_files(source(scan)) as here:
        assert here == source(scan)

"""Remote sources come whole or not at all, and their stamps change with them."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import boto3
import pytest

from mixio.errors import InvalidArgument, StoreError
from mixio.stores.fetch import fetched, stamp, stamps
from mixio.stores.objects import ObjectStorage
from tests.servers import WebServer, s3, s3_log, s3_server, web  # noqa: F401


def test_an_object_comes_under_its_name_and_goes_again(s3: str, tmp_path: Path) -> None:  # noqa: F811
    place = f"{s3}/{uuid.uuid4().hex}"
    ObjectStorage(place).write("scan.nii.gz", b"voxels")
    with fetched(f"{place}/scan.nii.gz", tmp_path) as path:
        assert (path.name, path.read_bytes()) == ("scan.nii.gz", b"voxels")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_had_fetched_goes_with_the_next_fetch(
    web: WebServer,  # noqa: F811
    tmp_path: Path,
) -> None:
    code = (
        "import os, sys; from pathlib import Path; from mixio.stores.fetch import fetched\n"
        "with fetched(sys.argv[1], Path(sys.argv[2])): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, f"{web.address}/plain/x", str(tmp_path)]).returncode == -9
    (left,) = tmp_path.iterdir()
    os.utime(left, (0, 0))
    with fetched(f"{web.address}/plain/y", tmp_path) as one:
        os.utime(one.parent, (0, 0))
        with fetched(f"{web.address}/plain/z", tmp_path) as another:
            assert {path.name for path in tmp_path.iterdir()} == {one.parent.name, another.parent.name}


def test_a_server_that_does_not_answer_has_no_stamp_among_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixio.stores.web.TRIES", 1)
    assert stamps(["http://127.0.0.1:1/x"]) == [None]
    with pytest.raises(StoreError, match="no answer after 1 tries"):
        stamp("http://127.0.0.1:1/x")


def test_a_prefix_comes_as_a_folder(s3: str, tmp_path: Path) -> None:  # noqa: F811
    place = f"{s3}/{uuid.uuid4().hex}/series"
    ObjectStorage(place).write("1.dcm", b"one")
    ObjectStorage(place).write("sub/2.dcm", b"two")
    ObjectStorage(f"{place}2").write("3.dcm", b"of another series")
    for marker in ("", "sub/"):  # as consoles make them for folders
        key = f"{place.removeprefix('s3://bucket/')}/{marker}"
        boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"]).put_object(Bucket="bucket", Key=key)
    with fetched(f"{place}/", tmp_path) as path:
        found = {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*.dcm")}
    assert found == {"1.dcm": b"one", "sub/2.dcm": b"two"}


def test_a_prefix_changes_with_any_object_below(s3: str) -> None:  # noqa: F811
    place = ObjectStorage(f"{s3}/{uuid.uuid4().hex}")
    seen = {stamp(f"{place.url}/")}
    for name, content in (("1", b"one"), ("2", b"two"), ("2", b"TWO"), ("3", b"")):
        place.write(name, content)
        seen.add(stamp(f"{place.url}/"))
    place.delete("1")
    seen.add(stamp(f"{place.url}/"))
    assert None in seen
    assert len(seen) == 6


def test_stamps_change_with_the_object(s3: str) -> None:  # noqa: F811
    place = f"{s3}/{uuid.uuid4().hex}"
    ObjectStorage(place).write("x", b"one")
    first = stamps([f"{place}/x", f"{place}/missing", f"{place}/"])
    assert first[1] is None
    ObjectStorage(place).write("x", b"two")
    assert {stamp(f"{place}/x"), stamp(f"{place}/")}.isdisjoint(first)


@pytest.mark.parametrize("path", ["/plain/a%20b.nii", "/chunked/a%20b.nii", "/moved/a%20b.nii"])
def test_a_web_file_comes_whole(web: WebServer, tmp_path: Path, path: str) -> None:  # noqa: F811
    with fetched(web.address + path, tmp_path) as file:
        assert (file.name, file.read_bytes()) == ("a b.nii", web.content)


@pytest.mark.parametrize("fault", ["503", "drop", "truncate"])
def test_faults_of_a_web_server_are_tried_again(web: WebServer, tmp_path: Path, fault: str) -> None:  # noqa: F811
    web.faults = ["", fault, fault]
    with fetched(f"{web.address}/plain/x", tmp_path) as file:
        assert file.read_bytes() == web.content


def test_what_cannot_be_trusted_is_refused(web: WebServer, tmp_path: Path) -> None:  # noqa: F811
    refusals = {
        "/endless/x": "does not say how long",
        "/missing/x": "no such source",
        "/changing/x": "it changed while",
    }
    for path, words in refusals.items():
        with (
            pytest.raises((StoreError, FileNotFoundError), match=words),
            fetched(web.address + path, tmp_path),
        ):
            pass
    with (
        pytest.raises(StoreError, match="more than the limit of 10"),
        fetched(f"{web.address}/plain/x", tmp_path, limit=10),
    ):
        pass
    with pytest.raises(InvalidArgument, match="does not list its folders"):
        stamp(f"{web.address}/plain/")
    assert list(tmp_path.iterdir()) == []

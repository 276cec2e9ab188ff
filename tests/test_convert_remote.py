"""Conversion from sources on the web and in a bucket into a store in a bucket, on servers in their own processes."""

import csv
import os
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import nibabel as nib
import numpy as np
import pytest

from mixio import verify
from mixio.convert import Summary, convert
from mixio.errors import StoreError
from mixio.journal import NAME as JOURNAL
from mixio.quarantine import NAME as QUARANTINE
from mixio.settings import FOLDER, Settings
from mixio.store import open_store
from mixio.stores import lease
from mixio.stores.log import open_log
from mixio.stores.objects import ObjectStorage
from mixio.stores.storage import storage_of
from tests.dicoms import random_stored, write_series
from tests.gcs import GoogleServer, google  # noqa: F401
from tests.servers import free_port, s3, s3_log, s3_server  # noqa: F401

CONTAINERS = ["zarr", "webdataset"]
CHILD = """
import sys
from mixio.convert import convert
from mixio.settings import Settings
from mixio.stores import lease
lease.SECONDS = 1.0
convert(sys.argv[1], sys.argv[2], settings=Settings(container=sys.argv[3], shard_size=100_000), jobs=0)
"""


@pytest.fixture(scope="module")
def web_folder(sources: Path) -> Iterator[str]:
    """The address of a web server, a process of its own, with the files beside the table of sources."""
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "-b", "127.0.0.1", "-d", str(sources.parent)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(100):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/sources.csv", timeout=5).close()
            break
        except OSError:
            time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    server.kill()
    server.wait()


@pytest.fixture
def table(sources: Path, web_folder: str, s3: str, tmp_path: Path) -> Path:  # noqa: F811
    """The sources as a table that names PET in a bucket and the rest on the web; label maps are local files."""
    with sources.open(newline="") as file:
        rows = list(csv.DictReader(file))
    bucket = f"{s3}/{uuid.uuid4().hex}"
    for row in rows:
        row["key"] = row["path"].replace("/", "_").removesuffix(".nii.gz")
        if row["domain"] == "pet":
            ObjectStorage(bucket).write(row["path"], (sources.parent / row["path"]).read_bytes())
        row["path"] = f"{bucket if row['domain'] == 'pet' else web_folder}/{row['path']}"
        row["label"] = str(sources.parent / row["label"]) if row["label"] else ""
    with (tmp_path / "remote.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path / "remote.csv"


def objects_of(url: str, s3_server: str) -> dict[str, bytes]:  # noqa: F811
    """Every object of a store but those that the conversion keeps for itself."""
    prefix = url.removeprefix("s3://bucket/") + "/"
    client = boto3.client("s3", endpoint_url=s3_server)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix=prefix)
    names = [found["Key"] for page in pages for found in page.get("Contents", [])]
    return {
        name.removeprefix(prefix): client.get_object(Bucket="bucket", Key=name)["Body"].read()
        for name in names
        if "/.mixio/" not in name
    }


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_remote_store_holds_what_the_files_on_the_servers_do(
    table: Path,
    sources: Path,
    s3: str,  # noqa: F811
    s3_log: Path,  # noqa: F811
    container: str,
) -> None:
    place, mark = f"{s3}/{uuid.uuid4().hex}", s3_log.stat().st_size
    summary = convert(table, place, settings=Settings(container=container, chunk=16), jobs=2)
    assert (summary.converted, summary.faults) == (13, [])
    store = open_store(place)
    for name in store.names():
        domain, number = name.split("/")[0], name.rpartition("_")[2]
        original = nib.as_closest_canonical(nib.load(sources.parent / domain / f"{number}.nii.gz"))
        assert np.array_equal(store.read(name).voxels, np.asarray(original.dataobj))
    assert [found for found in verify.verify(store) if isinstance(found, verify.Damage)] == []
    assert [found for found in verify.compare(store, table) if isinstance(found, verify.Damage)] == []
    assert convert(table, place, jobs=0).found == 13
    assert requests(s3_log, mark, "list-type=2") == []


def requests(log: Path, mark: int, word: str) -> list[str]:
    """The requests since `mark` bytes of the server's log that hold the word."""
    return [line for line in log.read_bytes()[mark:].decode().splitlines() if word in line]


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_killed_remote_conversion_redoes_what_was_in_flight_and_lists_nothing(
    table: Path,
    s3: str,  # noqa: F811
    s3_log: Path,  # noqa: F811
    s3_server: str,  # noqa: F811
    container: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lease, "SECONDS", 1.0)
    whole, cut = f"{s3}/{uuid.uuid4().hex}", f"{s3}/{uuid.uuid4().hex}"
    settings = Settings(container=container, shard_size=100_000)
    convert(table, whole, settings=settings, jobs=0)
    mark = s3_log.stat().st_size
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(table), cut, container], stderr=subprocess.PIPE)
    while not requests(s3_log, mark, "journal.jsonl/0-00000004 HTTP") and child.poll() is None:
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    finished = sum(b'"claim"' in line for _, line in open_log(storage_of(cut), JOURNAL))
    summary = convert(table, cut, settings=settings, jobs=0)
    assert 4 <= finished == summary.found < 13
    assert summary.found + summary.converted == 13
    assert requests(s3_log, mark, "list-type=2") == []
    assert objects_of(cut, s3_server) == objects_of(whole, s3_server)
    assert requests(s3_log, mark, "list-type=2") != []  # the test's own: such requests are seen


def test_a_series_of_dicom_in_a_bucket_is_what_it_is_in_a_folder(s3: str, tmp_path: Path) -> None:  # noqa: F811
    stored = random_stored()
    write_series(tmp_path / "series", stored)
    bucket = ObjectStorage(f"{s3}/{uuid.uuid4().hex}/series")
    for path in (tmp_path / "series").iterdir():
        bucket.write(path.name, path.read_bytes())
    (tmp_path / "t.csv").write_text(f"path,domain,key,subject\n{bucket.url}/,ct,remote,a\nseries,ct,local,b\n")
    convert(tmp_path / "t.csv", tmp_path / "store", jobs=0)
    store = open_store(tmp_path / "store")
    assert np.array_equal(store.read("ct/remote").voxels, store.read("ct/local").voxels)
    assert store.row("ct/remote").affine == store.row("ct/local").affine
    assert convert(tmp_path / "t.csv", tmp_path / "store", jobs=0).found == 2


def test_damage_in_a_bucket_is_found_and_never_returned(table: Path, s3: str) -> None:  # noqa: F811
    place = ObjectStorage(f"{s3}/{uuid.uuid4().hex}")
    convert(table, place.url, jobs=0)
    names = open_store(place.url).names("pet")
    flipped, gone, short = (f"{name}/0/c/0/0/0" for name in names)
    content = bytearray(place.read(flipped))
    content[len(content) // 2] ^= 1
    place.write(flipped, bytes(content))
    place.delete(gone)
    place.write(short, place.read(short)[:-1])
    store = open_store(place.url)
    found = [damage for damage in verify.verify(store) if isinstance(damage, verify.Damage)]
    assert {damage.volume for damage in found} == set(names)
    for name in names:
        with pytest.raises(StoreError, match=f"{place.url}/{name}"):
            store.read(name)


def test_a_second_converter_on_a_bucket_is_refused(
    table: Path,
    s3: str,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lease, "SECONDS", 1.0)
    place = f"{s3}/{uuid.uuid4().hex}"
    with (
        lease.held(storage_of(place), f"{FOLDER}/lock"),
        pytest.raises(StoreError, match=f"{place}: another conversion is writing here"),
    ):
        convert(table, place, jobs=0)


def test_a_converter_that_lost_its_lease_stops(
    table: Path,
    s3: str,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lease, "SECONDS", 1.0)
    place = storage_of(f"{s3}/{uuid.uuid4().hex}")

    def taken_over(summary: Summary, _: int) -> None:
        if summary.converted == 3:
            place.write(f"{FOLDER}/lock", b'{"since": "later", "token": "of another"}')
            time.sleep(1)

    with pytest.raises(StoreError, match="the lease of the store was lost"):
        convert(table, place.url, jobs=0, progress=taken_over)
    assert b"of another" in place.read(f"{FOLDER}/lock")
    assert place.size("manifest.parquet") is None


def test_a_changed_object_alone_is_fetched_again(
    table: Path,
    sources: Path,
    s3: str,  # noqa: F811
    s3_log: Path,  # noqa: F811
) -> None:
    place = f"{s3}/{uuid.uuid4().hex}"
    convert(table, place, jobs=0)
    with table.open(newline="") as file:
        changed = [row["path"] for row in csv.DictReader(file) if row["domain"] == "pet"][1]
    folder, _, name = changed.rpartition("/")
    ObjectStorage(folder).write(name, (sources.parent / "pet" / "0.nii.gz").read_bytes())
    mark = s3_log.stat().st_size
    summary = convert(table, place, jobs=0)
    assert (summary.converted, summary.found) == (1, 12)
    assert len([line for line in requests(s3_log, mark, '"GET') if ".nii.gz" in line]) == 1


def test_a_source_that_no_server_has_is_set_aside_and_its_address_not_told(
    table: Path,
    s3: str,  # noqa: F811
    web_folder: str,
) -> None:
    place = f"{s3}/{uuid.uuid4().hex}"
    header, *rows = table.read_text().splitlines()
    rows = [f"{row}," for row in rows] + [f"{web_folder}/doe_john/gone.nii.gz,pet,someone,,,,0"]
    table.write_text("\n".join([f"{header},item", *rows]))
    summary = convert(table, place, jobs=0)
    (fault,) = summary.faults
    assert summary.converted == 13
    assert fault.reason == f"{web_folder}/doe_john/gone.nii.gz: no such source"
    assert b"doe" not in ObjectStorage(place).read(QUARANTINE)


@pytest.mark.parametrize("container", ["zarr", "webdataset"])
def test_a_store_at_google_is_written_read_verified_and_gone_on_with(
    google: GoogleServer,  # noqa: F811
    sources: Path,
    tmp_path: Path,
    container: str,
) -> None:
    place, settings = f"gs://bucket/{container}", Settings(container=container, keep_names=True)
    assert convert(sources, place, settings=settings, jobs=0).converted == 13
    assert convert(sources, place, settings=settings, jobs=0).found == 13
    convert(sources, tmp_path / "here", settings=settings, jobs=0)
    there, here = open_store(place), open_store(tmp_path / "here")
    assert there.fingerprint == here.fingerprint
    assert np.array_equal(there.read("abdomen-ct/0").voxels, here.read("abdomen-ct/0").voxels)
    assert [step for step in verify.verify(there) if isinstance(step, verify.Damage)] == []
    assert "GET /bucket" not in google.asked  # nothing was listed

"""Tars: other programs read them, WebDataset gets what the store has, and a hostile one runs no code."""

import gc
import gzip
import io
import json
import pickle
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from torch.utils.data import DataLoader

import mixio
from mixio.blob import Grid, crc32c, encode_shard
from mixio.convert import convert
from mixio.errors import DamagedChunkError, InvalidArgument, StoreError
from mixio.settings import Settings
from mixio.store import Store, open_store
from mixio.stores.tar import header, is_tar, json_member, member_names, packed_bytes, padding, placed, tar_pieces
from mixio.stores.tar import webdataset_decoder as decode
from mixio.verify import Damage, verify
from tests.conftest import write_sources

# WebDataset leaves it to the garbage collector to close the tars it opens.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")


@pytest.fixture(scope="module", autouse=True)
def closed() -> Iterator[None]:
    """Close them while the warning is expected."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store of `small_store`, in tars."""
    folder = tmp_path_factory.mktemp("tars")
    settings = Settings(chunk=16, val_fraction=0.3, keep_names=True, container="webdataset", shard_size=60_000)
    convert(write_sources(folder / "in"), folder / "store", settings=settings, jobs=0)
    return open_store(folder / "store")


def urls_of(store: Store) -> list[str]:
    return sorted(str(path) for path in Path(store.path).rglob("*.tar"))


def samples_of(urls: list[str], **how: Any) -> list[dict[str, Any]]:
    return list(webdataset.WebDataset(urls, shardshuffle=False).decode(mixio.webdataset_decoder, **how))


def write_tar(path: Path, members: dict[str, bytes]) -> list[str]:
    """A tar of these members, by Python's tarfile."""
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return [str(path)]


def test_webdataset_yields_arrays_labels_and_metadata_of_every_volume(tars: Store) -> None:
    samples = samples_of(urls_of(tars), pre=[], post=[])
    assert [f"{sample['json']['domain']}/{sample['__key__']}" for sample in samples] == tars.names()
    for sample in samples:
        row = tars.row(f"{sample['json']['domain']}/{sample['__key__']}")
        whole = {"corner": (0, 0, 0), "size": row.shape}
        np.testing.assert_array_equal(sample["image.shard"], tars.read_patch(row.name, **whole), strict=True)
        np.testing.assert_array_equal(sample["occupancy.shard"], tars.occupancy(row.name), strict=True)
        for label in row.labels:
            mask = tars.read_patch(row.name, **whole, label=label)
            np.testing.assert_array_equal(sample[f"{label}.shard"], mask, strict=True)
        assert {name for name in sample if name.endswith(".shard")} == {
            f"{array}.shard" for array in ("image", "occupancy", *row.labels)
        }


def test_the_metadata_is_the_row_less_where_it_lies_and_what_it_came_from(tars: Store) -> None:
    row = tars.row("pet/0")
    told = decode(".json", json_member(row))
    assert (told["key"], told["unit"], told["slope"]) == ("0", "SUV", row.slope)
    assert told["affine"] == row.matrix.tolist()
    assert not {"blobs", "path", "source", "source_sha256", "crc32c"} & told.keys()


def test_two_workers_of_a_data_loader_share_the_tars(tars: Store) -> None:
    data = webdataset.WebDataset(urls_of(tars), shardshuffle=False).decode(mixio.webdataset_decoder)
    found = [sample["json"] for sample in DataLoader(data, batch_size=None, num_workers=2)]
    assert sorted(f"{told['domain']}/{told['key']}" for told in found) == tars.names()


def test_patches_rows_and_occupancy_equal_those_of_the_zarr_store(tars: Store, small_store: Store) -> None:
    where = {"corner": (3, -2, 5), "size": (14, 13, 9)}
    for name in small_store.names():
        ours, other = tars.row(name), small_store.row(name)
        np.testing.assert_array_equal(tars.read_patch(name, **where), small_store.read_patch(name, **where))
        np.testing.assert_array_equal(tars.occupancy(name), small_store.occupancy(name))
        assert replace(ours, path=other.path, blobs=other.blobs, settings=other.settings) == other
        for label in other.labels:
            mask = small_store.read_patch(name, **where, label=label)
            np.testing.assert_array_equal(tars.read_patch(name, **where, label=label), mask)


def test_gnu_tar_lists_and_unpacks_them(tars: Store, tmp_path: Path) -> None:
    (url, *_) = urls_of(tars)
    listed = subprocess.run(["tar", "-tf", url], capture_output=True, text=True, check=True)
    assert listed.stderr == ""
    rows = [row for row in map(tars.row, tars.names()) if row.path == str(Path(url).relative_to(tars.path))]
    assert listed.stdout.split() == [name for row in rows for name in member_names(row)]
    subprocess.run(["tar", "-xf", url, "-C", tmp_path], check=True)
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == {
        name: size
        for row in rows
        for name, size in zip(member_names(row), [*(b.nbytes for b in row.blobs), len(json_member(row))], strict=True)
    }


def test_pythons_tarfile_reads_them_and_finds_no_person_and_no_time(tars: Store) -> None:
    for url in urls_of(tars):
        with tarfile.open(url) as tar:
            for member in tar.getmembers():
                assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
                assert decode(f".{member.name.partition('.')[2]}", tar.extractfile(member).read()) is not None


def test_offsets_are_where_the_members_lie(tars: Store) -> None:
    for url in urls_of(tars):
        with tarfile.open(url) as tar:
            found = {member.name: (member.offset_data, member.size) for member in tar.getmembers()}
        for row in [row for row in map(tars.row, tars.names()) if str(Path(tars.path) / row.path) == url]:
            for name, blob in zip(member_names(row), row.blobs, strict=False):
                assert found[name] == (blob.offset, blob.nbytes)


class Bomb:
    """A pickle that leaves a file behind when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("suffix", ["pkl", "pyd", "pickle", "pth", "PKL", "image.pkl", "pkl.gz"])
def test_a_pickle_in_a_tar_is_refused_before_webdatasets_decoders_see_it(tmp_path: Path, suffix: str) -> None:
    data = pickle.dumps(Bomb(tmp_path / "exploded"))
    if suffix.endswith("gz"):
        data = gzip.compress(data)
    url = write_tar(tmp_path / "hostile.tar", {f"a.{suffix}": data})
    with pytest.raises(webdataset.autodecode.DecodingError) as caught:
        samples_of(url)
    assert isinstance(caught.value.__cause__, StoreError)
    assert not (tmp_path / "exploded").exists()


def test_without_our_decoder_webdataset_would_have_run_it(tmp_path: Path) -> None:
    url = write_tar(tmp_path / "hostile.tar", {"a.pkl": pickle.dumps(Bomb(tmp_path / "exploded"))})
    (sample,) = webdataset.WebDataset(url, shardshuffle=False).decode()
    sample["pkl"].close()
    assert (tmp_path / "exploded").exists()


def test_pickled_bytes_under_our_suffixes_are_damage(tmp_path: Path) -> None:
    data = pickle.dumps(Bomb(tmp_path / "exploded"))
    with pytest.raises(DamagedChunkError, match="no shard header that matches its checksum"):
        decode(".image.shard", data)
    with pytest.raises(DamagedChunkError, match="not readable as the metadata of a volume"):
        decode(".json", data)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "key", [".shard", ".a.b.shard", ".../x.shard", ".a/b.shard", ".a\n.shard", "..shard", ".\0.shard"]
)
def test_names_that_no_store_writes_are_refused(key: str) -> None:
    with pytest.raises(StoreError, match="not the name of a member of a mixio tar"):
        decode(key, b"")


def test_a_name_that_leads_upward_yields_a_key_and_touches_no_file(tmp_path: Path) -> None:
    shard = encode_shard(np.ones((2, 2, 2), np.uint8), Grid((2, 2, 2), (2, 2, 2), (2, 2, 2), "uint8", 0))
    (tmp_path / "inner").mkdir()
    url = write_tar(tmp_path / "inner" / "hostile.tar", {"../x.image.shard": shard})
    (sample,) = samples_of(url)
    assert sample["__key__"] == "../x"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["hostile.tar", "inner"]


def test_members_of_other_kinds_are_left_to_other_decoders(tmp_path: Path) -> None:
    assert decode(".cls", b"3") is None
    assert decode(".extra.json", b"{}") is None
    (sample,) = samples_of(write_tar(tmp_path / "mixed.tar", {"a.cls": b"3", "a.txt": b"words"}))
    assert (sample["cls"], sample["txt"]) == (3, "words")
    (sample,) = samples_of(write_tar(tmp_path / "mixed.tar", {"a.cls": b"3"}), pre=[], post=[])
    assert sample["cls"] == b"3"


@pytest.mark.parametrize("says", [b"[1]", b"{}", b'{"slope": 1.0}', b"[" * 100_000, b"\xff", b'{"crc32c": "00000000"}'])
def test_metadata_that_is_not_what_a_store_wrote_is_damage(says: bytes) -> None:
    with pytest.raises(DamagedChunkError, match=r"^\.json: "):
        decode(".json", says)


@pytest.mark.parametrize(
    "says",
    [
        {"shape": [2**40] * 3, "chunk": [1, 1, 1]},
        {"shape": [2**20, 2**20, 1], "chunk": [48, 48, 1]},
        {"chunk": [2**20] * 3},
        {"shape": [-1, 2, 2]},
        {"dtype": "object"},
        {"dtype": "<M8[ns]"},
        {"fill": 1e308},
        {"shape": "222"},
    ],
)
def test_absurd_shard_headers_are_refused_before_memory_is_taken(says: dict[str, Any]) -> None:
    with pytest.raises(DamagedChunkError):
        decode(".image.shard", with_header(says))


def with_header(says: dict[str, Any]) -> bytes:
    """A shard whose header says something else, with the right checksum."""
    grid = Grid((2, 2, 2), (2, 2, 2), (2, 2, 2), "uint8", 0)
    line, _, rest = encode_shard(np.ones((2, 2, 2), np.uint8), grid).partition(b"\n")
    told = json.dumps({**json.loads(line), **says, "crc32c": "0" * 8}, separators=(",", ":"))
    plain = told + " " * (-(len(told) + 1) % 64) + "\n"
    return plain.replace("0" * 8 + '"}', crc32c(plain.encode()).hex() + '"}').encode() + rest


def test_a_flipped_bit_in_a_member_is_an_error_or_nothing(tars: Store, tmp_path: Path) -> None:
    truth, rng = {s["__key__"]: s for s in samples_of(urls_of(tars)[-1:])}, np.random.default_rng(0)
    url = str(shutil.copy(urls_of(tars)[-1], tmp_path / "flipped.tar"))
    content = Path(url).read_bytes()
    for place in rng.integers(8 * len(content), size=300).tolist():
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        Path(url).write_bytes(changed)
        try:
            samples = samples_of([url])
        except (webdataset.autodecode.DecodingError, tarfile.ReadError, ValueError, EOFError):
            continue
        for sample in samples:
            for name in sample.keys() - {"__url__", "__local_path__"} - {"__key__"}:
                np.testing.assert_equal(sample[name], truth[sample["__key__"]][name])


def test_a_damaged_member_header_ends_a_tar_early_for_others_and_verify_tells(tars: Store, tmp_path: Path) -> None:
    root = shutil.copytree(tars.path, tmp_path / "store")
    last = tars.row(tars.names()[-1])
    with (root / last.path).open("r+b") as file:
        file.seek(last.blobs[-1].offset - 512)
        file.write(b"?")
    whole, cut = samples_of([str(Path(tars.path) / last.path)]), samples_of([str(root / last.path)])
    assert (whole[-1].keys() - cut[-1].keys(), len(whole) - len(cut)) == ({"occupancy.shard", "json"}, 0)
    damage = [step for step in verify(open_store(root)) if isinstance(step, Damage)]
    assert [(entry.volume, entry.file) for entry in damage] == [(last.name, last.path)]


def test_keys_and_labels_that_webdataset_would_split_or_mix_up(tmp_path: Path) -> None:
    table = write_sources(tmp_path / "in")
    (tmp_path / "in/abdomen-ct/a.b.nii.gz").write_bytes((tmp_path / "in/abdomen-ct/0.nii.gz").read_bytes())
    settings = Settings(container="webdataset", keep_names=True, val_fraction=0)
    table.write_text("path,domain,label:spleen\nabdomen-ct/a.b.nii.gz,abdomen-ct,labels/0.nii.gz\n")
    convert(table, tmp_path / "store", settings=settings, jobs=0)
    (sample,) = samples_of(urls_of(open_store(tmp_path / "store")))
    assert (sample["__key__"], sample["spleen.shard"].shape) == ("a_b", (40, 36, 30))
    for columns in ("label:image", "label:Image", "label:occupancy", "label:a.b", "label:a,label:A"):
        labels = ",".join(["labels/0.nii.gz"] * (columns.count(",") + 1))
        table.write_text(f"path,domain,{columns}\nabdomen-ct/0.nii.gz,abdomen-ct,{labels}\n")
        with pytest.raises(InvalidArgument, match="a member of a tar cannot have this name"):
            convert(table, tmp_path / "other", settings=settings, jobs=0)
    table.write_text("path,domain,key\nabdomen-ct/0.nii.gz,abdomen-ct,a.b\n")
    with pytest.raises(InvalidArgument, match="a WebDataset key has no dot"):
        convert(table, tmp_path / "other", settings=settings, jobs=0)


@pytest.mark.parametrize("nbytes", [8 * 2**30 - 1, 8 * 2**30, 9 * 2**40 + 7])
def test_members_beyond_8_gib_have_the_size_in_base_256(nbytes: int) -> None:
    field = header("case.image.shard", nbytes)[124:136]
    told = int(field[:11], 8) if field[0] < 128 else int.from_bytes(field[1:], "big")
    assert (told, field[0] == 0x80) == (nbytes, nbytes >= 8 * 2**30)
    assert (nbytes + len(padding(nbytes))) % 512 == 0
    assert len(padding(nbytes)) < 512


def test_a_long_name_takes_more_records_and_offsets_know_it(tars: Store, tmp_path: Path) -> None:
    row = replace(tars.row("pet/0"), key="k" * 150)
    (moved,) = placed([row], "pet/000009.tar")
    data = {blob.offset: bytes(blob.nbytes) for blob in row.blobs}
    (tmp_path / "long.tar").write_bytes(b"".join(tar_pieces([row], lambda blob: [data[blob.offset]])))
    with tarfile.open(tmp_path / "long.tar") as tar:
        assert [m.offset_data for m in tar.getmembers()][:-1] == [blob.offset for blob in moved.blobs]
        assert tar.getnames() == member_names(row)
    assert (tmp_path / "long.tar").stat().st_size == packed_bytes(row) + 20 * 512


def test_paths_of_tars_are_told_from_folders() -> None:
    assert is_tar("ct/000000.tar")
    assert not is_tar("ct/000000.tar/0")
    assert not is_tar("ct/0")

"""Draws of a store with damaged bytes: each one that cannot be read is replaced, alike in every process."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import mixio
from mixio.convert import convert
from mixio.corners import Lattice, corner_of
from mixio.dataset import MixtureDataset
from mixio.draws import key_of, volume_of
from mixio.errors import DamagedChunkError, InvalidArgument, MissingShardError, MixioWarning, StoreError, TooManyFaults
from mixio.mixture import Mixture
from mixio.sampler import MixtureSampler
from mixio.settings import Settings
from mixio.store import Store, open_store
from mixio.stores import objects, patience
from mixio.stores.objects import ObjectStorage
from tests.servers import Proxy, proxy, s3, s3_log, s3_server  # noqa: F401

SHARES = {"abdomen-ct": 0.6, "brain-t1": 0.4}
SIZE = (16, 16, 16)  # as the chunks of `small_store`
CUT, GONE, SPOILT = "abdomen-ct/0", "abdomen-ct/3", "brain-t1/1"
"""Volumes with a damaged chunk, without their shard, and with a damaged index."""

silent = pytest.mark.filterwarnings("ignore::mixio.errors.MixioWarning", "ignore:This DataLoader will create")


def shard_of(store: Store, name: str) -> Path:
    (blob,) = store.row(name).blobs_of()
    return Path(store.path) / blob.path


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def damage_chunk(store: Store, name: str, position: tuple[int, int, int]) -> None:
    """Flip a bit in the middle of a chunk, which the index at the end of the shard tells the place of."""
    row, path = store.row(name), shard_of(store, name)
    counts = row.grid.chunks_per_shard
    footer = 16 * int(np.prod(counts)) + 4
    index = np.frombuffer(path.read_bytes()[-footer:-4], "<u8").reshape(*counts, 2)
    offset, length = (int(n) for n in index[position])
    flip(path, offset + length // 2)


@pytest.fixture(scope="module")
def damaged(small_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """`small_store` with the damage that the names above tell."""
    path = tmp_path_factory.mktemp("damaged") / "store"
    shutil.copytree(small_store.path, path)
    store = open_store(path)
    damage_chunk(store, CUT, (1, 1, 1))
    shard_of(store, GONE).unlink()
    flip(shard_of(store, SPOILT), -1)
    return open_store(path)


def of(store: Store, **options) -> MixtureDataset:
    return MixtureDataset(store, Mixture(SHARES), **{"patch_size": SIZE, "on_fault": "replace", **options})


def can_be_read(name: str, corner: tuple[int, int, int]) -> bool:
    """A patch of 16 voxels touches the chunk from 16 to 32 if it begins between 1 and 31 on every axis."""
    return name not in (GONE, SPOILT) and not (name == CUT and all(0 < c < 32 for c in corner))


def truth(clean: Store, g: int) -> tuple[str, tuple[int, int, int], str]:
    """The volume and corner that draw g must come to, and the volume that it was meant for if it is another."""
    domain, n = Mixture(SHARES).locate(g)
    names = clean.names(domain, "train")
    for later in range(len(names)):
        name = names[volume_of(0, domain, n, len(names), later=later)]
        corner = corner_of(key_of(0, "corner", domain, n), Lattice(clean.row(name).shape, SIZE))
        if can_be_read(name, corner):
            meant = names[volume_of(0, domain, n, len(names))]
            return name, corner, "" if name == meant else meant
    raise AssertionError("the store has undamaged volumes")


def assert_true(batches, clean: Store, draws: int) -> None:
    """What was delivered for draws 0, 1, ... is what `truth` says, with the voxels of the undamaged store."""
    assert [g for batch in batches for g in batch["draw"].tolist()] == list(range(draws))
    for batch in batches:
        for i, g in enumerate(batch["draw"].tolist()):
            name, corner, fault = truth(clean, g)
            assert f"{batch['domain'][i]}/{batch['key'][i]}" == name
            assert batch["domain"][i] == Mixture(SHARES).locate(g)[0]
            assert (tuple(batch["corner"][i].tolist()), batch["fault"][i]) == (corner, fault)
            voxels = clean.read_patch(name, corner=corner, size=SIZE)
            expected = mixio.normalize.normalize(voxels, clean.row(name), mixio.normalize.window_of(clean.row(name)))
            assert batch["image"][i, 0].numpy().tobytes() == expected.tobytes()


@silent
@pytest.mark.parametrize(
    ("workers", "context"),
    [(0, None), (1, "fork"), (4, "fork"), pytest.param(4, "spawn", marks=pytest.mark.slow)],
)
def test_any_number_of_workers_comes_to_the_same_replacements(small_store, damaged, workers, context):
    dataset = of(damaged)
    sampler = MixtureSampler(dataset, num_samples=120, batch_size=6, rank=0, num_replicas=1)
    options = {"num_workers": workers, "multiprocessing_context": context, "persistent_workers": workers > 0}
    loader = DataLoader(dataset, 6, sampler=sampler, **options)
    for _ in range(2):  # the second time every worker knows what is damaged
        batches = list(loader)
        assert_true(batches, small_store, 120)
    assert {fault for batch in batches for fault in batch["fault"]} == {"", CUT, GONE, SPOILT}


@silent
def test_what_was_read_before_changes_nothing(small_store, damaged):
    backwards, alone = of(damaged), of(damaged)
    samples = {g: backwards[g] for g in reversed(range(60))}
    batch = alone.read_batch(range(60))
    for g in range(60):
        assert torch.equal(samples[g]["image"], batch["image"][g])
        assert samples[g]["fault"] == batch["fault"][g]
    assert_true([batch], small_store, 60)


@silent
def test_a_raw_batch_is_replaced_alike(damaged):
    raw, batch = of(damaged).read_batch(range(30), raw=True), of(damaged).read_batch(range(30))
    assert raw["fault"] == batch["fault"]
    for patch, (scale, offset), image in zip(raw["image"], raw["linear"], batch["image"], strict=True):
        assert torch.equal((torch.from_numpy(patch.astype(np.float32)) * scale + offset).clamp(0, 1), image[0])


@silent
def test_the_mixture_stays_what_it_is_and_the_ledger_tells(small_store, damaged):
    dataset = of(damaged)
    ledger = mixio.Ledger(dataset.mixture)
    for first in range(0, 200, 8):
        ledger.observe(dataset.read_batch(range(first, first + 8)))
    replaced = [fault for _, _, fault in (truth(small_store, g) for g in range(200)) if fault]
    summary = ledger.summary()
    assert {domain: counts["draws"] for domain, counts in summary["domains"].items()} == Mixture(SHARES).counts(200)
    assert sum(counts["replaced"] for counts in summary["domains"].values()) == len(replaced)
    assert summary["damaged"] == sorted({CUT, GONE, SPOILT})
    assert f"damaged: {CUT}, {GONE}, {SPOILT}" in ledger.line()


def test_each_damaged_volume_is_warned_of_once(damaged):
    dataset = of(damaged)
    with pytest.warns(MixioWarning) as told:
        [dataset.read_batch(range(first, first + 6)) for first in (*range(0, 120, 6), *range(0, 120, 6))]
    volumes = sorted(str(one.message).partition("(volume ")[2].partition(")")[0] for one in told)
    assert volumes == sorted([CUT, GONE, SPOILT])


def test_without_damage_samples_say_so_and_nothing_is_warned_of(small_store):
    with_column, plain = of(small_store), of(small_store, on_fault="raise")
    assert with_column[3]["fault"] == ""
    assert "fault" not in plain[3]
    assert with_column.fingerprint == plain.fingerprint
    assert torch.equal(with_column[3]["image"], plain[3]["image"])


@silent
def test_a_damaged_grid_of_occupancy_is_replaced_too(small_store, tmp_path):
    shutil.copytree(small_store.path, tmp_path / "store")
    store = open_store(tmp_path / "store")
    flip(Path(store.path) / store.row("brain-t1/2").occupancy_blob.path, -1)
    dataset, draws = of(store, foreground=0.3), range(40)
    clean = of(small_store, foreground=0.3)
    faults = {g: dataset[g]["fault"] for g in draws}
    assert faults == {g: "brain-t1/2" * (clean.plan(g).volume == "brain-t1/2") for g in draws}
    assert {dataset[g]["key"] for g in draws if faults[g]} == {"1"}  # the only other one of the domain
    with pytest.raises(DamagedChunkError, match=r"\(volume brain-t1/2\)"):
        dataset.plan(next(g for g in draws if faults[g]))


@pytest.mark.parametrize(
    ("volume", "kind"), [(CUT, DamagedChunkError), (GONE, MissingShardError), (SPOILT, DamagedChunkError)]
)
def test_by_default_damage_is_raised_naming_volume_and_file(damaged, volume, kind):
    dataset, file = of(damaged, on_fault="raise"), str(shard_of(damaged, volume))
    plans = [plan for plan in map(dataset.plan, range(120)) if plan.volume == volume]
    broken = next(plan.g for plan in plans if not can_be_read(volume, plan.corner))
    with pytest.raises(kind, match=rf"^{file}: .*\(volume {volume}\)") as caught:
        dataset[broken]
    assert (type(caught.value), caught.value.volume, caught.value.file) == (kind, volume, file)


def test_what_is_whole_of_a_damaged_volume_is_read(small_store, damaged):
    dataset = of(damaged, on_fault="raise")
    plans = [plan for plan in map(dataset.plan, range(200)) if plan.volume == CUT]
    whole = [plan.g for plan in plans if can_be_read(CUT, plan.corner)]
    assert len(plans) > len(whole) > 0
    for g in whole:
        assert torch.equal(dataset[g]["image"], of(small_store)[g]["image"])


def test_a_worker_hands_on_the_error_with_both_names(damaged):
    dataset = of(damaged, on_fault="raise")
    sampler = MixtureSampler(dataset, num_samples=60, batch_size=6, rank=0, num_replicas=1)
    with pytest.raises(DamagedChunkError, match=r"(?s)DataLoader worker.*/0/c/0/0/0: .*\(volume .*\)"):
        list(DataLoader(dataset, 6, sampler=sampler, num_workers=1, multiprocessing_context="fork"))


@silent
def test_after_too_many_damaged_volumes_the_run_ends(damaged):
    of(damaged, max_faults=3).read_batch(range(120))
    with pytest.raises(TooManyFaults, match=r"3 damaged volumes are more than max_faults=2: .*, .*, .*; the last one"):
        of(damaged, max_faults=2).read_batch(range(120))


@silent
def test_a_domain_that_has_nothing_left_ends_the_run(small_store, tmp_path):
    shutil.copytree(small_store.path, tmp_path / "store")
    store = open_store(tmp_path / "store")
    for name in store.names("brain-t1"):
        shard_of(store, name).unlink()
    g = next(g for g in range(20) if Mixture(SHARES).locate(g)[0] == "brain-t1")
    with pytest.raises(TooManyFaults, match=f"draw {g} finds no undamaged patch in the 2 volumes of 'brain-t1'"):
        of(store)[g]


@silent
def test_volumes_in_tars_are_replaced_too(sources, tmp_path):
    settings = Settings(chunk=16, val_fraction=0, keep_names=True, container="webdataset")
    convert(sources, tmp_path / "store", settings=settings, jobs=0)
    store = open_store(tmp_path / "store")
    (blob,) = store.row("pet/1").blobs_of()
    flip(tmp_path / "store" / blob.path, blob.offset + blob.nbytes - 1)
    dataset = MixtureDataset(store, Mixture({"pet": 1.0}), patch_size=8, on_fault="replace")
    meant = [dataset.plan(g).volume for g in range(12)]
    assert [dataset[g]["fault"] for g in range(12)] == ["pet/1" * (name == "pet/1") for name in meant]
    with pytest.raises(DamagedChunkError, match=r"\.tar: .*\(volume pet/1\)") as caught:
        store.read_patches([("pet/0", (0, 0, 0)), ("pet/1", (0, 0, 0))], size=(8, 8, 8))
    assert (caught.value.volume, caught.value.file) == ("pet/1", str(tmp_path / "store" / blob.path))


@pytest.fixture
def bucket(small_store: Store, s3: str, tmp_path: Path) -> str:  # noqa: F811
    """The address of `small_store` in a bucket of its own."""
    place = f"{s3}/{tmp_path.name}-{os.getpid()}"
    for path in Path(small_store.path).rglob("*"):
        if path.is_file():
            ObjectStorage(place).write(str(path.relative_to(small_store.path)), path.read_bytes())
    return place


@silent
def test_an_object_that_is_gone_is_replaced(small_store, bucket):
    store = open_store(bucket)
    (blob,) = store.row("brain-t1/1").blobs_of()
    ObjectStorage(bucket).delete(blob.path)
    dataset, clean = of(store), of(small_store)
    faults = [dataset[g]["fault"] for g in range(20)]
    assert faults == ["brain-t1/1" * (clean.plan(g).volume == "brain-t1/1") for g in range(20)]
    with pytest.raises(MissingShardError, match=f"{bucket}/{blob.path}: the shard is missing.*volume brain-t1/1"):
        store.read("brain-t1/1")


def test_a_server_that_does_not_answer_is_no_damage(bucket, proxy: Proxy, monkeypatch):  # noqa: F811
    monkeypatch.setattr(patience, "SECONDS", 0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
    monkeypatch.setattr(objects, "_stores", {})
    dataset = of(open_store(bucket))
    dataset[0]
    proxy.faults[:] = ["503"] * 100
    other = next(g for g in range(1, 40) if dataset.plan(g).volume != dataset.plan(0).volume)
    with pytest.raises(StoreError, match="check the network") as caught:
        dataset[other]
    assert not isinstance(caught.value, DamagedChunkError | TooManyFaults)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_fault": "skip"}, 'on_fault must be "raise" or "replace", got \'skip\''),
        ({"max_faults": -1}, "max_faults must be at least 0, got -1"),
    ],
)
def test_wrong_options_are_refused(small_store, options, message):
    with pytest.raises(InvalidArgument, match=message):
        of(small_store, **options)

import numpy as np
import pytest

from mixio.dataset import MixtureDataset
from mixio.errors import InvalidArgument
from mixio.mixture import Mixture
from mixio.store import open_store
from mixio.stores.index import Index
from mixio.units import amounts_of, in_patches, real_voxels

SHARES = {"abdomen-ct": 0.5, "brain-t1": 0.25, "pet": 0.25}


def test_a_patch_has_the_voxels_of_its_volume_or_its_own_whichever_are_fewer():
    assert real_voxels((20, 18, 12), (16, 18, 24)) == 16 * 18 * 12
    assert real_voxels((320, 320, 256), (96, 96, 96)) == 96**3


def test_patches_deliver_the_shares_of_what_each_brings():
    mixture = in_patches(Mixture([(0, {"a": 0.5, "b": 0.5}), (64, {"a": 0.8, "b": 0.2})]), {"a": 1.0, "b": 0.25})
    assert [shares for _, shares in mixture.schedule] == [
        pytest.approx({"a": 0.2, "b": 0.8}),
        pytest.approx({"a": 0.5, "b": 0.5}),
    ]


def test_shares_of_voxels_are_those_of_the_real_voxels_delivered(small_store):
    dataset = MixtureDataset(small_store, Mixture(SHARES), patch_size=24, unit="voxels")
    voxels = dict.fromkeys(SHARES, 0)
    passes = [dataset.plan(g) for g in range(6_400)]
    for draw in passes:
        voxels[draw.domain] += real_voxels(small_store.row(draw.volume).shape, (24, 24, 24))
    total = sum(voxels.values())
    assert {domain: count / total for domain, count in voxels.items()} == pytest.approx(SHARES, abs=0.005)
    plain = MixtureDataset(small_store, Mixture(SHARES), patch_size=24).mixture.shares
    assert dataset.mixture.shares["pet"] > plain["pet"]  # its volumes are smaller than the patch


@pytest.mark.parametrize("subsets", [None, {"abdomen-ct": 3, "pet": 1}])
def test_no_row_is_read_to_know_what_a_patch_brings(small_store, monkeypatch, subsets):
    rows = {name: small_store.row(name) for name in small_store.names()}
    options = {"patch_size": 24, "subsets": subsets}
    with monkeypatch.context() as patched:
        patched.setattr(Index, "row", None)
        patched.setattr(Index, "rows", None)
        dataset = MixtureDataset(open_store(small_store.path), Mixture(SHARES), unit="voxels", **options)
    brought = {
        domain: sum(real_voxels(rows[name].shape, (24, 24, 24)) for name in names) / len(names)
        for domain, names in dataset.volumes.items()
    }
    patches = {domain: share / brought[domain] for domain, share in SHARES.items()}
    expected = {domain: number / sum(patches.values()) for domain, number in patches.items()}
    assert dataset.mixture.shares == pytest.approx(expected, rel=1e-12)


def test_volumes_of_one_domain_bring_their_average():
    shapes = np.array([[8, 8, 8], [99, 4, 99], [8, 8, 8], [2, 2, 2]])
    amounts = amounts_of("voxels", {"ct": 3}, size=(8, 8, 8), shapes_of={"ct": shapes}.__getitem__)
    assert amounts == {"ct": (512 + 8 * 4 * 8 + 512 + 8) / 4}


def test_shares_of_volumes_are_those_of_the_volumes_visited(small_store):
    options = {"patch_size": 16, "patches_per_volume": {"abdomen-ct": 4}, "unit": "volumes"}
    dataset = MixtureDataset(small_store, Mixture(SHARES), **options)
    assert dataset.mixture.shares == pytest.approx({"abdomen-ct": 0.8, "brain-t1": 0.1, "pet": 0.1})


def test_other_units_are_refused(small_store):
    with pytest.raises(InvalidArgument, match='unit must be "patches", "volumes" or "voxels", got \'draws\''):
        MixtureDataset(small_store, Mixture(SHARES), unit="draws")
    with pytest.raises(InvalidArgument, match="shares of volumes or voxels need a store"):
        MixtureDataset({"a": [1]}, Mixture({"a": 1.0}), unit="voxels")

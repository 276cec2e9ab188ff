"""Somebody's WebDataset tars as a domain: read at random by an index of the tar, or as a store."""

import io
import tarfile

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader

from mixio.convert import convert
from mixio.dataset import MixtureDataset, MixtureSampler
from mixio.errors import InvalidArgument
from mixio.mixture import Mixture
from mixio.settings import Settings
from mixio.store import open_store
from tests.adopted import example, run_example
from tests.test_dataset import SHARES, of_store

webdataset = pytest.importorskip("webdataset", reason="needs webdataset")

# webdataset leaves its files to the collector
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

MIXTURE = Mixture({"ct": 0.75, "mri": 0.25}, window=8)


def write(path, numbers):
    """A tar of one .npy and one .json a sample, as webdataset writes it."""
    with webdataset.TarWriter(str(path)) as tar:
        for number in numbers:
            image = np.random.default_rng(number).random((1, 6, 7, 8)).astype(np.float32)
            tar.write({"__key__": f"scan-{number:03d}", "npy": image, "json": {"number": number}})
    return path


@pytest.fixture
def tars(tmp_path):
    return [write(tmp_path / "000000.tar", range(5)), write(tmp_path / "000001.tar", range(5, 8))]


def indexed():
    """The class that the page shows."""
    names = {}
    exec(example("webdataset").partition("\nwith ")[0], names)
    return names["Tar"]


@pytest.mark.slow
def test_the_example_of_the_page_runs(small_store, tmp_path):
    assert run_example("webdataset", small_store, tmp_path).split() == ["64"]


def test_the_index_finds_what_webdataset_streams(tars):
    domain = ConcatDataset([indexed()(path) for path in tars])
    streamed = list(webdataset.WebDataset([str(path) for path in tars], shardshuffle=False).decode())
    assert len(domain) == len(streamed) == 8
    for sample, expected in zip(domain, streamed, strict=True):
        assert np.array_equal(sample["image"], expected["npy"])


@pytest.mark.parametrize("workers", [0, 2])
def test_tars_are_a_domain_beside_others_with_any_workers(tars, workers):
    domains = {"ct": indexed()(tars[0]), "mri": indexed()(tars[1])}
    dataset = MixtureDataset(domains, MIXTURE)
    sampler = MixtureSampler(dataset, num_samples=24, batch_size=4)
    batches = list(DataLoader(dataset, 4, sampler=sampler, num_workers=workers))
    assert sum(batch["domain"].count("mri") for batch in batches) == 6
    expected = torch.stack([torch.from_numpy(dataset[g]["image"]) for g in range(24)])
    assert torch.equal(torch.cat([batch["image"] for batch in batches]), expected)


def test_a_stream_is_refused_as_a_domain(tars):
    stream = webdataset.WebDataset(str(tars[0]), shardshuffle=False)
    with pytest.raises(InvalidArgument, match="data set of 'ct' has no length; a domain is map-style"):
        MixtureDataset({"ct": stream, "mri": indexed()(tars[1])}, MIXTURE)


def test_a_compressed_tar_cannot_be_read_at_random(tars, tmp_path):
    packed = tmp_path / "packed.tar.gz"
    with tarfile.open(packed, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("a.npy"), io.BytesIO())
    with pytest.raises(tarfile.ReadError):
        indexed()(packed)


def test_our_own_tars_are_drawn_from_as_a_store_patch_by_patch(sources, small_store, tmp_path):
    settings = Settings(chunk=16, val_fraction=0.3, keep_names=True, container="webdataset")
    convert(sources, tmp_path / "tars", settings=settings, jobs=0)
    dataset, expected = of_store(open_store(tmp_path / "tars")), of_store(small_store)
    assert set(SHARES) == {dataset[g]["domain"] for g in range(64)}
    for g in range(12):
        assert torch.equal(dataset[g]["image"], expected[g]["image"])

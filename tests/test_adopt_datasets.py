"""Hugging Face `datasets` as domains."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mixio.dataset import MixtureDataset, MixtureSampler
from mixio.errors import InvalidArgument
from mixio.mixture import Mixture
from tests.adopted import run_example

datasets = pytest.importorskip("datasets", reason="needs datasets of Hugging Face")

MIXTURE = Mixture({"ct": 0.75, "mri": 0.25}, window=8)


def volumes(count, first=0):
    images = [np.full((1, 4, 5, 6), first + number, np.float32) for number in range(count)]
    return datasets.Dataset.from_dict({"image": images, "number": [first + number for number in range(count)]})


def draws_of(domains, workers=0, **options):
    dataset = MixtureDataset(domains, MIXTURE, **options)
    sampler = MixtureSampler(dataset, num_samples=24, batch_size=4)
    return list(DataLoader(dataset, 4, sampler=sampler, num_workers=workers))


@pytest.mark.slow
def test_the_example_of_the_page_runs(small_store, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    assert run_example("datasets", small_store, tmp_path).split() == ["64"]


@pytest.mark.parametrize("workers", [0, 2])
def test_each_row_of_a_domain_is_drawn_once_a_pass(workers):
    domains = datasets.DatasetDict(ct=volumes(6), mri=volumes(2, first=100)).with_format("torch")
    batches = draws_of(domains, workers)
    numbers = torch.cat([batch["number"] for batch in batches])
    assert sorted(numbers[numbers < 100].tolist()) == sorted([*range(6)] * 3)
    assert sorted(numbers[numbers >= 100].tolist()) == sorted([100, 101] * 3)
    images = torch.cat([batch["image"] for batch in batches])
    assert images.shape == (24, 1, 4, 5, 6)
    assert torch.equal(images[:, 0, 0, 0, 0].long(), numbers)


def test_a_view_of_some_rows_is_a_domain_and_so_is_one_on_disk(tmp_path):
    volumes(6).save_to_disk(tmp_path / "ct")
    ct = datasets.load_from_disk(str(tmp_path / "ct")).with_format("torch")
    batches = draws_of({"ct": ct, "mri": volumes(6).select([4, 5]).with_format("torch")})
    drawn = {(d, int(n)) for batch in batches for d, n in zip(batch["domain"], batch["number"], strict=True)}
    assert drawn == {*(("ct", n) for n in range(6)), ("mri", 4), ("mri", 5)}


def test_without_a_format_images_are_lists():
    sample = MixtureDataset({"ct": volumes(3), "mri": volumes(2)}, MIXTURE)[0]
    assert isinstance(sample["image"], list)


def test_a_stream_is_refused_as_a_domain():
    with pytest.raises(InvalidArgument, match="data set of 'ct' has no length; a domain is map-style"):
        MixtureDataset({"ct": volumes(3).to_iterable_dataset(), "mri": volumes(2)}, MIXTURE)


def test_a_column_with_a_name_of_ours_is_refused_and_can_be_renamed():
    ct = volumes(3).rename_column("number", "draw")
    with pytest.raises(InvalidArgument, match="items of 'ct' have a key 'draw' already"):
        draws_of({"ct": ct, "mri": volumes(2)})
    assert (
        len(
            draws_of(
                {"ct": ct.rename_column("draw", "number").with_format("torch"), "mri": volumes(2).with_format("torch")}
            )
        )
        == 6
    )

"""MONAI: dictionary transforms as `transform=`, its DataLoader, decollating, and randomness from the sample's seed."""

import pytest
import torch
from torch.utils.data import DataLoader as TorchLoader

from mixio.loader import MixtureLoader
from tests.adopted import run_example
from tests.test_dataset import of_run, of_store

transforms = pytest.importorskip("monai.transforms", reason="needs monai")
data = pytest.importorskip("monai.data", reason="needs monai")


class Seeded:
    """MONAI transforms whose randomness is the sample's."""

    def __init__(self, *steps):
        self.steps = transforms.Compose(steps)

    def __call__(self, sample):
        self.steps.set_random_state(seed=sample["seed"])
        return self.steps(sample)


def augmented(store):
    augment = Seeded(
        transforms.RandFlipd(keys="image", prob=0.5, spatial_axis=0),
        transforms.RandRotate90d(keys="image", prob=0.5),
        transforms.RandGaussianNoised(keys="image", prob=1.0, std=0.1),
    )
    return of_store(store, transform=augment)


def loader_of(dataset, cls, workers, rank=0, world=1):
    return cls(dataset, batch_size=3, sampler=of_run(dataset, rank, world, 3, 24), num_workers=workers)


def images(loader):
    return torch.cat([torch.as_tensor(batch["image"]) for batch in loader])


@pytest.mark.slow
def test_the_example_of_the_page_runs(small_store, tmp_path):
    assert run_example("monai", small_store, tmp_path).split() == ["64"]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cls", [data.DataLoader, TorchLoader])
def test_a_sample_is_the_same_whatever_worker_reads_it(small_store, cls, workers):
    dataset = augmented(small_store)
    expected = torch.stack([torch.as_tensor(dataset[g]["image"]) for g in reversed(range(24))]).flip(0)
    assert torch.equal(images(loader_of(dataset, cls, workers)), expected)
    assert not torch.equal(expected, images(loader_of(of_store(small_store), cls, workers)))


def test_threads_and_ranks_give_the_same_samples(small_store):
    dataset = augmented(small_store)
    expected = images(loader_of(dataset, data.DataLoader, 0))
    assert torch.equal(images(MixtureLoader(dataset, num_samples=24, batch_size=3, threads=3)), expected)
    ranks = [loader_of(dataset, data.DataLoader, 0, rank, 2) for rank in range(2)]
    batches = [torch.as_tensor(batch["image"]) for step in zip(*ranks, strict=True) for batch in step]
    assert torch.equal(torch.cat(batches), expected)


def test_without_the_seed_workers_change_what_is_read(small_store):
    dataset = of_store(small_store, transform=transforms.Compose([transforms.RandGaussianNoised("image", prob=1.0)]))
    loaders = [loader_of(dataset, data.DataLoader, workers) for workers in (0, 1, 2)]
    one, two, three = map(images, loaders)
    assert not torch.equal(one, two)
    assert not torch.equal(two, three)


def test_decollated_samples_can_be_inverted_to_what_was_read(small_store):
    plain = of_store(small_store)
    augment = Seeded(transforms.RandFlipd("image", prob=0.5), transforms.RandRotate90d("image", prob=0.5))
    dataset = of_store(small_store, transform=augment)
    for batch in loader_of(dataset, data.DataLoader, 2):
        for sample in data.decollate_batch(batch):
            expected = plain[int(sample["draw"])]
            assert (sample["domain"], sample["key"]) == (expected["domain"], expected["key"])
            assert sample["corner"].tolist() == expected["corner"].tolist()
            inverted = augment.steps.inverse({"image": sample["image"]})["image"]
            assert torch.equal(torch.as_tensor(inverted), expected["image"])


def test_several_crops_of_a_sample_make_a_larger_batch(small_store):
    crops = Seeded(transforms.RandSpatialCropSamplesd("image", roi_size=8, num_samples=2, random_size=False))
    dataset = of_store(small_store, transform=crops)
    batch = next(iter(loader_of(dataset, data.DataLoader, 0)))
    assert batch["image"].shape == (6, 1, 8, 8, 8)
    assert batch["draw"].tolist() == [0, 0, 1, 1, 2, 2]


def test_the_plain_data_set_goes_through_its_loader_untouched(small_store):
    dataset = of_store(small_store)
    expected = images(loader_of(dataset, TorchLoader, 0))
    for workers in (0, 2):
        assert torch.equal(images(loader_of(dataset, data.DataLoader, workers)), expected)

"""TorchIO transforms on the image, with randomness from the sample's seed."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mixio.loader import MixtureLoader
from tests.adopted import run_example
from tests.test_dataset import of_run, of_store

tio = pytest.importorskip("torchio", reason="needs torchio")


class Seeded:
    """TorchIO transforms of a Subject that is made for them; their randomness, torch's, is the sample's."""

    def __init__(self, transform):
        self.transform = transform

    def __call__(self, sample):
        subject = tio.Subject(image=tio.ScalarImage(tensor=sample["image"]))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(sample["seed"])
            return {**sample, "image": self.transform(subject)["image"].data}


def augmented(store):
    return of_store(
        store, transform=Seeded(tio.Compose([tio.RandomFlip(axes=(0, 1, 2)), tio.RandomNoise(std=(0.1, 0.1))]))
    )


def images(dataset, workers):
    loader = DataLoader(dataset, 3, sampler=of_run(dataset, 0, 1, 3, 24), num_workers=workers)
    return torch.cat([batch["image"] for batch in loader])


@pytest.mark.slow
def test_the_example_of_the_page_runs(small_store, tmp_path):
    assert run_example("torchio", small_store, tmp_path).split() == ["64"]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sample_is_the_same_whatever_worker_reads_it(small_store, workers):
    dataset = augmented(small_store)
    expected = torch.stack([dataset[g]["image"] for g in reversed(range(24))]).flip(0)
    assert torch.equal(images(dataset, workers), expected)
    assert not torch.equal(expected, images(of_store(small_store), workers))
    threads = MixtureLoader(dataset, num_samples=24, batch_size=3, threads=3)
    assert torch.equal(torch.cat([batch["image"] for batch in threads]), expected)


def test_the_generator_of_the_training_process_is_left_as_it_was(small_store):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    augmented(small_store)[7]
    assert torch.equal(torch.rand(3), expected)


def test_axes_are_ours_so_that_a_flip_from_left_to_right_is_of_axis_0(small_store):
    flip = Seeded(tio.RandomFlip(axes=("Left",), flip_probability=1))
    sample, plain = of_store(small_store, transform=flip)[3], of_store(small_store)[3]
    assert np.array_equal(sample["image"].numpy(), plain["image"].numpy()[:, ::-1])

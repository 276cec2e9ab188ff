"""Somebody's own map-style data sets as domains."""

from collections import Counter

import numpy as np
import pytest
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset

from mixio.dataset import MixtureDataset
from mixio.errors import InvalidArgument
from mixio.mixture import Mixture
from mixio.sampler import MixtureSampler
from tests.adopted import run_example


class Cubes(Dataset):
    """Volumes of mixed sizes, each filled with its number; it notes what was asked for."""

    def __init__(self, count):
        self.count, self.asked = count, []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.asked.append(index)
        return {"image": np.full((1, 8 + index, 9, 10), index, np.float32)}


def cut(sample):
    """A patch of 8 x 8 x 8 at a place that the seed decides."""
    rng = np.random.default_rng(sample["seed"])
    x, y, z = rng.integers(0, np.array(sample["image"].shape[1:]) - 7)
    return {**sample, "image": sample["image"][:, x : x + 8, y : y + 8, z : z + 8], "corner": np.array([x, y, z])}


def mixed(members, **options):
    return MixtureDataset(members, Mixture({"ct": 0.75, "mri": 0.25}, window=8), **options)


@pytest.mark.slow
def test_the_example_of_the_page_runs(small_store, tmp_path):
    assert run_example("own", small_store, tmp_path).split() == ["64"]


def test_members_are_asked_for_plain_integers_each_once_a_pass_in_the_shares():
    members = {"ct": Cubes(6), "mri": Subset(ConcatDataset([Cubes(3), Cubes(3)]), range(4))}
    samples = mixed(members).__getitems__(range(16))
    assert Counter(sample["domain"] for sample in samples) == {"ct": 12, "mri": 4}
    assert {type(index) for index in members["ct"].asked} == {int}
    assert Counter(members["ct"].asked) == dict.fromkeys(range(6), 2)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_cut_by_the_seed_is_the_same_in_every_worker(workers):
    dataset = mixed({"ct": Cubes(6), "mri": Cubes(2)}, transform=cut)
    sampler = MixtureSampler(dataset, num_samples=16, batch_size=4)
    batches = DataLoader(dataset, 4, sampler=sampler, num_workers=workers)
    corners = [corner for batch in batches for corner in batch["corner"].tolist()]
    expected = [dataset[g]["corner"].tolist() for g in reversed(range(16))][::-1]
    assert corners == expected
    assert len({tuple(corner) for corner in expected}) > 4


def test_items_that_are_no_dictionaries_come_as_they_are():
    assert {mixed({"ct": [1, 2], "mri": ["three"]})[g] for g in range(8)} == {1, 2, "three"}


def test_a_name_of_ours_in_an_item_is_refused():
    with pytest.raises(InvalidArgument, match="items of 'ct' have a key 'seed' already; rename it there"):
        mixed({"ct": [{"seed": 1}], "mri": [{"seed": 2}]})[0]


def test_a_data_set_without_a_length_is_refused():
    with pytest.raises(InvalidArgument, match="data set of 'mri' has no length; a domain is map-style"):
        mixed({"ct": [1], "mri": iter([1])})

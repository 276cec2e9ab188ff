import copy
import os
import pickle
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from monai.data import MetaTensor, list_data_collate
from torch.utils.data import DataLoader, Dataset, default_collate

from mixio.late import Stored, StoredBatch
from tests.test_dataset import assert_same_batch, of_run, of_store

PATCH = np.arange(-30, 30, dtype=np.int16).reshape(3, 4, 5)
LINEAR = (0.25, 0.5)
EXPECTED = torch.from_numpy(np.clip(PATCH.astype(np.float32) * 0.25 + 0.5, 0, 1))[None]


def stored():
    return Stored(PATCH, LINEAR)


USES = {
    "numpy": lambda image: torch.from_numpy(image.numpy()),
    "asarray": lambda image: torch.from_numpy(np.asarray(image)),
    "stack": lambda image: torch.stack([image, image])[1],
    "stack into": lambda image: torch.stack([image], out=torch.empty(1, *EXPECTED.shape))[0],
    "cat": lambda image: torch.cat([image]),
    "arithmetic": lambda image: (2 * image + 1 - 1) / 2,
    "index": lambda image: image[0][None],
    "clone": lambda image: image.clone(),
    "contiguous": lambda image: image.contiguous(),
    "as_tensor": lambda image: torch.as_tensor(image) + 0,
    "subclass": lambda image: image.as_subclass(torch.Tensor),
    "metatensor": lambda image: MetaTensor(image).as_tensor(),
    "dlpack": torch.from_dlpack,
    "tolist": lambda image: torch.tensor(image.tolist()),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda image: pickle.loads(pickle.dumps(image)),
    "pickle between processes": lambda image: pickle.loads(ForkingPickler.dumps(image)),
    "share_memory": lambda image: image.share_memory_(),
    "storage": lambda image: (
        torch.tensor(list(image.untyped_storage()), dtype=torch.uint8).view(torch.float32).view(image.shape)
    ),
    "collate": lambda image: default_collate([image, image])[0],
    "monai": lambda image: list_data_collate([{"image": image}])["image"][0],
    "vmap": lambda image: torch.vmap(lambda one: one + 0)(image),
    "set": lambda image: torch.empty(EXPECTED.shape).copy_(image),
    "interpolate": lambda image: torch.nn.functional.interpolate(image[None], scale_factor=1.0)[0],
    "assign": lambda image: torch.zeros(2, *EXPECTED.shape).index_put_((torch.tensor([1]),), image)[1],
}


@pytest.mark.parametrize("use", USES)
def test_whatever_is_done_with_one_is_done_with_the_float32_tensor(use):
    got = USES[use](stored())
    assert type(got) is torch.Tensor
    assert got.dtype == torch.float32
    assert torch.equal(got, EXPECTED)


def test_it_is_a_tensor_of_the_shape_type_and_place_that_it_will_have():
    image = stored()
    assert isinstance(image, torch.Tensor)
    assert (image.shape, image.dtype, image.device.type, image.ndim) == ((1, 3, 4, 5), torch.float32, "cpu", 4)
    assert repr(image) == repr(EXPECTED)


def test_what_is_changed_in_place_stays_changed():
    image = stored()
    image[:, 1:] = 9
    image.mul_(2)
    changed = EXPECTED.clone()
    changed[:, 1:] = 9
    assert torch.equal(pickle.loads(pickle.dumps(image)), changed * 2)
    assert not image.untouched


def test_a_batch_of_several_types_comes_out_of_its_pickle_as_one_tensor():
    patches = [np.full((3, 5, 7), 7, dtype) for dtype in ("uint8", "int16", "float32", "uint16", "int8")]
    batch = StoredBatch([Stored(patch, (0.1 / (i + 1), 0.0)) for i, patch in enumerate(patches)])
    image = pickle.loads(ForkingPickler.dumps(batch))
    expected = [np.float32(7) * np.float32(0.1 / (i + 1)) for i in range(5)]
    assert image.shape == (5, 1, 3, 5, 7)
    assert image[:, 0, 2, 4, 6].tolist() == [float(np.clip(value, 0, 1)) for value in expected]
    assert len(ForkingPickler.dumps(batch)) < 1500  # the numbers themselves are in shared memory


def stacked(samples):
    return {"image": torch.stack([sample["image"] for sample in samples]), "draw": [s["draw"] for s in samples]}


def first_channel(samples):
    return [(sample["image"].numpy()[0], sample["key"]) for sample in samples]


@pytest.mark.parametrize("collate", [stacked, list_data_collate])
def test_a_collate_function_of_ones_own_sees_tensors(small_store, collate):
    dataset = of_store(small_store)
    here, there = (
        list(DataLoader(dataset, 3, sampler=of_run(dataset, 0, 1, 3, 12), num_workers=n, collate_fn=collate))
        for n in (0, 1)
    )
    for batch, expected in zip(there, here, strict=True):
        assert type(batch["image"]) is type(expected["image"])
        assert torch.equal(batch["image"], expected["image"])


def mixed(samples):
    """What torchvision's MixUp does, and then some."""
    batch = default_collate(samples)
    batch["image"][:, :, 0] = 0.25
    return {**batch, "image": batch["image"].half().float() * 0.5, "mean": batch["image"].mean(), "raw": batch["image"]}


def test_a_collate_function_goes_on_with_the_batch_as_with_a_tensor(small_store):
    dataset = of_store(small_store)
    here, there = (
        list(DataLoader(dataset, 3, sampler=of_run(dataset, 0, 1, 3, 6), num_workers=n, collate_fn=mixed))
        for n in (0, 1)
    )
    for batch, expected in zip(there, here, strict=True):
        assert_same_batch(batch, expected)
        assert {type(batch[name]) for name in ("image", "mean", "raw")} == {torch.Tensor}


def test_a_sample_that_is_kept_in_a_worker_holds_no_file_open(small_store):
    (batch,) = DataLoader(Kept(of_store(small_store)), 1, sampler=[0], num_workers=1)
    assert int(batch["opened"]) == 0


class Kept(Dataset):
    """Counts the files that a worker holds open for the samples that it keeps."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __getitem__(self, g):
        self.dataset[g]
        before = len(os.listdir("/proc/self/fd"))
        kept = [self.dataset[g] for _ in range(20)]
        return {"opened": len(os.listdir("/proc/self/fd")) - before, "kept": len(kept)}

    def __len__(self):
        return 1


def test_without_collation_single_samples_are_the_same(small_store):
    dataset = of_store(small_store)
    here, there = (list(DataLoader(dataset, batch_size=None, sampler=range(6), num_workers=n)) for n in (0, 1))
    for sample, expected in zip(there, here, strict=True):
        assert_same_batch(sample, expected)
        assert type(sample["image"]) is torch.Tensor


def test_numpy_sees_the_values_in_a_worker(small_store):
    dataset = of_store(small_store)
    sampler = of_run(dataset, 0, 1, 2, 2)
    loader = DataLoader(dataset, 2, sampler=sampler, num_workers=1, collate_fn=first_channel)
    (one, _), (two, _) = next(iter(loader))
    assert np.array_equal(one, dataset[0]["image"][0])
    assert np.array_equal(two, dataset[1]["image"][0])


class Doubled(torch.utils.data.Dataset):
    """Somebody's data set around ours, that changes images in place."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __getitem__(self, g):
        sample = self.dataset[g]
        sample["image"].mul_(2)
        return sample


def test_what_is_changed_in_a_worker_arrives_changed(small_store):
    dataset = of_store(small_store)
    (batch,) = DataLoader(Doubled(dataset), 3, sampler=range(3), num_workers=1)
    assert torch.equal(batch["image"], 2 * dataset.read_batch(range(3))["image"])

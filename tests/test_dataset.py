import multiprocessing
import operator
import os
import pickle
import subprocess
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from hashlib import blake2b

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, default_collate

import mixio
from mixio.dataset import MixtureDataset
from mixio.draws import volume_of
from mixio.errors import AllocationError, InvalidArgument
from mixio.mixture import Mixture
from mixio.normalize import window_of
from mixio.sampler import MixtureSampler

SHARES = {"abdomen-ct": 0.5, "brain-t1": 0.3, "pet": 0.2}
LISTS = {"a": [{"x": i} for i in range(5)], "b": [{"x": 10 * i} for i in range(3)]}


def of_lists(**options):
    return MixtureDataset(LISTS, Mixture({"a": 0.6, "b": 0.4}, window=16), **options)


def of_store(store, **options):
    return MixtureDataset(store, Mixture(SHARES), **{"patch_size": 16, **options})


def of_run(dataset, rank, world, batch, total):
    return MixtureSampler(dataset, num_samples=total, batch_size=batch, rank=rank, num_replicas=world)


@pytest.mark.parametrize(
    ("workers", "context"),
    [(0, None), (2, "fork"), pytest.param(2, "spawn", marks=pytest.mark.slow)],
)
def test_ranks_and_workers_change_nothing_of_what_is_read(small_store, workers, context):
    dataset = of_store(small_store)
    options = {"num_workers": workers, "multiprocessing_context": context}
    loaders = [DataLoader(dataset, 3, sampler=of_run(dataset, rank, 2, 3, 24), **options) for rank in range(2)]
    batches = [batch for step in zip(*loaders, strict=True) for batch in step]
    assert [g for batch in batches for g in batch["draw"].tolist()] == list(range(24))
    expected = torch.stack([dataset[g]["image"] for g in reversed(range(24))]).flip(0)
    assert torch.equal(torch.cat([batch["image"] for batch in batches]), expected)


@pytest.mark.slow
def test_another_process_reads_the_same_bits(small_store):
    dataset = of_store(small_store, foreground=0.3)
    here = dataset[10**12]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        there = pool.submit(operator.getitem, dataset, 10**12).result()
    assert torch.equal(here["image"], there["image"])
    assert here["corner"].tolist() == there["corner"].tolist()
    assert (here["key"], here["seed"]) == (there["key"], there["seed"])


@given(st.integers(0, 10**15))
def test_a_patch_is_the_normalized_crop_of_the_volume_it_names(small_store, g):
    sample = of_store(small_store, patch_size=(16, 18, 13))[g]
    name = f"{sample['domain']}/{sample['key']}"
    first, stop = sample["valid"].numpy()
    low, high = sample["corner"].numpy() + first, sample["corner"].numpy() + stop
    voxels = small_store.read(name).voxels[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    floor, ceiling = window_of(small_store.row(name))
    image = sample["image"].numpy()[0]
    inside = image[first[0] : stop[0], first[1] : stop[1], first[2] : stop[2]]
    np.testing.assert_allclose(inside, np.clip((voxels - floor) / (ceiling - floor), 0, 1), atol=1e-5)
    assert image.shape == (16, 18, 13)
    assert sample["image"].dtype == torch.float32


def test_a_volume_smaller_than_the_patch_is_centered_in_background(small_store):
    mixture = Mixture({"pet": 1.0})  # 20 x 18 x 12 voxels on a background of 0
    sample = MixtureDataset(small_store, mixture, patch_size=24)[5]
    assert sample["corner"].tolist() == [-2, -3, -6]
    assert sample["valid"].tolist() == [[2, 3, 6], [22, 21, 18]]
    outside = sample["image"][0].clone()
    outside[2:22, 3:21, 6:18] = 0
    assert outside.max() == 0
    assert sample["image"].max() > 0.4


@given(st.integers(0, 10**15))
def test_a_flipped_patch_is_the_patch_in_the_opposite_order(small_store, g):
    options = {"patch_size": (16, 18, 13), "foreground": 0.3}  # longer than some volumes, so that there is padding
    plain, flipped = of_store(small_store, **options)[g], of_store(small_store, flip=True, **options)[g]
    flip = flipped.pop("flip")
    axes = flip.nonzero()[:, 0].tolist()
    assert torch.equal(flipped["image"], plain["image"].flip([1 + axis for axis in axes]))
    real = torch.zeros(16, 18, 13, dtype=torch.bool)
    real[tuple(slice(*ends) for ends in plain["valid"].T.tolist())] = True
    turned = torch.zeros_like(real)
    turned[tuple(slice(*ends) for ends in flipped["valid"].T.tolist())] = True
    assert torch.equal(turned, real.flip(axes))
    same = ("domain", "key", "draw", "seed", "corner")
    assert_same_batch({name: flipped[name] for name in same}, {name: plain[name] for name in same})
    assert of_store(small_store, flip=True, **options).plan(g).flip == tuple(flip.tolist())


def test_flips_may_be_along_some_axes_only(small_store):
    flips = torch.stack([of_store(small_store, flip=[2, 0])[g]["flip"] for g in range(40)])
    assert flips.any(0).tolist() == [True, False, True]
    assert not flips[:, 0].equal(flips[:, 2])


def test_the_loader_delivers_the_mixture(small_store):
    dataset = of_store(small_store, patch_size=8)
    ledger = mixio.Ledger(dataset.mixture, {domain: len(names) for domain, names in dataset.volumes.items()})
    for batch in DataLoader(dataset, 8, sampler=of_run(dataset, 0, 1, 8, 640)):
        ledger.observe(batch)
    counts = ledger.summary()["domains"]
    assert {domain: counts[domain]["draws"] for domain in SHARES} == {"abdomen-ct": 320, "brain-t1": 192, "pet": 128}
    seen = {domain: counts[domain]["volumes_seen"] for domain in SHARES}
    assert seen == {domain: len(names) for domain, names in dataset.volumes.items()}


def test_only_the_split_is_read(small_store):
    for split in ("train", "val"):
        dataset = of_store(small_store, split=split, patch_size=4)
        names = {f"{sample['domain']}/{sample['key']}" for sample in map(dataset.__getitem__, range(64))}
        assert names == set(small_store.names(split=split))
        assert len(dataset) == len(names)


def test_windows_replace_those_of_a_domain_or_a_modality(small_store):
    g = next(g for g in range(100) if Mixture(SHARES).locate(g)[0] == "abdomen-ct")
    plain = of_store(small_store)[g]["image"]
    by_modality = of_store(small_store, windows={"CT": (-1000, 0)})[g]["image"]
    by_domain = of_store(small_store, windows={"CT": (5, 6), "abdomen-ct": (-1000, 0)})[g]["image"]
    assert torch.equal(by_modality, by_domain)
    torch.testing.assert_close(by_modality, (plain * 2).clamp(0, 1))


def test_asking_for_foreground_finds_more_of_it(small_store):
    def mean(foreground):
        dataset = MixtureDataset(small_store, Mixture({"brain-t1": 1.0}), patch_size=8, foreground=foreground)
        return np.mean([(dataset[g]["image"] > 0).float().mean() for g in range(40)])

    assert mean(0.9) > mean(0.0) + 0.2


@pytest.mark.parametrize(("align", "step"), [("chunk", (16, 16, 12)), (8, (8, 8, 8)), ((2, 4, 8), (2, 4, 8))])
def test_aligned_patches_begin_at_multiples_or_end_with_the_volume(small_store, align, step):
    dataset = of_store(small_store, align=align, foreground=0.3, patch_size=(16, 16, 12))
    for sample in map(dataset.__getitem__, range(60)):
        shape = small_store.row(f"{sample['domain']}/{sample['key']}").shape
        for corner, n, s, p in zip(sample["corner"].tolist(), shape, step, dataset.patch_size, strict=True):
            assert corner % s == 0 or corner == n - p


def test_the_transform_comes_last(small_store):
    dataset = of_store(small_store, transform=lambda sample: (sample["draw"], sample["seed"], sample["image"].shape))
    draw, seed, shape = dataset[7]
    assert (draw, tuple(shape)) == (7, (1, 16, 16, 16))
    assert 0 <= seed < 2**32


def test_it_survives_pickling(small_store):
    dataset = of_store(small_store)
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[3]["image"], dataset[3]["image"])
    assert copy.fingerprint == dataset.fingerprint


def test_the_fingerprint_is_that_of_the_names_as_lists(small_store):
    dataset = of_store(small_store)
    names = {domain: small_store.names(domain, "train") for domain in SHARES}
    expected = blake2b(repr(sorted(names.items())).encode(), digest_size=8).hexdigest()
    assert dataset.fingerprint["volumes"] == expected


def test_a_pickled_data_set_names_no_volume(small_store):
    assert b"abdomen-ct/" not in pickle.dumps(of_store(small_store))


@given(st.integers(0, 10**15))
def test_members_of_a_dictionary_are_drawn_and_tagged(g):
    domain, n = of_lists().mixture.locate(g)
    member = LISTS[domain][volume_of(0, domain, n, len(LISTS[domain]))]
    sample = of_lists()[g]
    assert sample == {**member, "domain": domain, "draw": g, "seed": sample["seed"]}
    assert "draw" not in member


def test_members_that_give_no_dictionary_are_left_as_they_are():
    dataset = MixtureDataset({"a": ["x", "y"]}, Mixture({"a": 1.0}))
    assert Counter(dataset[g] for g in range(64)) == {"x": 32, "y": 32}
    assert len(dataset) == 2


def test_a_tag_that_a_member_uses_itself_is_refused():
    dataset = MixtureDataset({"a": [{"seed": 1}]}, Mixture({"a": 1.0}))
    with pytest.raises(InvalidArgument, match="items of 'a' have a key 'seed' already"):
        dataset[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_size": 0}, "patch_size must be .* at least 1, got 0"),
        ({"seed": 0.5}, "seed must be a whole number, got 0.5"),
        ({"patch_size": (8, 8)}, r"patch_size must be one or three .* got \(8, 8\)"),
        ({"foreground": 1.5}, "foreground must be a share between 0 and 1, got 1.5"),
        ({"windows": {"abdomne-ct": (0, 1)}}, "windows names 'abdomne-ct', which is none of .*; a misspelled"),
        ({"flip": [0, 3]}, r"flip must be True, False or some of the axes 0, 1 and 2, got \[0, 3\]"),
        ({"flip": (1, 1)}, r"flip must be True, False or some of the axes 0, 1 and 2, got \(1, 1\)"),
        ({"flip": "x"}, "flip must be True, False or some of the axes 0, 1 and 2, got 'x'"),
        ({"windows": {"CT": (5, 5)}}, "the window of 'CT' must have low < high"),
    ],
)
def test_wrong_options_are_refused(small_store, options, message):
    with pytest.raises(InvalidArgument, match=message):
        of_store(small_store, **options)


def test_an_unknown_domain_is_refused_with_those_there_are(small_store):
    with pytest.raises(AllocationError, match=r"^'brain-t2' has share 0.4 but .* only \['abdomen-ct', .*give it sh"):
        MixtureDataset(small_store, Mixture({"abdomen-ct": 0.6, "brain-t2": 0.4}))
    assert len(MixtureDataset(small_store, Mixture({"pet": 1.0, "brain-t2": 0.0}), split="val")) > 0


def test_a_domain_without_volumes_in_the_split_is_refused(small_store):
    with pytest.raises(AllocationError, match=r"'abdomen-ct' has share 0.5 but no volume in split 'test'"):
        of_store(small_store, split="test")
    with pytest.raises(AllocationError, match="'a' has share 1 but its data set is empty"):
        MixtureDataset({"a": []}, Mixture({"a": 1.0}))


def test_store_options_are_refused_for_a_dictionary():
    for option in ({"foreground": 0.5}, {"flip": True}):
        with pytest.raises(
            InvalidArgument, match="foreground, align, flip, windows, patches_per_volume and on_fault need a store"
        ):
            of_lists(**option)


@pytest.mark.parametrize("name", ["MixtureDataset", "MixtureSampler"])
def test_without_torch_the_extra_is_named(name):
    code = f"import sys; sys.modules['torch'] = None; import mixio; mixio.Mixture; mixio.{name}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert "MissingExtraError: torch is not installed; run: pip install 'mixio[torch]'" in done.stderr
    assert done.returncode == 1


def assert_same_batch(batch, expected):
    assert batch.keys() == expected.keys()
    for column, values in expected.items():
        same = torch.equal(batch[column], values) if torch.is_tensor(values) else batch[column] == values
        assert same, column


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=5))
def test_a_batch_read_as_one_is_the_collated_samples(small_store, draws):
    dataset = of_store(small_store, patch_size=(16, 18, 13), flip=True)
    expected = default_collate([dataset[g] for g in draws])
    assert_same_batch(dataset.read_batch(draws), expected)
    out = np.full((len(draws), 1, 16, 18, 13), np.nan, np.float32)
    batch = dataset.read_batch(draws, out=out)
    assert_same_batch(batch, expected)
    assert batch["image"].data_ptr() == out.ctypes.data


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=5))
def test_a_raw_batch_becomes_the_batch_by_its_scales_and_offsets(small_store, draws):
    dataset = of_store(small_store, flip=True)
    expected = dataset.read_batch(draws)
    raw = dataset.read_batch(draws, raw=True)
    assert {patch.dtype.name for patch in raw["image"]} <= {"int16", "uint16", "float32"}
    for number, patch in enumerate(raw["image"]):
        scale, offset = raw["linear"][number]
        image = (torch.from_numpy(patch.astype(np.float32)) * scale + offset).clamp(0, 1)
        assert torch.equal(image, expected["image"][number, 0])
    assert_same_batch({**raw, "image": 0}, {**expected, "image": 0, "linear": raw["linear"]})


@given(st.integers(0, 10**15))
def test_the_plan_says_what_the_sample_will_be(small_store, g):
    dataset = of_store(small_store, foreground=0.3)
    plan, sample = dataset.plan(g), dataset[g]
    assert (plan.g, plan.domain, plan.seed) == (sample["draw"], sample["domain"], sample["seed"])
    assert (plan.domain, plan.n) == dataset.mixture.locate(g)
    assert plan.volume == f"{sample['domain']}/{sample['key']}"
    assert list(plan.corner) == sample["corner"].tolist()


@pytest.mark.parametrize(("shape", "dtype"), [((2, 1, 16, 16, 16), "float32"), ((1, 1, 16, 16, 16), "float64")])
def test_an_array_that_the_batch_does_not_fit_is_refused(small_store, shape, dtype):
    with pytest.raises(InvalidArgument, match=r"out must be a float32 array of \(1, 1, 16, 16, 16\), got float"):
        of_store(small_store).read_batch([5], out=np.empty(shape, dtype))


def test_batches_read_as_one_need_a_store_and_its_own_samples(small_store):
    with pytest.raises(InvalidArgument, match="read_batch needs a store and no transform"):
        of_lists().read_batch([0])
    with pytest.raises(InvalidArgument, match="read_batch needs a store and no transform"):
        of_store(small_store, transform=len).read_batch([0])
    with pytest.raises(InvalidArgument, match="raw patches have the stored types"):
        of_store(small_store).read_batch([0], raw=True, out=np.empty((1, 1, 16, 16, 16), np.float32))


def test_what_is_no_store_and_no_mixture_is_named(small_store):
    with pytest.raises(InvalidArgument, match="a store or a dictionary of data sets by domain, got list"):
        MixtureDataset([small_store], Mixture(SHARES))
    with pytest.raises(InvalidArgument, match=r"got the path 'store'; open it first: mixio.open_store\(path\)"):
        MixtureDataset("store", Mixture(SHARES))
    with pytest.raises(
        InvalidArgument, match=r"a mixio.Mixture, got dict; shares become one by mixio.Mixture\(shares\)"
    ):
        MixtureDataset(small_store, SHARES)
    with pytest.raises(InvalidArgument, match=r"a draw must be a whole number, got 1.5"):
        of_store(small_store)[1.5]


def test_iterating_over_a_data_set_is_refused_for_it_has_no_end():
    for use in (iter, list, lambda dataset: 3 in dataset):
        with pytest.raises(InvalidArgument, match="have no end; iterate over a DataLoader with sampler=MixtureSampler"):
            use(of_lists())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transform": "flip"}, "transform is a function of a sample, got 'flip'"),
        ({"split": ["train", "val"]}, r"split is the name of one split, got \['train', 'val'\]"),
        ({"split": None}, "split is the name of one split, got None"),
        ({"foreground": "0.5"}, "foreground must be a share between 0 and 1, got '0.5'"),
        ({"flip": [True, False]}, r"flip must be .* some of the axes 0, 1 and 2, got \[True, False\]"),
        ({"windows": (0, 1)}, r"windows is a dictionary by domain or modality, got \(0, 1\); {'CT': \(low, high\)}"),
        ({"windows": {"CT": 5}}, "the window of 'CT' must have low < high, both finite numbers, got 5"),
        ({"windows": {"CT": ("0", "9")}}, "the window of 'CT' must have low < high, both finite numbers"),
        ({"windows": {"CT": (0, float("inf"))}}, "the window of 'CT' must have low < high, both finite numbers"),
        ({"align": np.array([2, 2, 2])}, r'align must be "chunk", .*, got array'),
    ],
)
def test_options_of_the_wrong_kind_are_refused(small_store, options, message):
    with pytest.raises(InvalidArgument, match=message):
        of_store(small_store, **options)


def test_a_split_is_refused_for_a_dictionary():
    with pytest.raises(InvalidArgument, match="split='val' needs a store; give a dictionary of the data sets of that"):
        of_lists(split="val")


def test_batches_of_what_is_no_list_are_refused(small_store):
    with pytest.raises(InvalidArgument, match="read_batch takes a list of draws, got 3"):
        of_store(small_store).read_batch(3)
    with pytest.raises(InvalidArgument, match=r"out must be a float32 array of \(1, 1, .*got \[1\]"):
        of_store(small_store).read_batch([0], out=[1])

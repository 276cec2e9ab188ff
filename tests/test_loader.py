import gc
import json
import os
import resource
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import mixio
from mixio.errors import InvalidArgument
from tests.test_dataset import assert_same_batch, of_lists, of_run, of_store


def loader_of(dataset, **options):
    return mixio.MixtureLoader(dataset, **{"num_samples": 30, "batch_size": 3, "threads": 2, **options})


def plain_loader(dataset, batch=3, total=30, rank=0, world=1):
    return DataLoader(dataset, batch, sampler=of_run(dataset, rank, world, batch, total))


def assert_same_batches(batches, expected):
    for batch, other in zip(batches, expected, strict=True):
        assert_same_batch(batch, other)


def ours():
    return [thread for thread in threading.enumerate() if thread.name.startswith("mixio-ahead")]


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize(("rank", "world"), [(0, 1), (1, 2)])
def test_batches_are_those_of_a_plain_loader(small_store, device, threads, rank, world):
    dataset = of_store(small_store, patch_size=(16, 18, 13), foreground=0.3, flip=True)
    loader = loader_of(dataset, threads=threads, device=device, rank=rank, num_replicas=world)
    expected = list(plain_loader(dataset, rank=rank, world=world))
    assert len(loader) == len(expected)
    assert_same_batches(loader, expected)
    assert_same_batches(loader, expected)  # reading it twice gives it twice


def test_a_transform_and_members_of_a_dictionary_go_through_the_threads_too(small_store):
    seen = set()

    def transform(sample):
        seen.add(threading.current_thread().name)
        return {"image": sample["image"] * 2, "draw": sample["draw"]}

    dataset = of_store(small_store, transform=transform)
    expected = list(plain_loader(dataset))
    seen.clear()
    assert_same_batches(loader_of(dataset), expected)
    assert all(name.startswith("mixio-ahead") for name in seen)
    assert_same_batches(loader_of(of_lists()), plain_loader(of_lists()))


def test_a_loop_that_keeps_every_batch_keeps_right_values(small_store):
    dataset = of_store(small_store)
    kept = list(loader_of(dataset))
    views = [batch["image"][1:, 0, ::2].numpy() for batch in loader_of(dataset)]  # nothing else holds these batches
    expected = list(plain_loader(dataset))
    assert_same_batches(kept, expected)
    for view, batch in zip(views, expected, strict=True):
        assert np.array_equal(view, batch["image"][1:, 0, ::2].numpy())
    assert len({batch["image"].data_ptr() for batch in kept}) == len(kept)


def test_a_batch_may_be_changed_in_place(small_store):
    dataset = of_store(small_store)
    for batch, expected in zip(loader_of(dataset), plain_loader(dataset), strict=True):
        assert_same_batch(batch, expected)
        batch["image"].fill_(float("nan"))


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2))
def test_a_run_goes_on_with_other_ranks_batches_and_threads(batch, world, new_batch, new_world, steps):
    dataset, total = of_lists(), 60
    loader = loader_of(dataset, num_samples=total, batch_size=batch, rank=0, num_replicas=world)
    batches = iter(loader)
    for _ in range(steps):
        next(batches)
    state = json.loads(json.dumps(loader.state_dict()))
    batches.close()
    assert state["consumed"] == steps * batch * world
    rest = []
    for rank in range(new_world):
        options = {"batch_size": new_batch, "rank": rank, "num_replicas": new_world, "threads": 3}
        other = loader_of(dataset, num_samples=total, **options)
        other.load_state_dict(state)
        assert other.state_dict() == state
        received = list(other)
        assert len(other) == steps + len(received)
        rest += [g for each in received for g in each["draw"].tolist()]
    assert sorted(rest) == list(range(state["consumed"], state["consumed"] + len(rest)))
    assert total - state["consumed"] - len(rest) < new_batch * new_world


def test_the_state_in_the_body_counts_the_batch_of_the_body_and_none_read_ahead(small_store):
    loader = loader_of(of_store(small_store), prefetch=8)
    counts = [(loader.state_dict()["consumed"], int(batch["draw"][-1])) for batch in loader]
    assert counts == [(3 * k, 3 * k - 1) for k in range(1, 11)]
    assert loader.state_dict()["consumed"] == 30
    loader.load_state_dict(loader.state_dict())
    assert list(loader) == []


def test_loading_a_state_leaves_an_open_iteration_as_it_was():
    loader = loader_of(of_lists())
    batches = iter(loader)
    next(batches)
    loader.load_state_dict(of_run(of_lists(), 0, 1, 3, 30).state_dict(consumed=21))
    assert next(batches)["draw"].tolist() == [3, 4, 5]
    assert loader.state_dict()["consumed"] == 21
    assert next(iter(loader))["draw"].tolist() == [21, 22, 23]


def test_its_state_and_that_of_the_sampler_are_one(small_store):
    dataset = of_store(small_store)
    loader, sampler = loader_of(dataset), of_run(dataset, 0, 1, 3, 30)
    next(iter(loader))
    assert loader.state_dict() == sampler.state_dict(consumed=3)
    with pytest.raises(InvalidArgument, match="differs from this data set in seed"):
        loader_of(of_store(small_store, seed=1)).load_state_dict(loader.state_dict())


def test_a_change_is_allowed_until_iterating_has_begun(small_store):
    state = of_run(of_store(small_store), 0, 1, 3, 30).state_dict(consumed=12)
    loader = loader_of(of_store(small_store, seed=1))
    loader.load_state_dict(state, allow_change=True)
    batches = iter(loader)
    assert next(batches)["draw"].tolist() == [12, 13, 14]
    assert loader.state_dict()["changes"] == [{"draw": 12, "in": ["seed"]}]
    batches.close()
    with pytest.raises(InvalidArgument, match="load it before iterating"):
        loader.load_state_dict(of_run(of_store(small_store, seed=1), 0, 1, 3, 30).state_dict())


def test_no_thread_is_started_before_iterating_and_none_is_left(small_store):
    loader = loader_of(of_store(small_store), threads=3)
    loader.set_epoch(1)
    assert not ours()
    for _ in loader:
        assert len(ours()) <= 3
        break
    assert not ours()


def test_an_error_of_the_data_comes_at_its_batch(small_store):
    def transform(sample):
        if sample["draw"] == 7:
            raise ZeroDivisionError("draw 7")
        return sample

    batches = iter(loader_of(of_store(small_store, transform=transform), prefetch=8))
    assert [next(batches)["draw"].tolist() for _ in range(2)] == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(ZeroDivisionError, match="draw 7"):
        next(batches)
    assert list(batches) == []
    assert not ours()


def test_torch_keeps_its_threads_in_the_loop_and_has_one_in_each_of_ours(small_store):
    usual = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        dataset = of_store(small_store, transform=lambda _: torch.get_num_threads())
        assert {number for batch in loader_of(dataset, threads=3) for number in batch.tolist()} == {1}
        later = []
        fresh = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        fresh.start()
        fresh.join()
        assert [torch.get_num_threads(), *later] == [2, 2]
    finally:
        torch.set_num_threads(usual)


def test_threads_are_as_many_as_processors_and_more_for_a_bucket(small_store, monkeypatch):
    dataset = of_store(small_store)
    assert loader_of(dataset, threads=None).threads == len(os.sched_getaffinity(0))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "10000")
    assert loader_of(dataset, threads=None).threads == 1
    dataset.source = type("Remote", (), {"path": "s3://bucket/store"})()
    assert loader_of(dataset, threads=None).threads == 16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 0}, "threads must be at least 1, got 0"),
        ({"prefetch": 0}, "prefetch must be at least 1, got 0"),
        ({"num_samples": 2}, "num_samples=2 makes no step"),
        ({"device": "cpu"}, "device needs a store and no transform"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(InvalidArgument, match=message):
        loader_of(of_lists(), **options)


def test_without_torch_the_extra_is_named():
    code = "import sys; sys.modules['torch'] = None; import mixio; mixio.MixtureLoader"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "MissingExtraError: torch is not installed; run: pip install 'mixio[torch]'" in done.stderr


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@pytest.mark.slow
def test_two_thousand_iterations_leave_no_thread_handle_or_memory(small_store):
    loader = loader_of(of_store(small_store, patch_size=24), num_samples=10**6, threads=2)

    def cycles(number):
        for _ in range(number):
            for _ in loader:
                break
        gc.collect()
        return threading.active_count(), len(os.listdir("/proc/self/fd")), resident()

    threads, handles, memory = cycles(200)
    after = cycles(2000)
    assert after[:2] == (threads, handles)
    assert after[2] - memory < 16 * 2**20


class Careless:
    """A transform that keeps what it works on in itself, as MONAI's random ones do."""

    def __call__(self, sample):
        self.mine = sample["draw"]
        time.sleep(0.001)
        return {**sample, "same": self.mine == sample["draw"]}


def test_a_transform_that_keeps_state_is_called_by_one_thread_at_a_time(small_store):
    for dataset in (of_store(small_store, transform=Careless()), of_lists(transform=Careless())):
        assert all(batch["same"].all() for batch in loader_of(dataset, num_samples=60, batch_size=2, threads=4))


def test_the_length_is_that_of_the_whole_run_wherever_it_goes_on(small_store):
    loader = loader_of(of_store(small_store), num_samples=30, batch_size=3)
    batches = iter(loader)
    next(batches), next(batches)
    state = loader.state_dict()
    batches.close()
    loader.load_state_dict(state)
    assert (len(loader), len(list(loader))) == (10, 8)


def test_no_more_than_prefetch_is_begun_however_many_threads(small_store):
    begun = []

    class Noted(Careless):
        def __call__(self, sample):
            begun.append(int(sample["draw"]))
            return sample

    batches = iter(loader_of(of_store(small_store, transform=Noted()), batch_size=1, threads=4, prefetch=1))
    next(batches)
    time.sleep(0.2)
    assert max(begun) <= 1
    batches.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": "2"}, "threads must be a whole number, got '2'"),
        ({"threads": 1.5}, "threads must be a whole number, got 1.5"),
        ({"prefetch": "2"}, "prefetch must be a whole number, got '2'"),
        ({"device": "cud"}, "device must be one that torch has here, .*, got 'cud'"),
        ({"device": ["cpu"]}, r"device must be one that torch has here, .*, got \['cpu'\]"),
        ({"device": "cuda:99"}, r"device='cuda:99', but torch has \d CUDA devices here; choose another"),
    ],
)
def test_options_of_the_wrong_kind_are_refused(small_store, options, message):
    with pytest.raises(InvalidArgument, match=message):
        mixio.MixtureLoader(of_store(small_store), num_samples=8, batch_size=4, **options)

"""torchdata's StatefulDataLoader around MixtureSampler, and beside MixtureLoader."""

import json

import pytest
import torch

from mixio.dataset import MixtureDataset
from mixio.loader import MixtureLoader
from mixio.mixture import Mixture
from tests.adopted import run_example
from tests.test_dataset import of_run, of_store

StatefulDataLoader = pytest.importorskip("torchdata.stateful_dataloader", reason="needs torchdata").StatefulDataLoader

# torchdata 0.11 calls what torch 2.13 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")


def loader_of(store, workers, *, batch=3, sampler=None):
    sampler = sampler or of_run(of_store(store), 0, 1, batch, 30)
    return StatefulDataLoader(sampler.dataset, batch, sampler=sampler, num_workers=workers)


def some(loader, steps):
    """The draws of some batches, and the state in the body of the last."""
    draws = []
    for batch in loader:
        draws += batch["draw"].tolist()
        steps -= 1
        if not steps:
            break
    return draws, loader.state_dict()


def rest(loader):
    return [g for batch in loader for g in batch["draw"].tolist()]


@pytest.mark.slow
def test_the_example_of_the_page_runs(small_store, tmp_path):
    assert run_example("torchdata", small_store, tmp_path).split() == ["64"]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("steps", [1, 4, 9])
def test_it_goes_on_after_the_last_batch_that_the_loop_had(small_store, workers, steps):
    draws, state = some(loader_of(small_store, workers), steps)
    other = loader_of(small_store, workers)
    other.load_state_dict(state)
    assert len(other) == 10
    assert draws + rest(other) == list(range(30))
    assert len(other) == 10


@pytest.mark.parametrize("workers", [0, 2])
def test_its_state_holds_that_of_the_sampler_and_none_of_what_was_read_ahead(small_store, workers):
    _, state = some(loader_of(small_store, workers), 4)
    snapshot = state["_snapshot"]["_main_snapshot"] if workers else state
    own = snapshot["_sampler_iter_state"]["sampler_state"]
    assert own == of_run(of_store(small_store), 0, 1, 3, 30).state_dict(consumed=12)


def test_a_run_may_be_interrupted_twice(small_store):
    first, state = some(loader_of(small_store, 2), 2)
    other = loader_of(small_store, 2)
    other.load_state_dict(state)
    second, state = some(other, 3)
    last = loader_of(small_store, 2)
    last.load_state_dict(state)
    assert first + second + rest(last) == list(range(30))


def test_other_workers_are_refused_by_it_and_taken_with_the_state_of_the_sampler(small_store):
    draws, state = some(loader_of(small_store, 2), 3)
    other = loader_of(small_store, 1)
    other.load_state_dict(state)
    with pytest.raises(AssertionError):
        next(iter(other))
    sampler = of_run(of_store(small_store), 0, 1, 5, 30)
    sampler.load_state_dict(json.loads(json.dumps(of_run(of_store(small_store), 0, 1, 3, 30).state_dict(consumed=9))))
    with_others = loader_of(small_store, 1, batch=5, sampler=sampler)
    assert draws + rest(with_others) == list(range(29))


def test_the_threads_of_ours_keep_the_same_convention(small_store):
    dataset = of_store(small_store)
    threads = MixtureLoader(dataset, num_samples=30, batch_size=3, threads=2)
    draws, state = some(threads, 4)
    assert draws == list(range(12))
    sampler = of_run(dataset, 0, 1, 3, 30)
    sampler.load_state_dict(state)
    assert rest(loader_of(small_store, 2, sampler=sampler)) == list(range(12, 30))


def test_its_images_are_those_of_the_data_set(small_store):
    dataset = of_store(small_store)
    images = torch.cat([batch["image"] for batch in loader_of(small_store, 2)])
    assert torch.equal(images, torch.stack([dataset[g]["image"] for g in range(30)]))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_whose_shares_changed_goes_on_where_its_sampler_has_the_state_first(small_store, workers):
    before = of_run(of_store(small_store), 0, 1, 3, 30).state_dict(consumed=9)

    def changed(state, **allowed):
        dataset = MixtureDataset(small_store, Mixture({"pet": 0.9, "brain-t1": 0.1}), patch_size=16)
        sampler = of_run(dataset, 0, 1, 3, 30)
        sampler.load_state_dict(state, **allowed)
        return loader_of(small_store, workers, sampler=sampler)

    def keys(loader):
        return [key for batch in loader for key in batch["key"]]

    whole = keys(changed(before, allow_change=True))
    loader = changed(before, allow_change=True)
    draws, state = some(loader, 2)
    resumed = changed(json.loads(json.dumps(loader.sampler.state_dict(consumed=15))))
    resumed.load_state_dict(state)
    assert draws == list(range(9, 15))
    assert keys(resumed) == whole[6:]

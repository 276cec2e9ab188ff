"""torch's own DataLoader, and what is expected of a DistributedSampler."""

import pytest
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler

from tests.adopted import run_example
from tests.test_dataset import of_run, of_store


def draws_of(loader):
    return [batch["draw"].tolist() for batch in loader]


@pytest.mark.slow
def test_the_example_of_the_page_runs(small_store, tmp_path):
    assert run_example("dataloader", small_store, tmp_path).split() == ["64"]


@pytest.mark.slow
def test_two_processes_of_the_example_read_half_each(small_store, tmp_path):
    assert run_example("dataloader", small_store, tmp_path, processes=2).split() == ["64", "64"]


def test_it_is_a_distributed_sampler_and_reads_as_one(small_store):
    sampler = of_run(of_store(small_store), 1, 2, 3, 24)
    assert isinstance(sampler, DistributedSampler)
    assert (sampler.rank, sampler.num_replicas, sampler.drop_last) == (1, 2, True)
    assert len(sampler) == sampler.num_samples == sampler.total_size // sampler.num_replicas


@pytest.mark.parametrize("workers", [0, 2])
def test_setting_the_epoch_in_mid_run_moves_nothing(small_store, workers):
    sampler = of_run(of_store(small_store), 0, 1, 4, 24)
    sampler.load_state_dict(sampler.state_dict(consumed=8))
    loader = DataLoader(sampler.dataset, 4, sampler=sampler, num_workers=workers)
    for epoch in (0, 7):
        loader.sampler.set_epoch(epoch)
        loader.batch_sampler.sampler.set_epoch(epoch)
        assert draws_of(loader) == [[g, g + 1, g + 2, g + 3] for g in range(8, 24, 4)]


def test_a_batch_sampler_around_it_gives_the_same_batches(small_store):
    sampler = of_run(of_store(small_store), 0, 2, 3, 24)
    loader = DataLoader(sampler.dataset, batch_sampler=BatchSampler(sampler, 3, drop_last=False))
    assert draws_of(loader) == [[0, 1, 2], [6, 7, 8], [12, 13, 14], [18, 19, 20]]

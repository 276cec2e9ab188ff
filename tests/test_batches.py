from dataclasses import replace

import pytest

from mixio.dataset import MixtureDataset
from mixio.mixture import Mixture
from mixio.sampler import MixtureSampler
from tests.test_train import SHARES, SHORT
from tools.batches import Stopwatch, grouped, loader_of


def test_a_stopwatch_counts_the_time_between_asking_and_getting(monkeypatch):
    clock = iter([0, 1, 5, 7, 20, 23])  # waits of 1, 2 and 3 seconds, work of 4 and 13
    monkeypatch.setattr("tools.batches.time.perf_counter", clock.__next__)
    watch = Stopwatch("ab")
    assert list(watch) == ["a", "b"]
    assert watch.seconds == 6


def test_groups_come_in_order_and_the_last_may_be_short():
    assert list(grouped("abcde", 2)) == [["a", "b"], ["c", "d"], ["e"]]
    assert list(grouped("", 2)) == []


@pytest.mark.parametrize("readers", [{"threads": 2}, {"workers": 1}])
def test_batches_go_on_where_the_sampler_does(small_store, readers):
    dataset = MixtureDataset(small_store, Mixture(SHARES), patch_size=8)
    sampler = MixtureSampler(dataset, num_samples=64, batch_size=16)
    sampler.load_state_dict(sampler.state_dict(consumed=32))
    batches = loader_of(dataset, replace(SHORT, **readers), sampler)
    assert [batch["draw"].tolist() for batch in batches] == [[*range(32, 48)], [*range(48, 64)]]

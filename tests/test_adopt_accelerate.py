"""Hugging Face Accelerate with two processes: which arrangements skip no draw and repeat none."""

import json

import pytest
from torch.utils.data import default_collate

from tests.adopted import run, run_example, torchrun
from tests.test_dataset import of_store

accelerate = pytest.importorskip("accelerate", reason="needs accelerate")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ranks(small_store, tmp_path_factory):
    """What each of two processes was given, by arrangement."""
    folder = tmp_path_factory.mktemp("accelerated")
    run([*torchrun(2), "-m", "tests.accelerated", small_store.path, folder], folder)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("processes", [1, 2])
def test_the_example_of_the_page_runs(small_store, tmp_path, processes):
    assert run_example("accelerate", small_store, tmp_path, processes=processes).split() == ["64"]


@pytest.mark.parametrize("arrangement", ["left_alone", "prepared", "threads", "resumed", "stateful"])
def test_no_draw_is_skipped_and_none_repeated(ranks, arrangement):
    steps = list(zip(*(rank[arrangement] for rank in ranks), strict=True))
    assert len(steps) == 4
    assert [g for step in steps for batch in step for g in batch] == list(range(24))


def test_a_sampler_that_knows_its_rank_is_divided_a_second_time(ranks):
    drawn = sorted(g for rank in ranks for batch in rank["divided_twice"] for g in batch)
    assert drawn == [0, 1, 2, 9, 10, 11, 12, 13, 14, 21, 22, 23]


def test_without_drop_last_the_last_step_is_filled_up_with_draws_of_the_first(ranks):
    assert [rank["filled_up"][-1] for rank in ranks] == [[24, 25, 26], [0, 1, 2]]


def test_the_names_in_batches_cannot_be_joined_as_dispatching_does(small_store):
    batches = [default_collate([of_store(small_store)[g]]) for g in range(2)]
    with pytest.raises(TypeError, match="Can only concatenate tensors but got <class 'str'>"):
        accelerate.utils.concatenate(batches)

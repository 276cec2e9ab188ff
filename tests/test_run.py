from itertools import count

import pytest
import torch

from models.checkpoint import load_checkpoint
from tests.test_train import SHARES, SHORT
from tools.heldout import HeldOut
from tools.preemption import Stopped
from tools.resume import Job, saved_for
from tools.train import config_event, train


@pytest.fixture(scope="module")
def held_out(small_store):
    return HeldOut.read(small_store, patch_size=8, crops=4)


def stopped_and_resumed(store, path, objective, **keywords):
    """The losses of a run that is stopped in its third step and goes on under another random state."""
    events, steps = [], count(1)
    job = Job(path, stop=lambda: next(steps) == 3)
    with pytest.raises(Stopped, match="stopped after 48 draws"):
        train(store, SHARES, SHORT, emit=events.append, objective=objective, job=job, **keywords)
    torch.manual_seed(99)
    job = Job(path, saved=saved_for(path, config_event(store, SHARES, SHORT)))
    train(store, SHARES, SHORT, emit=events.append, objective=objective, job=job, **keywords)
    return [event["loss"] for event in events if "loss" in event]


def noisy(losses, batch):
    return (losses * torch.rand(len(losses))).mean()


def test_an_objective_that_draws_from_the_global_random_state_goes_on_too(small_store, tmp_path, held_out):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        events = []
        train(small_store, SHARES, SHORT, emit=events.append, objective=noisy, held_out=held_out)
        torch.manual_seed(3)
        losses = stopped_and_resumed(small_store, tmp_path / "mae.pt", noisy, held_out=held_out)
    assert losses == [event["loss"] for event in events if "loss" in event]


def test_a_stop_in_the_last_step_is_none(small_store, tmp_path, held_out):
    steps = count(1)
    job = Job(tmp_path / "mae.pt", stop=lambda: next(steps) == 4)
    train(small_store, SHARES, SHORT, held_out=held_out, job=job)
    assert load_checkpoint(tmp_path / "mae.pt")["data"]["consumed"] == 64


def test_checkpoints_are_written_every_so_many_steps_and_at_the_end(small_store, tmp_path, held_out):
    path, seen = tmp_path / "mae.pt", []

    def look(run, held_out):
        seen.append(load_checkpoint(path)["training"]["step"] if path.exists() else None)

    train(small_store, SHARES, SHORT, held_out=held_out, job=Job(path, every=2, watch=look))
    assert seen == [None, None, 2, 2]
    assert load_checkpoint(path)["training"]["step"] == 4


def test_the_state_that_was_restored_takes_no_memory_any_more(small_store, tmp_path, held_out):
    path = tmp_path / "mae.pt"
    train(small_store, SHARES, SHORT, held_out=held_out, job=Job(path))
    saved = saved_for(path, config_event(small_store, SHARES, SHORT))
    trained = train(small_store, SHARES, SHORT, held_out=held_out, job=Job(path, saved=saved))
    assert saved == {}
    assert trained.loss == held_out.losses(trained.mae)

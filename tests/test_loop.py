from dataclasses import replace

import pytest
import torch

from mixio.dataset import MixtureDataset
from mixio.errors import InvalidArgument, MixioError
from mixio.mixture import Mixture
from mixio.sampler import MixtureSampler
from tests.test_train import SHARES, SHORT
from tools.batches import grouped, loader_of
from tools.loop import Learner, is_bfloat16, losses_of
from tools.options import TrainOptions


def batches_of(store, options=SHORT):
    dataset = MixtureDataset(store, Mixture(SHARES), patch_size=8)
    return [*loader_of(dataset, options, MixtureSampler(dataset, num_samples=64, batch_size=options.batch_size))]


def weights(learner):
    return [parameter.detach().clone() for parameter in learner.mae.parameters() if parameter.requires_grad]


def after(store, options, steps=3):
    learner = Learner(options)
    groups = grouped(batches_of(store, options), options.accumulate)
    losses = [learner.step(number, group) for number, group in zip(range(1, steps + 1), groups, strict=False)]
    return losses, learner


def test_batches_that_are_accumulated_make_the_step_of_one_large_batch(small_store):
    large, one = after(small_store, SHORT)
    small, other = after(small_store, replace(SHORT, batch_size=4, accumulate=4))
    assert small == pytest.approx(large, abs=1e-6)
    for ours, theirs in zip(weights(other), weights(one), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_computing_blocks_again_changes_nothing(small_store):
    usual, one = after(small_store, SHORT)
    again, other = after(small_store, replace(SHORT, recompute=True))
    assert other.mae.recompute
    assert again == usual
    assert all(map(torch.equal, weights(one), weights(other)))


def test_bfloat16_rounds_the_steps_and_keeps_the_weights_in_float32(small_store):
    usual, _ = after(small_store, SHORT)
    rounded, learner = after(small_store, replace(SHORT, precision="bfloat16"))
    assert rounded != usual
    assert rounded == pytest.approx(usual, rel=0.02)
    assert {one.dtype for one in weights(learner)} == {torch.float32}


def test_auto_is_bfloat16_on_cuda_alone():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert [is_bfloat16("auto", device) for device in (cpu, cuda)] == [False, True]
    assert [is_bfloat16("float32", device) for device in (cpu, cuda)] == [False, False]
    assert [is_bfloat16("bfloat16", device) for device in (cpu, cuda)] == [True, True]


def test_the_average_is_that_of_the_weights_after_each_step(small_store):
    learner, batches = Learner(replace(SHORT, ema=0.75)), batches_of(small_store)
    expected = None
    for number, batch in enumerate(batches, start=1):
        learner.step(number, [batch])
        now = weights(learner)
        expected = (
            now if expected is None else [0.75 * old + 0.25 * new for old, new in zip(expected, now, strict=True)]
        )
    averaged = [parameter for parameter in learner.result.parameters() if parameter.requires_grad]
    for ours, theirs in zip(averaged, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_without_an_average_the_result_is_the_model_itself():
    learner = Learner(SHORT)
    assert learner.result is learner.mae


def test_a_bad_batch_leaves_the_weights_as_they_were_and_is_named(small_store):
    learner = Learner(replace(SHORT, batch_size=8, accumulate=2))
    good, bad = batches_of(small_store, replace(SHORT, batch_size=8))[:2]
    bad["image"][3] = float("nan")
    before = weights(learner)
    named = f"{bad['domain'][3]}/{bad['key'][3]} .draw {int(bad['draw'][3])}."
    with pytest.raises(MixioError, match=f"not finite for 1 of 16 patches: {named}; look at"):
        learner.step(1, [good, bad])
    assert all(map(torch.equal, weights(learner), before))


def test_the_objective_is_what_a_step_descends(small_store):
    batch = batches_of(small_store)[0]
    expected = losses_of(Learner(SHORT).mae, batch).max().item()
    assert Learner(SHORT, lambda losses, batch: losses.max()).step(1, [batch]) == pytest.approx(expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch.compile imports what uses it
def test_a_compiled_model_learns_the_same(small_store):
    usual, _ = after(small_store, SHORT, steps=2)
    compiled, learner = after(small_store, replace(SHORT, compile=True), steps=2)
    assert compiled == pytest.approx(usual, abs=1e-5)
    assert learner.mae.state_dict().keys() == Learner(SHORT).mae.state_dict().keys()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"accumulate": 0}, "batch_size and accumulate must be at least 1, got 16 and 0"),
        ({"accumulate": 3}, "multiple of batch_size 16 x accumulate 3, got 64"),
        ({"precision": "float16"}, "precision must be one of auto, float32, bfloat16, got float16"),
        ({"ema": 1.0}, "ema must be at least 0 and below 1, got 1.0"),
    ],
)
def test_options_that_cannot_be_are_refused(option, message):
    with pytest.raises(InvalidArgument, match=message):
        replace(SHORT, **option)


def test_how_a_step_is_split_is_no_part_of_the_recorded_settings():
    together = TrainOptions(draws=64, batch_size=16)
    split = TrainOptions(draws=64, batch_size=2, accumulate=4, precision="bfloat16", compile=True, recompute=True)
    assert split.recorded(world_size=2) == together.recorded()
    assert replace(together, ema=0.9).recorded() != together.recorded()

"""PyTorch Lightning with two processes on gloo: the sampler stays, and a checkpoint of mid-epoch goes on exactly."""

import json
from zlib import crc32

import pytest
import torch

from tests.adopted import run, run_example
from tests.test_dataset import of_store

pytest.importorskip("pytorch_lightning", reason="needs pytorch-lightning")

DIED = 9
"""The exit code of a process of `tests.lightning_run` that ended without a word."""

pytestmark = pytest.mark.slow


def steps_of(folder, processes):
    """What the processes got, in their order of steps; it is taken away."""
    files = [folder / f"{rank}.jsonl" for rank in range(processes)]
    lines = [[json.loads(line) for line in file.read_text().splitlines()] for file in files]
    for file in files:
        file.unlink()
    return list(zip(*lines, strict=True))


def interrupted(store, folder, kind, before, after):
    """A run that died at its sixth step, two after its checkpoint, and one that went on from there."""
    program = ["-m", "tests.lightning_run", store.path, folder, kind]
    run([*program, 5, before], folder, code=DIED)
    died = steps_of(folder, before)
    assert [step[0]["step"] for step in died] == [0, 1, 2, 3, 4]
    run([*program, -1, after], folder)
    return died[:3], steps_of(folder, after)


def assert_goes_on(store, steps, draws):
    """That these are the draws of an uninterrupted run, images and all, and that the sampler is ours throughout."""
    assert [g for step in steps for rank in step for g in rank["draws"]] == draws
    assert [step[0]["step"] for step in steps] == list(range(len(steps)))
    dataset = of_store(store)
    images = [crc32(dataset[g]["image"].numpy().tobytes()) for g in draws]
    assert [image for step in steps for rank in step for image in rank["images"]] == images
    assert {rank["sampler"] for step in steps for rank in step} == {"MixtureSampler"}


@pytest.mark.parametrize("kind", ["threads", "plain", "stateful"])
def test_a_run_that_died_goes_on_with_the_batches_of_one_that_did_not(small_store, tmp_path, kind):
    if kind == "stateful":
        pytest.importorskip("torchdata.stateful_dataloader", reason="needs torchdata")
    before, after = interrupted(small_store, tmp_path, kind, 2, 2)
    assert len(after) == 9
    assert_goes_on(small_store, before + after, list(range(48)))


def test_a_position_that_the_module_keeps_goes_on_with_more_processes(small_store, tmp_path):
    before, after = interrupted(small_store, tmp_path, "told", 1, 2)
    assert_goes_on(small_store, before + after, list(range(6 + 40)))


def test_the_example_of_the_page_runs(small_store, tmp_path):
    run_example("lightning", small_store, tmp_path)
    (checkpoint,) = (tmp_path / "checkpoints").glob("*.ckpt")
    loops = torch.load(checkpoint, weights_only=True)["loops"]
    (state,) = loops["fit_loop"]["state_dict"]["combined_loader"]
    assert (state["consumed"], state["steps"]) == (64, 8)

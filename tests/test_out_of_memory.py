from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner

from tests.test_train import FLAGS, SHORT
from tools.options import ModelOptions
from tools.out_of_memory import OutOfMemory, explained
from tools.train import main, train

WIDE = ModelOptions(patch_size=4, token_size=2, width=3_600_000, layers=1, heads=2)
"""A matrix of it takes 207 terabytes, for which a process has no addresses."""


def test_a_model_that_has_no_room_is_told_with_what_to_lower(small_store):
    with pytest.raises(OutOfMemory, match=r"use --batch-size 8 --accumulate 2 and --recompute .* tried to allocate"):
        train(small_store, {"pet": 1.0}, replace(SHORT, model=WIDE))


def test_the_command_says_so_in_one_line(small_store, tmp_path):
    words = [small_store.path, "--mixture", "uniform", "--runs", str(tmp_path), *FLAGS]
    wide = "--patch-size 4 --token-size 2 --width 3600000".split()
    done = CliRunner().invoke(main, [*words, *wide])
    assert done.exit_code == 2
    assert done.stderr.startswith("error: out of memory; use --batch-size 8")
    assert done.stderr.count("\n") == 1


def test_a_full_gpu_and_a_full_interpreter_are_told_alike():
    for error in (torch.cuda.OutOfMemoryError("CUDA out of memory.\nTried"), MemoryError()):
        with pytest.raises(OutOfMemory, match="a smaller --patch-size than 8"), explained(SHORT):
            raise error


def test_what_is_in_use_already_is_not_advised():
    least = replace(SHORT, batch_size=1, accumulate=16, recompute=True)
    with pytest.raises(OutOfMemory) as caught, explained(least):
        raise MemoryError
    assert "--batch-size" not in str(caught.value)
    assert "--recompute" not in str(caught.value)
    with (
        pytest.raises(OutOfMemory, match="--batch-size 1 --accumulate 10 and"),
        explained(replace(SHORT, draws=90, batch_size=5, accumulate=2)),
    ):
        raise MemoryError


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="^shapes do not match$"), explained(SHORT):
        raise RuntimeError("shapes do not match")

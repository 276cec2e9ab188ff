"""The figures of `bench_model`: what is compared is the same, and operations are counted right."""

import json

import pytest
import torch
from click.testing import CliRunner
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import bench_model
from benchmarks.bench_model import OURS, RECOMPUTED, THEIRS, difference, extra, ratios, timed, weighed
from benchmarks.model_gpu import embedding_flops, forward_flops, step_flops
from benchmarks.model_steps import WHO, Task, batch_of, step_of
from models.mae import MAEConfig, MaskedAutoencoder
from models.vit import ViTConfig

pytestmark = pytest.mark.filterwarnings("ignore:torch.meshgrid")  # MONAI's
MAE = Task("mae", crop=16, patch=4, scale_factor=0.25, batch=2, layers=2)
UNETR = Task("unetr", crop=32, patch=16, scale_factor=0.125, batch=1)


def test_both_autoencoders_train_as_many_numbers_but_for_what_only_monai_has():
    ours, theirs = (step_of(MAE, who, batch_of(MAE)).model for who in (OURS, THEIRS))
    unused = sum(p.numel() for name, p in theirs.named_parameters() if "norm_cross_attn" in name or "cls" in name)
    counts = [sum(p.numel() for p in model.parameters() if p.requires_grad) for model in (ours, theirs)]
    assert counts[1] - counts[0] == unused


def test_both_autoencoders_descend_the_same_loss():
    images = batch_of(MAE)
    wanted = images.square().mean().item()  # of predicting zero; which patches are hidden changes little
    for who, head in ((OURS, "decoder_head"), (RECOMPUTED, "decoder_head"), (THEIRS, "decoder_pred")):
        step = step_of(MAE, who, images)
        for parameter in getattr(step.model, head).parameters():
            torch.nn.init.zeros_(parameter)
        assert step.run().item() == pytest.approx(wanted, rel=0.05)
        assert min(step.run().item() for _ in range(20)) < wanted


def test_as_many_patches_are_hidden():
    images = batch_of(MAE)
    ours, theirs = (step_of(MAE, who, images).model for who in (OURS, THEIRS))
    assert ours.config.num_visible == 16
    assert theirs(images)[1].sum(1).tolist() == [48, 48]


def test_a_task_is_timed_in_rounds():
    found = timed(MAE, 2)
    assert [len(found["seconds"][who]) for who in (OURS, THEIRS)] == [2, 2]


@pytest.mark.slow
def test_a_task_is_weighed_in_processes_that_had_imported_as_much():
    turns = weighed(MAE, 1)["megabytes"]
    assert turns.keys() == set(WHO)
    assert all(turn["before"] < turn["peak"] for one in turns.values() for turn in one)
    before = [turn["before"] for one in turns.values() for turn in one]
    assert max(before) < 1.05 * min(before)


def test_unetrs_are_compared_before_they_are_timed():
    assert 0 < timed(UNETR, 1)["difference"] < 1e-5
    images = batch_of(UNETR)
    ours, theirs = (step_of(UNETR, who, images).model for who in (OURS, THEIRS))
    theirs.out.conv.conv.bias.data += 0.001
    with pytest.raises(Exception, match="with the same weights the outputs differ by"):
        difference(ours, theirs, images)


def test_ratios_are_within_rounds_and_memory_beyond_what_was_there_before():
    assert ratios({OURS: [1.0, 2.0], THEIRS: [3.0, 5.0]}) == [3.0, 2.5]
    assert extra([{"before": 100, "peak": 150}, {"before": 90, "peak": 160}, {"before": 100, "peak": 400}]) == 70


@pytest.mark.parametrize("learned", [False, True])
def test_operations_are_those_that_torch_counts(learned):
    encoder = ViTConfig(16, 4, hidden_size=24, num_layers=3, num_heads=2, mlp_dim=60, learned_positions=learned)
    config = MAEConfig(encoder, decoder_width=12, decoder_layers=2, decoder_heads=2)
    mae, images = MaskedAutoencoder(config), torch.rand(1, 1, 16, 16, 16)
    visible = mae.draw_visible(1, torch.Generator().manual_seed(0))
    with FlopCounterMode(display=False) as counter, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        loss = mae(images, visible)[0].mean()
        forward = counter.get_total_flops()
        loss.backward()
    assert forward_flops(config) == forward
    assert step_flops(config) == counter.get_total_flops()
    assert embedding_flops(config) == 2 * 16 * 64 * 24


def test_without_a_gpu_its_rows_are_left_out(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    record = tmp_path / "model.json"
    done = CliRunner().invoke(bench_model.main, ["--device", "cuda", "--json", str(record)])
    assert (done.exit_code, "left out, no GPU" in done.output) == (0, True)
    assert json.loads(record.read_text())["gpu"] == []


@pytest.mark.slow
def test_the_command_prints_both_tables(monkeypatch):
    monkeypatch.setattr(bench_model, "TIMED", (MAE, UNETR))
    monkeypatch.setattr(bench_model, "WEIGHED", (MAE,))
    done = CliRunner().invoke(bench_model.main, ["--rounds", "1", "--only", "mae"])
    assert done.exit_code == 0, done.output
    assert done.output.count("mae 16³ / 4³, 192 x 2, batch 2") == 2
    assert "unetr" not in done.output

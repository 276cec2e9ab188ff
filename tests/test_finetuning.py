import argparse

import numpy as np
import pytest
import torch

from mixio.errors import InvalidArgument, MixioError
from models.checkpoint import load_checkpoint, load_mae, save_checkpoint
from models.mae_dense import DenseMAEConfig, DenseMaskedAutoencoder
from models.vit import ViTConfig
from tests.labelled_volumes import ENCODER, shell_and_core, write_checkpoint
from tools.classification import Classification
from tools.examples import Example
from tools.finetune_options import FinetuneOptions
from tools.finetuning import Start, build, encoder_of, finetuned, fit, told_when_out_of_memory
from tools.segmentation import Segmentation

TASK = Segmentation(("background", "shell", "core"), features=2)
CLASSES = Classification(("smooth", "rough"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return load_checkpoint(write_checkpoint(tmp_path_factory.mktemp("mae") / "mae.pt"))


def examples(count):
    volumes = [shell_and_core(number) for number in range(count)]
    return [
        Example(str(number), str(number), image / np.float32(1000), 0.1, (1.0, 1.0, 1.0), label, number % 2)
        for number, (image, label) in enumerate(volumes)
    ]


def fitted(task, start, *, seed=0, steps=3, count=2, **options):
    network, events = build(task, start, seed=seed), []
    given = FinetuneOptions(steps=steps, log_every=1, **options)
    fit(network, task, examples(count), given, seed=seed, emit=events.append)
    return network, [event["loss"] for event in events]


def test_the_encoder_is_the_checkpoints_and_the_rest_is_the_seeds(checkpoint):
    start = Start(ENCODER, checkpoint)
    ours, scratch = (build(TASK, one, seed=3).state_dict() for one in (start, Start(start.encoder)))
    trained = load_mae(checkpoint).vit.state_dict()
    for name, tensor in ours.items():
        assert torch.equal(tensor, trained[name[4:]] if name.startswith("vit.") else scratch[name]), name
    assert not torch.equal(ours["vit.blocks.0.attn.qkv.weight"], scratch["vit.blocks.0.attn.qkv.weight"])


def test_building_leaves_the_global_random_state_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    build(TASK, Start(ENCODER), seed=0)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_run_is_a_function_of_its_seed():
    assert fitted(TASK, Start(ENCODER))[1] == fitted(TASK, Start(ENCODER))[1]
    assert fitted(TASK, Start(ENCODER))[1] != fitted(TASK, Start(ENCODER), seed=1)[1]


@pytest.mark.slow
def test_training_segments_what_intensities_tell():
    task = Segmentation(TASK.classes, features=4)
    network, losses = fitted(task, Start(ENCODER), steps=30, count=4, learning_rate=1e-2)
    untrained = task.scores(build(task, Start(ENCODER), seed=0), examples(1)).metrics["dice"]
    assert task.scores(network, examples(6)[4:]).metrics["dice"] > 0.7 > untrained
    assert losses[-1] < 0.7 * losses[0]


def test_a_probe_leaves_the_encoder_as_it_was(checkpoint):
    probe = Classification(("smooth", "rough"), probe=True)
    network, _ = fitted(probe, Start(ENCODER, checkpoint))
    before = load_mae(checkpoint).vit.state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.vit.state_dict().items())
    whole, _ = fitted(CLASSES, Start(ENCODER, checkpoint))
    assert not torch.equal(whole.vit.norm.weight, before["norm.weight"])


def test_the_encoder_has_the_checkpoints_sizes_or_those_of_the_options(checkpoint):
    assert encoder_of(checkpoint, FinetuneOptions(patch_size=32, width=12, layers=4, heads=2)) == ENCODER
    fresh = encoder_of(None, FinetuneOptions(patch_size=64, width=24, heads=4))
    assert fresh == ViTConfig(64, 16, 24, 4, 4, 96)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"patch_size": 48}, "--patch-size 48 is not that of the checkpoint, 32: leave --patch-size out, or pretrain"),
        ({"width": 24}, "--width 24 is not that of the checkpoint, 12"),
        ({"layers": 3}, "--layers 3 is not that of the checkpoint, 4"),
    ],
)
def test_sizes_other_than_the_checkpoints_are_refused(checkpoint, option, message):
    with pytest.raises(InvalidArgument, match=message):
        encoder_of(checkpoint, FinetuneOptions(**option))


def test_a_patch_that_is_no_multiple_of_the_tokens_is_refused():
    with pytest.raises(InvalidArgument, match=r"img_size \(40, 40, 40\) must be a multiple .* multiple of its tokens"):
        encoder_of(None, FinetuneOptions(patch_size=40))


def test_a_checkpoint_without_sizes_or_weights_is_refused(checkpoint):
    with pytest.raises(InvalidArgument, match="does not say its 'img_size'; write it with python -m tools.train"):
        encoder_of({"schema_version": 1}, FinetuneOptions())
    with pytest.raises(InvalidArgument, match="the checkpoint cannot be taken: 'unetr_state_dict'"):
        build(TASK, Start(ENCODER, {"schema_version": 1}), seed=0)
    torn = {**checkpoint, "unetr_state_dict": {}}
    with pytest.raises(
        InvalidArgument, match=r"the encoder does not fit: vit\.blocks\.0.*: not in the checkpoint .*; and \d+ more"
    ):
        build(TASK, Start(ENCODER, torn), seed=0)


def test_a_pickle_in_a_checkpoint_is_refused(tmp_path):
    torch.save({"schema_version": 1, "options": argparse.Namespace(steps=1)}, tmp_path / "bad.pt")
    with pytest.raises(ValueError, match="holds a pickled argparse.Namespace, which can run code"):
        load_checkpoint(tmp_path / "bad.pt")


def test_a_fine_tuned_checkpoint_gives_all_layers_or_the_encoder_alone(tmp_path):
    network, _ = fitted(TASK, Start(ENCODER))
    torch.save(finetuned(network, TASK, Start(ENCODER)), tmp_path / "tuned.pt")
    known = load_checkpoint(tmp_path / "tuned.pt")
    again = Start(encoder_of(known, FinetuneOptions()), known, head=True)
    whole = build(TASK, again, seed=7).state_dict()
    assert all(torch.equal(tensor, whole[name]) for name, tensor in network.state_dict().items())
    alone = build(CLASSES, Start(ENCODER, known), seed=7)
    assert torch.equal(alone.vit.norm.weight, network.vit.norm.weight)


def test_segmentation_takes_the_whole_unetr_of_a_dense_autoencoder_but_its_last_layer(tmp_path):
    mae = DenseMaskedAutoencoder(DenseMAEConfig(ENCODER, feature_size=TASK.features))
    save_checkpoint(tmp_path / "dense.pt", mae)
    start = Start(ENCODER, load_checkpoint(tmp_path / "dense.pt"))
    taken, fresh = (build(TASK, one, seed=3).state_dict() for one in (start, Start(ENCODER)))
    for name, trained in mae.unetr.state_dict().items():
        assert torch.equal(taken[name], fresh[name] if name.startswith("out.") else trained)
    alone = build(CLASSES, start, seed=3)  # a classifier has the encoder only
    assert torch.equal(alone.vit.blocks[0].mlp.linear1.weight, mae.vit.blocks[0].mlp.linear1.weight)
    with pytest.raises(InvalidArgument, match=r"the UNETR does not fit: decoder2.* of a dense one with its --features"):
        build(Segmentation(TASK.classes, features=2 * TASK.features), start, seed=3)


def test_a_head_of_another_task_or_number_of_classes_is_refused(checkpoint):
    tuned = finetuned(build(TASK, Start(ENCODER), seed=0), TASK, Start(ENCODER))
    start = Start(ENCODER, tuned, head=True)
    two = Segmentation(("background", "liver"), features=2)
    with pytest.raises(InvalidArgument, match=r"head of the checkpoint has 3 classes .* data 2 .*leave --head out"):
        build(two, start, seed=0)
    with pytest.raises(InvalidArgument, match="fine-tuned for classification, this one is of segmentation"):
        build(CLASSES, start, seed=0)
    with pytest.raises(InvalidArgument, match="fine-tuned for segmentation, this one is of pretraining"):
        build(TASK, Start(ENCODER, checkpoint, head=True), seed=0)
    wider = Segmentation(TASK.classes, features=4)
    with pytest.raises(InvalidArgument, match="the checkpoint cannot be taken: .*size mismatch"):
        build(wider, start, seed=0)


def test_a_loss_that_is_not_finite_stops_and_names_the_cases():
    with pytest.raises(MixioError, match=r"not finite at step \d+ \([01], [01]\); lower --learning-rate"):
        fitted(TASK, Start(ENCODER), steps=20, learning_rate=1e30, clip=1e30)


def test_running_out_of_memory_says_what_to_lower():
    cpu, options = torch.device("cpu"), FinetuneOptions(batch_size=2, features=4)
    ways = "out of memory on cpu; use a smaller --batch-size than 2, or smaller --features than 4, or .* torch says: "
    with pytest.raises(MixioError, match=ways), told_when_out_of_memory(cpu, options):
        torch.empty(10**15)
    with pytest.raises(MixioError, match=ways), told_when_out_of_memory(cpu, options):
        np.empty(10**15)
    with pytest.raises(RuntimeError, match="shape"), told_when_out_of_memory(cpu, options):
        torch.ones(2) @ torch.ones(3, 1)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive, got nan"),
        ({"overlap": 1.0}, "overlap must be at least 0 and below 1, got 1.0"),
        ({"foreground": 1.5}, "foreground must be from 0 to 1, got 1.5"),
        ({"flip": "w"}, "flip must be some of x, y and z, or none, got 'w'"),
    ],
)
def test_options_that_cannot_be_are_refused(option, message):
    with pytest.raises(InvalidArgument, match=message):
        FinetuneOptions(**option)

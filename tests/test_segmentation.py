from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from mixio.errors import InvalidArgument
from models.vit import ViTConfig
from tests.labelled_volumes import ENCODER
from tools.examples import Example
from tools.patch_draws import Patch
from tools.segmentation import Segmentation, diagonal

TASK = Segmentation(("background", "shell", "core"), features=2)


class Told(nn.Module):
    """A network that is told the answer: the class of a voxel is its intensity times ten."""

    def __init__(self):
        super().__init__()
        self.vit, self.scale = nn.Module(), nn.Parameter(torch.ones(()))
        self.vit.config = ENCODER

    def forward(self, images):
        return torch.cat([-(10 * images - value).abs() for value in range(3)], dim=1)


def example(label, predicted=None, spacing=(1.0, 1.0, 1.0)):
    image = (label if predicted is None else predicted).astype(np.float32) / 10
    return Example("one", "ann", image, 0.0, spacing, label)


def box(*, x, value=1, shape=(20, 20, 20)):
    label = np.zeros(shape, np.uint8)
    label[x : x + 4, 4:8, 4:8] = value
    return label


def test_a_perfect_prediction_has_dice_1_and_distance_0():
    label = box(x=4) + box(x=12, value=2)
    scores = TASK.scores(Told(), [example(label)])
    assert [scores.metrics[name] for name in ("dice", "dice shell", "dice core", "hd95", "missed")] == [1, 1, 1, 0, 0]
    np.testing.assert_array_equal(scores.masks["one"], label)


def test_a_shifted_box_has_the_dice_and_distance_of_its_shift():
    task = Segmentation(("background", "shell"))
    case = example(box(x=4), box(x=6), spacing=(3.0, 1.0, 1.0))
    scores = task.scores(Told(), [case])
    assert scores.metrics["dice"] == pytest.approx(0.5)  # half of 64 voxels in common
    assert scores.metrics["hd95"] == pytest.approx(6.0)  # two voxels of 3 mm


def test_volumes_larger_than_the_window_are_put_together_from_several():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, (50, 34, 20)).astype(np.uint8)
    np.testing.assert_array_equal(TASK.predict(Told(), example(label)), label)


def test_what_lies_beyond_a_small_volume_is_its_background():
    class Recording(Told):
        def forward(self, images):
            self.least = images.min().item()
            return super().forward(images)

    network, image = Recording(), np.full((20, 20, 20), 0.2, np.float32)
    TASK.predict(network, Example("one", "ann", image, 0.2, (1.0, 1.0, 1.0), box(x=4)))
    assert network.least == pytest.approx(0.2)


def test_a_missed_class_costs_the_diagonal_and_is_counted():
    case = example(box(x=4) + box(x=12, value=2), box(x=4), spacing=(1.0, 2.0, 1.0))
    scores = TASK.scores(Told(), [case])
    assert diagonal(case) == pytest.approx((19**2 + 38**2 + 19**2) ** 0.5)
    assert scores.metrics["hd95 core"] == pytest.approx(diagonal(case))
    assert (scores.metrics["dice core"], scores.metrics["missed"]) == (0, 1)
    assert (
        TASK.scores(Told(), [case, replace(case, name="two", image=case.label / np.float32(10))]).metrics["missed"]
        == 0.5
    )


def test_a_class_that_a_case_does_not_have_is_left_out():
    cases = [example(box(x=4)), example(box(x=4) + box(x=12, value=2), box(x=4))]
    scores = TASK.scores(Told(), [cases[0]])
    assert (scores.metrics["dice core"], scores.metrics["hd95 core"], scores.metrics["dice"]) == (None, None, 1)
    assert scores.metrics["missed"] == 0


def test_the_loss_is_dice_and_cross_entropy():
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(2, 3, 4, 4, 4, generator=generator)
    labels = torch.randint(0, 3, (2, 1, 4, 4, 4), generator=generator).to(torch.uint8)
    patches = [Patch("one", np.empty(0), label.numpy(), None) for label in labels]
    chance, truth = output.softmax(1), torch.eye(3)[labels[:, 0].long()].movedim(-1, 1)
    shared, both = (chance * truth).sum((2, 3, 4)), (chance + truth).sum((2, 3, 4))
    dice = (1 - (2 * shared + 1e-5) / (both + 1e-5)).mean()
    entropy = -(truth * chance.log()).sum(1).mean()
    torch.testing.assert_close(TASK.loss(output, patches), dice + entropy)


def test_an_empty_class_in_a_split_is_refused():
    full, bare = example(box(x=4) + box(x=12, value=2)), example(box(x=4))
    TASK.require({"train": [full, bare], "val": [full]})
    with pytest.raises(
        InvalidArgument, match=r"no voxel of \['core'\] in the 2 cases of the split val; choose another"
    ):
        TASK.require({"train": [full], "val": [bare, bare]})


def test_tokens_of_another_size_are_refused_with_the_way_out():
    encoder = ViTConfig(img_size=32, patch_size=8, hidden_size=12, num_layers=1, num_heads=2, mlp_dim=24)
    with pytest.raises(InvalidArgument, match="UNETR needs tokens of 16 voxels, .* have 8; .* --token-size 16"):
        TASK.network(encoder)

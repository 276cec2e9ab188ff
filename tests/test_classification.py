import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mixio.errors import InvalidArgument
from tests.labelled_volumes import ENCODER
from tools.classification import Classification
from tools.examples import Example
from tools.patch_draws import Patch

TASK = Classification(("low", "high"))


class Mean(nn.Module):
    """A network that scores the second class by the mean intensity."""

    def __init__(self):
        super().__init__()
        self.vit, self.scale = nn.Module(), nn.Parameter(torch.ones(()))
        self.vit.config = ENCODER

    def forward(self, images):
        mean = images.mean((1, 2, 3, 4))
        return torch.stack([torch.zeros_like(mean), mean * self.scale], dim=1)


def example(level, target, name="one", shape=(40, 20, 20)):
    return Example(name, name, np.full(shape, level, np.float32), level, (1.0, 1.0, 1.0), None, target)


def test_scores_are_means_over_windows_and_chances_their_softmax():
    case = example(0.0, 1)
    case.image[:20] = 3.0  # two windows of 32 cover 40 voxels: of one 20/32 are bright, of the other 12/32
    inner = (20 / 32) ** 2  # of a window along the axes that are padded with the background, 0
    means = inner * 3.0 * np.array([20 / 32, 12 / 32])
    assert TASK.predict(Mean(), case)[1] == pytest.approx(1 / (1 + np.exp(-means.mean())), rel=1e-5)


def test_auroc_accuracy_and_the_chances_of_each_case_are_told():
    cases = [example(level, level > 2, str(level)) for level in (-4.0, 1.0, 3.0, 4.0, -1.0)]
    cases[1] = example(3.5, 0, "1.0")  # the one that is above one of the positives
    scores = TASK.scores(Mean(), cases)
    assert scores.metrics["auroc"] == pytest.approx(5 / 6)
    assert scores.metrics["accuracy"] == pytest.approx(4 / 5)
    low, high = scores.intervals["auroc"]
    assert 0 < low < 5 / 6 < high < 1
    assert scores.cases["4.0"]["high"] == pytest.approx(1 / (1 + np.exp(-4)), rel=1e-5)


def test_the_loss_is_cross_entropy():
    output = torch.tensor([[1.0, 2.0], [0.5, -1.0]])
    patches = [Patch("one", np.empty(0), None, target) for target in (1, 0)]
    torch.testing.assert_close(TASK.loss(output, patches), F.cross_entropy(output, torch.tensor([1, 0])))


def test_one_class_only_in_a_split_is_refused():
    both = [example(0.0, 0), example(1.0, 1)]
    TASK.require({"train": both, "val": both})
    with pytest.raises(
        InvalidArgument, match=r"no case of class \['high'\] in the 1 cases of the split val, and AUROC"
    ):
        TASK.require({"train": both, "val": both[:1]})


def test_a_probe_trains_the_head_alone():
    network = Classification(("low", "high"), probe=True).network(ENCODER)
    assert {name for name, one in network.named_parameters() if one.requires_grad} == {"head.weight", "head.bias"}


def test_one_class_is_no_classification():
    with pytest.raises(InvalidArgument, match="no such classifier: .* at least 2 classes apart, got 1"):
        Classification(("only",)).network(ENCODER)

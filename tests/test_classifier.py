import pytest
import torch

from models.checkpoint import load_encoder, save_checkpoint
from models.classifier import Classifier
from models.mae import MAEConfig, MaskedAutoencoder
from models.vit import ViTConfig

CONFIG = ViTConfig(img_size=16, patch_size=8, hidden_size=12, num_layers=2, num_heads=2, mlp_dim=24)


def images() -> torch.Tensor:
    return torch.rand(3, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))


def test_the_linear_head_reads_the_mean_of_the_tokens():
    network = Classifier(CONFIG, classes=4)
    tokens, _ = network.vit(images())
    expected = tokens.mean(dim=1) @ network.head.weight.T + network.head.bias
    torch.testing.assert_close(network(images()), expected)
    assert expected.shape == (3, 4)


def test_a_hidden_layer_makes_the_head_a_perceptron():
    network = Classifier(CONFIG, classes=2, hidden=5)
    assert network(images()).shape == (3, 2)
    assert [tuple(parameter.shape) for parameter in network.head.parameters()] == [(5, 12), (5,), (2, 5), (2,)]


def test_only_the_head_of_a_probe_gets_gradients():
    network = Classifier(CONFIG, classes=2, frozen=True)
    network(images()).sum().backward()
    assert {name for name, one in network.named_parameters() if one.grad is not None} == {"head.weight", "head.bias"}


def test_it_takes_the_encoder_of_a_pretrained_checkpoint(tmp_path):
    mae = MaskedAutoencoder(MAEConfig(CONFIG, decoder_width=12, decoder_layers=1, decoder_heads=2))
    save_checkpoint(tmp_path / "mae.pt", mae)
    network = Classifier(CONFIG, classes=2)
    load_encoder(torch.load(tmp_path / "mae.pt", weights_only=True), network)
    torch.testing.assert_close(network.vit(images())[0], mae.vit(images())[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [({"classes": 1}, "at least 2 classes apart, got 1"), ({"classes": 2, "hidden": -1}, "hidden must be at least 0")],
)
def test_what_cannot_be_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Classifier(CONFIG, **change)

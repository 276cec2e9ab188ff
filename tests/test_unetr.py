import monai.networks.nets
import pytest
import torch

from models.unetr import UNETR
from models.vit import ViTConfig


def config(**change: int) -> ViTConfig:
    sizes = {"img_size": 32, "patch_size": 16, "num_layers": 12, "hidden_size": 48, "num_heads": 4}
    return ViTConfig(**{**sizes, "mlp_dim": 96, **change})


def peer(feature_size: int = 4) -> torch.nn.Module:
    return monai.networks.nets.UNETR(
        1, 3, 32, feature_size=feature_size, hidden_size=48, mlp_dim=96, num_heads=4
    ).eval()


def images(size: int = 32) -> torch.Tensor:
    return torch.rand(2, 1, size, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("feature_size", [1, 4])
def test_keys_and_shapes_are_those_of_monai(feature_size):
    ours = UNETR(config(), out_channels=3, feature_size=feature_size).state_dict()
    theirs = peer(feature_size).state_dict()
    assert {name: tensor.shape for name, tensor in ours.items()} == {
        name: tensor.shape for name, tensor in theirs.items()
    }


def test_with_the_same_weights_it_computes_what_monai_computes():
    theirs = peer()
    ours = UNETR(config(), out_channels=3, feature_size=4).eval()
    ours.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(ours(images()), theirs(images()), rtol=1e-4, atol=1e-4)
        tokens, hidden = ours.vit(images())
        their_tokens, their_hidden = theirs.vit(images())
    torch.testing.assert_close(tokens, their_tokens, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(hidden, their_hidden, rtol=1e-4, atol=1e-5)


def test_the_default_size_has_as_many_parameters_as_published():
    with torch.device("meta"):
        unetr = UNETR(config(img_size=96, hidden_size=768, num_heads=12, mlp_dim=3072), out_channels=14)
    assert sum(parameter.numel() for parameter in unetr.parameters()) == 92_802_478


@pytest.mark.parametrize(("layers", "skips"), [(4, (1, 2, 3)), (8, (2, 4, 6)), (24, (6, 12, 18))])
def test_skips_come_from_the_quarters_of_any_depth(layers, skips):
    unetr = UNETR(config(num_layers=layers), out_channels=1, feature_size=1)
    seen = []
    for climb in (unetr.encoder2, unetr.encoder3, unetr.encoder4):
        climb.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].flatten(2).transpose(1, 2)))
    with torch.no_grad():
        unetr(images())
        hidden = unetr.vit(images())[1]
    wanted = [hidden[skips[2]], hidden[skips[1]], hidden[skips[0]]]
    assert all(torch.equal(one, other) for one, other in zip(seen, wanted, strict=True))


def test_other_patch_sizes_are_refused():
    with pytest.raises(ValueError, match=r"patches of \(16, 16, 16\) voxels, got \(8, 8, 8\)"):
        UNETR(config(patch_size=8), out_channels=2)

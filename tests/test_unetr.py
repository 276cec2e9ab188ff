import monai.networks.nets
import pytest
import torch

from models.unetr import UNETR
from models.vit import ViTConfig


def config(**change: int) -> ViTConfig:
    sizes = {"img_size": 32, "patch_size": 16, "num_layers": 12, "hidden_size": 48, "num_heads": 4}
    return ViTConfig(**{**sizes, "mlp_dim": 96, **change})


def images(size: int = 32, channels: int = 1) -> torch.Tensor:
    return torch.rand(2, channels, size, size, size, generator=torch.Generator().manual_seed(0))


SIZES = {
    "smallest": ({}, 1, 3),
    "wider": ({"hidden_size": 96, "num_heads": 12, "mlp_dim": 384, "in_channels": 2}, 4, 2),
    "larger": ({"img_size": 48, "hidden_size": 72, "num_heads": 6, "mlp_dim": 72}, 8, 14),
}


@pytest.fixture(params=SIZES.values(), ids=SIZES.keys())
def pair(request):
    """Our UNETR and MONAI's of the same size, each as initialized."""
    change, feature_size, out_channels = request.param
    sizes = config(**change)
    shape = {"hidden_size": sizes.hidden_size, "mlp_dim": sizes.mlp_dim, "num_heads": sizes.num_heads}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ours = UNETR(sizes, out_channels=out_channels, feature_size=feature_size)
        theirs = monai.networks.nets.UNETR(
            sizes.in_channels, out_channels, sizes.img_size, feature_size=feature_size, **shape
        )
    return ours.eval(), theirs.eval()


@pytest.mark.parametrize("ours_first", [True, False])
def test_either_takes_the_others_weights_and_then_computes_the_same(pair, ours_first):
    ours, theirs = pair
    giver, taker = pair if ours_first else reversed(pair)
    taker.load_state_dict(giver.state_dict(), strict=True)
    batch = images(ours.vit.config.img_size[0], ours.vit.config.in_channels)
    with torch.no_grad():
        result = ours(batch)
        assert result.std() > 0.01
        torch.testing.assert_close(result, theirs(batch), rtol=1e-5, atol=1e-5)
        tokens, hidden = ours.vit(batch)
        their_tokens, their_hidden = theirs.vit(batch)
    torch.testing.assert_close(tokens, their_tokens, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(hidden, their_hidden, rtol=1e-5, atol=1e-5)


def test_with_the_same_weights_the_gradients_are_those_of_monai(pair):
    ours, theirs = pair
    ours.load_state_dict(theirs.state_dict())
    batch = images(ours.vit.config.img_size[0], ours.vit.config.in_channels)
    for unetr in pair:
        unetr(batch).square().mean().backward()
    their_gradients = {name: one.grad for name, one in theirs.named_parameters() if one.grad is not None}
    our_gradients = {name: one.grad for name, one in ours.named_parameters() if one.grad is not None}
    assert our_gradients.keys() == their_gradients.keys() - {"vit.patch_embedding.position_embeddings"}  # fixed in ours
    for name, gradient in our_gradients.items():
        torch.testing.assert_close(gradient, their_gradients[name], rtol=1e-3, atol=1e-4, msg=name)


def test_recomputing_changes_neither_result_nor_gradient():
    unetr = UNETR(config(num_layers=4), out_channels=2, feature_size=2)
    gradients = []
    for unetr.recompute in (False, True):
        unetr.zero_grad()
        unetr(images()).square().mean().backward()
        gradients.append([one.grad for one in unetr.parameters() if one.grad is not None])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_recomputing_covers_the_skip_from_the_image_always_else_every_block_and_stage(monkeypatch):
    unetr, seen = UNETR(config(num_layers=2), out_channels=1, feature_size=1), []
    monkeypatch.setattr("models.vit.checkpoint", lambda part, *rest, **how: seen.append(part) or part(*rest))

    def recomputed():
        """The modules; beside them are the projections of residuals, where a block has one."""
        seen.clear()
        unetr(images())
        projections = [part for part in seen if not isinstance(part, torch.nn.Module)]
        assert {part.__name__ for part in projections} == {"_projected"}
        assert len(projections) == sum(hasattr(part, "conv3") and part.conv3 is not None for part in unetr.modules())
        return [part for part in seen if isinstance(part, torch.nn.Module)]

    assert recomputed() == [unetr.encoder1]
    unetr.recompute = True
    seen = recomputed()
    stages = {part for name, part in unetr.named_children() if name.startswith(("encoder", "decoder"))}
    assert set(seen) == {*unetr.vit.blocks, *stages}
    assert len(seen) == 2 + 8


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


def test_images_of_another_size_are_refused():
    unetr = UNETR(config(num_layers=1), out_channels=1, feature_size=1)
    with pytest.raises(ValueError, match=r"must have shape \(B, 1, 32, 32, 32\), got \(2, 1, 48, 48, 48\)"):
        unetr(images(48))

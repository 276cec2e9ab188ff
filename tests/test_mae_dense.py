from dataclasses import replace

import pytest
import torch

from models.mae import MAEConfig, MaskedAutoencoder
from models.mae_dense import DenseMAEConfig, DenseMaskedAutoencoder
from models.vit import ViTConfig

ENCODER = ViTConfig(img_size=32, patch_size=16, hidden_size=24, num_layers=2, num_heads=2, mlp_dim=48)
SMALL = DenseMAEConfig(ENCODER, feature_size=2)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model(config: DenseMAEConfig = SMALL) -> DenseMaskedAutoencoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DenseMaskedAutoencoder(config)


def images(batch: int = 2, seed: int = 0, channels: int = 1) -> torch.Tensor:
    return torch.rand(batch, channels, 32, 32, 32, generator=seeded(seed))


def test_sparse_and_dense_are_called_alike_and_return_alike():
    dense = model()
    sparse = MaskedAutoencoder(MAEConfig(ENCODER, decoder_width=12, decoder_layers=1, decoder_heads=2))
    valid = torch.tensor([[[0, 0, 0], [32, 32, 32]], [[3, 0, 0], [32, 20, 32]]])
    visible = dense.draw_visible(2, seeded())
    assert torch.equal(visible, sparse.draw_visible(2, seeded()))
    for mae in (dense, sparse):
        loss, prediction = mae(images(), visible, valid)
        assert (loss.shape, prediction.shape) == ((2,), (2, 8, 16**3))
    same = torch.rand(2, 8, 16**3, generator=seeded(1))
    patches = dense.patchify(images())
    assert torch.equal(dense.loss(patches, same, visible, valid), sparse.loss(patches, same, visible, valid))


def test_the_network_sees_the_mask_where_patches_are_hidden_and_the_image_elsewhere():
    mae = model()
    mae.mask_token.data.fill_(9)
    batch, visible = images(), torch.tensor([[0, 6], [3, 7]])
    seen = mae.patchify(mae.blot(batch, visible))
    for one in range(2):
        for patch in range(8):
            shown = patch in visible[one].tolist()
            wanted = mae.patchify(batch)[one, patch] if shown else torch.full((16**3,), 9.0)
            assert torch.equal(seen[one, patch], wanted)


def test_the_prediction_knows_nothing_of_hidden_voxels():
    mae = model()
    visible = mae.draw_visible(1, seeded())
    first, other = images(1), images(1, seed=1)
    index = visible[..., None].expand(-1, -1, 16**3)
    shared = mae.patchify(other).scatter(1, index, mae.patchify(first).gather(1, index))
    assert torch.equal(mae(first, visible)[1], mae(mae.unpatchify(shared), visible)[1])


def test_each_channel_has_a_mask_value_and_is_reconstructed():
    mae = model(replace(SMALL, encoder=replace(ENCODER, in_channels=2)))
    loss, prediction = mae(images(channels=2), mae.draw_visible(2, seeded()))
    assert mae.mask_token.shape == (1, 2, 1, 1, 1)
    assert prediction.shape == (2, 8, 2 * 16**3)
    assert loss.isfinite().all()


def test_a_mask_that_is_not_learned_stays_zero():
    mae = model(replace(SMALL, learned_mask=False))
    assert not mae.mask_token.requires_grad
    assert not mae.mask_token.any()


def test_every_trainable_parameter_gets_a_gradient():
    mae = model(replace(SMALL, encoder=replace(ENCODER, learned_positions=True)))
    mae(images(), mae.draw_visible(2, seeded()))[0].mean().backward()
    trained = [(name, one) for name, one in mae.named_parameters() if one.requires_grad]
    still = [name for name, one in trained if one.grad is None or not one.grad.abs().sum() > 0]
    assert ("mask_token" in dict(trained), still) == (True, [])


def test_padding_does_not_count():
    mae = model()
    visible = mae.draw_visible(1, seeded())
    valid = torch.tensor([[[0, 0, 2], [32, 9, 32]]])
    patches, prediction = mae.patchify(images(1)), torch.zeros(1, 8, 16**3)
    hidden = torch.ones(1, 8, 1).scatter(1, visible[..., None], 0).expand(1, 8, 16**3)
    inside = mae.unpatchify(hidden)[0, 0, :, :9, 2:].bool()
    wanted = images(1)[0, 0, :, :9, 2:][inside].square().mean()
    torch.testing.assert_close(mae.loss(patches, prediction, visible, valid)[0], wanted)


@pytest.mark.parametrize("norm_target", [False, True])
def test_it_starts_near_the_mean_of_what_it_predicts(norm_target):
    mae = model(replace(SMALL, norm_target=norm_target))
    batch = images() * 0.6  # mean 0.3
    loss = mae(batch, mae.draw_visible(2, seeded()))[0]
    torch.testing.assert_close(loss, torch.full((2,), 1.0 if norm_target else 0.03), rtol=0.1, atol=0)


def test_it_learns_smooth_volumes():
    mae = model(replace(SMALL, encoder=replace(ENCODER, img_size=(32, 32, 16))))
    axis = torch.linspace(0, 3, 32)
    batch = torch.stack([(0.5 + 0.5 * (axis[:, None, None] * k).sin()).expand(1, 32, 32, 16) for k in (1, 2)])
    visible = mae.draw_visible(2, seeded())
    optimizer = torch.optim.AdamW(mae.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        loss = mae(batch, visible)[0].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 4


def test_recomputing_changes_no_gradient():
    mae = model()
    visible = mae.draw_visible(2, seeded())
    gradients = []
    for mae.recompute in (False, True):
        mae.zero_grad()
        mae(images(), visible)[0].mean().backward()
        gradients.append({name: one.grad for name, one in mae.named_parameters() if one.grad is not None})
    assert mae.unetr.recompute
    assert gradients[0].keys() == gradients[1].keys()
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask_ratio": 0.99}, "leaves 0 of 8 patches visible"),
        ({"feature_size": 0}, "feature_size must be at least 1, got 0"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **change)


def test_other_patch_sizes_are_refused():
    with pytest.raises(ValueError, match=r"patches of \(16, 16, 16\) voxels, got \(8, 8, 8\)"):
        DenseMaskedAutoencoder(DenseMAEConfig(replace(ENCODER, patch_size=8)))


def test_images_of_another_size_are_refused():
    mae = model()
    with pytest.raises(ValueError, match=r"must have shape \(B, 1, 32, 32, 32\), got \(1, 1, 48, 32, 32\)"):
        mae(torch.zeros(1, 1, 48, 32, 32), torch.tensor([[0, 1]]))


def test_it_runs_under_bfloat16_autocast():
    mae = model()
    visible = mae.draw_visible(2, seeded())
    exact, _ = mae(images(), visible)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough, _ = mae(images(), visible)
    rough.mean().backward()
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=0.05, atol=0)

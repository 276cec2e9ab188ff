from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.mae import MAEConfig, MaskedAutoencoder
from models.vit import ViTConfig

ENCODER = ViTConfig(img_size=8, patch_size=2, hidden_size=24, num_layers=2, num_heads=2, mlp_dim=48)
SMALL = MAEConfig(ENCODER, decoder_width=12, decoder_layers=1, decoder_heads=2)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model(config: MAEConfig = SMALL) -> MaskedAutoencoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MaskedAutoencoder(config)


def images(batch: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.rand(batch, 1, 8, 8, 8, generator=seeded(seed))


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**63 - 1), ratio=st.sampled_from([0.25, 0.5, 0.75]))
def test_a_mask_keeps_its_share_of_distinct_patches(seed, ratio):
    mae = model(replace(SMALL, mask_ratio=ratio))
    visible = mae.draw_visible(3, seeded(seed))
    assert visible.shape == (3, 64 * (1 - ratio))
    assert (visible.diff(dim=1) > 0).all()
    assert visible.min() >= 0
    assert visible.max() < 64
    assert torch.equal(visible, mae.draw_visible(3, seeded(seed)))


def test_every_patch_is_visible_equally_often():
    often = model().draw_visible(4000, seeded()).flatten().bincount(minlength=64)
    assert (often / 4000 - 0.25).abs().max() < 4 * (0.25 * 0.75 / 4000) ** 0.5


def test_the_loss_is_the_squared_error_of_the_hidden_voxels_of_each_image():
    mae = model()
    batch, visible = images(), mae.draw_visible(2, seeded())
    loss, prediction = mae(batch, visible)
    for one in range(2):
        hidden = [patch for patch in range(64) if patch not in visible[one].tolist()]
        error = mae.unpatchify(prediction)[one] - batch[one]
        wanted = mae.patchify(error[None])[0, hidden].square().mean()
        torch.testing.assert_close(loss[one], wanted)


def test_the_loss_ignores_what_is_predicted_for_visible_patches():
    mae = model()
    patches, visible = mae.patchify(images()), mae.draw_visible(2, seeded())
    prediction = torch.zeros_like(patches)
    spoiled = prediction.scatter(1, visible[..., None].expand(-1, -1, 8), 1e6)
    assert torch.equal(
        mae.loss(patches, prediction, visible),
        mae.loss(patches, spoiled, visible),
    )


def test_the_prediction_knows_nothing_of_hidden_voxels():
    mae = model()
    visible = mae.draw_visible(1, seeded())
    first, other = mae.patchify(images(1)), mae.patchify(images(1, seed=1))
    index = visible[..., None].expand(-1, -1, 8)
    other = other.scatter(1, index, first.gather(1, index))
    predictions = [mae.forward_decoder(mae.forward_encoder(p, visible), visible) for p in (first, other)]
    assert torch.equal(*predictions)


def test_padding_does_not_count():
    mae = model()
    visible = mae.draw_visible(2, seeded())
    valid = torch.tensor([[[0, 0, 0], [8, 8, 8]], [[1, 0, 3], [8, 5, 8]]])
    prediction = torch.zeros(2, 64, 8)
    batch = images()
    batch[1, :, :1] = batch[1, :, :, 5:] = batch[1, :, :, :, :3] = torch.nan
    clean = batch.nan_to_num(7.0)
    hidden = torch.ones(64).scatter(0, visible[1], 0)[None, :, None].expand(1, 64, 8)
    hidden = mae.unpatchify(hidden)[0, 0, 1:, :5, 3:].bool()
    wanted = clean[1, 0, 1:, :5, 3:][hidden].square().mean()
    torch.testing.assert_close(mae.loss(mae.patchify(clean), prediction, visible, valid)[1], wanted)


def test_an_image_of_padding_alone_has_loss_zero():
    mae = model()
    nothing = torch.zeros(2, 2, 3, dtype=torch.int64)
    assert mae(images(), mae.draw_visible(2, seeded()), nothing)[0].tolist() == [0, 0]


def test_a_normalized_target_does_not_depend_on_brightness_and_contrast():
    mae = model(replace(SMALL, norm_target=True))
    patches, visible = mae.patchify(images()), mae.draw_visible(2, seeded())
    prediction = torch.zeros_like(patches)
    losses = mae.loss(patches, prediction, visible)
    torch.testing.assert_close(losses, mae.loss(5 * patches + 3, prediction, visible), rtol=1e-3, atol=0)
    torch.testing.assert_close(losses, torch.ones(2), rtol=1e-3, atol=0)


def test_every_trainable_parameter_gets_a_gradient():
    mae = model()
    mae(images(), mae.draw_visible(2, seeded()))[0].mean().backward()
    still = [
        name
        for name, parameter in mae.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.abs().sum() > 0)
    ]
    assert still == []


def test_training_on_one_batch_halves_its_loss():
    mae = model()
    batch, visible = images(4), mae.draw_visible(4, seeded())
    optimizer = torch.optim.AdamW(mae.parameters(), lr=1e-2)
    losses = []
    for _ in range(150):
        loss = mae(batch, visible)[0].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[1] / 2


def test_it_runs_under_bfloat16_autocast():
    mae = model()
    visible = mae.draw_visible(2, seeded())
    exact, _ = mae(images(), visible)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough, prediction = mae(images(), visible)
    rough.mean().backward()
    assert prediction.dtype == torch.bfloat16
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=0.05, atol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask_ratio": 1.0}, "mask_ratio must lie between 0 and 1"),
        ({"mask_ratio": 0.999}, "leaves 0 of 64 patches visible"),
        ({"decoder_heads": 5}, "decoder_width 12 must be a multiple of decoder_heads 5"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **change)


def test_computing_blocks_again_changes_no_gradient():
    def gradients(recompute):
        mae = model()
        mae.recompute = recompute
        mae(images(), mae.draw_visible(2, seeded()))[0].mean().backward()
        return [parameter.grad for parameter in mae.parameters() if parameter.requires_grad]

    assert all(torch.equal(*pair) for pair in zip(gradients(True), gradients(False), strict=True))

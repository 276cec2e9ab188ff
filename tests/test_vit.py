import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from models.vit import ViT, ViTConfig, patchify, sincos_positions, take, unpatchify

SMALL = ViTConfig(img_size=8, patch_size=4, hidden_size=12, num_layers=2, num_heads=3, mlp_dim=24)


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


sizes = st.tuples(*[st.integers(1, 3)] * 3)


@settings(deadline=None, max_examples=30)
@given(patch=sizes, grid=sizes, channels=st.integers(1, 2))
def test_unpatchify_undoes_patchify(patch, grid, channels):
    batch = images(2, channels, *(p * g for p, g in zip(patch, grid, strict=True)))
    patches = patchify(batch, patch)
    assert patches.shape == (2, math.prod(grid), channels * math.prod(patch))
    assert torch.equal(unpatchify(patches, patch, grid), batch)


def test_patches_are_in_c_order_of_the_grid():
    batch = images(1, 1, 4, 6, 8)
    patches = patchify(batch, (2, 3, 4))
    assert torch.equal(patches[0, 0].view(2, 3, 4), batch[0, 0, :2, :3, :4])
    assert torch.equal(patches[0, 1].view(2, 3, 4), batch[0, 0, :2, :3, 4:])
    assert torch.equal(patches[0, 4].view(2, 3, 4), batch[0, 0, 2:, :3, :4])


def test_the_patch_embedding_is_the_strided_convolution_it_stands_for():
    vit = ViT(SMALL)
    batch = images(2, 1, 8, 8, 8)
    convolved = vit.patch_embedding.patch_embeddings(batch).flatten(2).transpose(1, 2)
    wanted = convolved + vit.patch_embedding.position_embeddings
    torch.testing.assert_close(vit.patch_embedding(patchify(batch, SMALL.patch_size)), wanted)


def test_keeping_every_token_is_the_full_pass():
    vit = ViT(SMALL)
    batch = images(3, 1, 8, 8, 8)
    every = torch.arange(SMALL.num_patches).expand(3, -1)
    torch.testing.assert_close(vit(batch, every)[0], vit(batch)[0])


def test_tokens_that_are_not_kept_have_no_influence():
    vit = ViT(SMALL)
    kept = torch.tensor([[1, 6]])
    first, second = images(1, 8, 64), images(1, 8, 64, seed=1)
    second.scatter_(1, kept[..., None].expand(-1, -1, 64), take(first, kept))
    assert torch.equal(vit.encode(first, kept)[0], vit.encode(second, kept)[0])


def test_attention_is_softmax_of_scaled_products():
    attention = ViT(SMALL).blocks[0].attn
    tokens = images(1, 5, 12)
    query, key, value = F.linear(tokens, attention.qkv.weight).chunk(3, dim=2)
    heads = []
    for head in range(3):
        part = slice(4 * head, 4 * head + 4)
        weights = (query[..., part] @ key[..., part].transpose(1, 2) / 2).softmax(2)
        heads.append(weights @ value[..., part])
    torch.testing.assert_close(attention(tokens), attention.out_proj(torch.cat(heads, dim=2)))


def test_positions_are_sines_and_cosines_of_each_axis_in_turn():
    grid, width = (2, 3, 4), 12
    positions = sincos_positions(grid, width)[0]
    for x, y, z in [(0, 0, 0), (1, 2, 3), (0, 2, 1)]:
        wanted = []
        for index in (x, y, z):
            phases = [index, index / 10**0.5]
            wanted += [math.sin(phase) for phase in phases] + [math.cos(phase) for phase in phases]
        assert positions[(x * 3 + y) * 4 + z].tolist() == pytest.approx(wanted, abs=1e-6)


def test_positions_are_fixed_unless_learned():
    fixed = ViT(SMALL).patch_embedding.position_embeddings
    learned = ViT(replace(SMALL, learned_positions=True)).patch_embedding.position_embeddings
    assert (fixed.requires_grad, learned.requires_grad) == (False, True)
    assert fixed.shape == learned.shape == (1, 8, 12)


def test_three_sizes_need_not_be_equal():
    config = ViTConfig(img_size=(8, 12, 4), patch_size=(4, 6, 2), hidden_size=6, num_layers=1, num_heads=1, mlp_dim=6)
    assert config.grid == (2, 2, 2)
    assert ViT(config)(images(1, 1, 8, 12, 4))[0].shape == (1, 8, 6)


@pytest.mark.parametrize(
    ("scale_factor", "width"), [(0.125, 96), (0.25, 192), (0.5, 384), (0.75, 576), (1, 768), (1.25, 960), (1.5, 1152)]
)
def test_scaled_sizes_are_vit_b_with_another_width(scale_factor, width):
    config = ViTConfig.scaled(scale_factor, num_layers=4, img_size=48, patch_size=8, in_channels=2)
    assert (config.hidden_size, config.mlp_dim, config.num_heads, config.num_layers) == (width, 4 * width, 12, 4)
    assert (config.img_size, config.patch_size, config.in_channels) == ((48,) * 3, (8,) * 3, 2)


def test_a_scale_that_the_heads_cannot_share_is_refused_with_its_neighbours():
    with pytest.raises(ValueError, match=r"0.3 makes a width of 230.4, .* multiple of 12; .* 0.296875 and 0.3125"):
        ViTConfig.scaled(0.3)


@pytest.mark.parametrize("train", [True, False])
def test_recomputing_changes_neither_result_nor_gradient(train):
    vit = ViT(replace(SMALL, learned_positions=True)).train(train)
    gradients = []
    for vit.recompute in (False, True):
        vit.zero_grad()
        vit(images(2, 1, 8, 8, 8))[0].square().mean().backward()
        gradients.append({name: one.grad for name, one in vit.named_parameters() if one.grad is not None})
    assert len(gradients[0]) > 20
    assert gradients[0].keys() == gradients[1].keys()
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])


def kept_bytes(run) -> int:
    """Bytes that the backward pass of what `run` computes would need."""
    kept: dict[int, int] = {}

    def note(tensor):
        kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        run()
    return sum(kept.values())


def test_recomputing_keeps_less():
    vit = ViT(replace(SMALL, num_layers=8))
    batch = images(16, 1, 8, 8, 8)
    plain = kept_bytes(lambda: vit(batch))
    vit.recompute = True
    assert kept_bytes(lambda: vit(batch)) < plain / 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"img_size": 10}, r"img_size \(10, 10, 10\) must be a multiple of patch_size"),
        ({"patch_size": (4, 4)}, "patch_size must be one or three positive"),
        ({"num_heads": 5}, "hidden_size 12 must be a multiple of num_heads 5"),
        ({"num_layers": 0}, "num_layers must be at least 1, got 0"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **change)


def test_positions_of_a_width_not_divisible_by_six_are_refused():
    with pytest.raises(ValueError, match=r"multiple of 6 .* got 16"):
        sincos_positions((2, 2, 2), 16)


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"must have shape \(B, 1, 8, 8, 8\), got \(1, 1, 9, 8, 8\)"):
        ViT(SMALL)(torch.zeros(1, 1, 9, 8, 8))

from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.masking import draw_visible, hidden_error, normalize, real_voxels, visible_patches
from models.vit import ViTConfig, unpatchify


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(num_patches=st.integers(2, 500), ratio=st.floats(0.05, 0.95))
def test_the_visible_patches_are_the_nearest_whole_number_to_their_share(num_patches, ratio):
    try:
        visible = visible_patches(num_patches, ratio)
    except ValueError:
        assert not 0.5 < num_patches * (1 - ratio) < num_patches - 0.5
    else:
        assert abs(visible - num_patches * (1 - ratio)) <= 0.5


def test_every_choice_of_patches_is_as_likely():
    draws = draw_visible(12_000, 5, 2, seeded())
    often = [int((draws == torch.tensor(pair)).all(1).sum()) for pair in combinations(range(5), 2)]
    assert sum(often) == 12_000
    chi_square = sum((count - 1200) ** 2 / 1200 for count in often)
    assert chi_square < 27.9  # 99.9 % of a chi-square with 9 degrees of freedom


@given(seed=st.integers(0, 2**63 - 1), visible=st.integers(1, 63))
def test_a_draw_has_exactly_so_many_different_patches(seed, visible):
    draw = draw_visible(2, 64, visible, seeded(seed))
    assert [len(set(row)) for row in draw.tolist()] == [visible, visible]


def test_real_voxels_are_those_of_the_box():
    config = ViTConfig(
        img_size=(4, 6, 8), patch_size=2, hidden_size=6, num_layers=1, num_heads=1, mlp_dim=6, in_channels=2
    )
    boxes = torch.tensor([[[0, 0, 0], [4, 6, 8]], [[1, 2, 0], [3, 6, 5]], [[2, 2, 2], [2, 2, 2]]])
    images = unpatchify(real_voxels(boxes, config), config.patch_size, config.grid)
    assert images[0].all()
    assert images[1, :, 1:3, 2:6, 0:5].all()
    assert images.flatten(1).sum(1).tolist() == [2 * 192, 2 * 2 * 4 * 5, 0]


@pytest.mark.parametrize("norm_target", [False, True])
def test_the_error_is_the_mean_over_real_voxels_of_hidden_patches(norm_target):
    patches, prediction = torch.rand(2, 6, 5, generator=seeded()), torch.rand(2, 6, 5, generator=seeded(1))
    real = torch.rand(2, 6, 5, generator=seeded(2)) < 0.7
    visible = torch.tensor([[0, 4], [1, 2]])
    found = hidden_error(patches, prediction, visible, real=real, norm_target=norm_target)
    for one in range(2):
        squares = []
        for patch in {0, 1, 2, 3, 4, 5} - set(visible[one].tolist()):
            target, inside = patches[one, patch], real[one, patch]
            if norm_target:
                own = target[inside]
                target = (target - own.mean()) / (own.var(unbiased=False) + 1e-6).sqrt()
            squares += (prediction[one, patch] - target)[inside].square().tolist()
        assert found[one].item() == pytest.approx(sum(squares) / len(squares), rel=1e-5)


def test_all_voxels_being_real_is_as_if_none_were_named():
    patches, prediction = torch.rand(2, 6, 5, generator=seeded()), torch.rand(2, 6, 5, generator=seeded(1))
    visible, every = torch.tensor([[0, 4], [1, 2]]), torch.ones(2, 6, 5, dtype=torch.bool)
    wanted = hidden_error(patches, prediction, visible)
    torch.testing.assert_close(hidden_error(patches, prediction, visible, real=every), wanted)


def test_a_patch_without_contrast_is_normalized_to_zeros():
    assert not normalize(torch.full((1, 1, 5), 0.25)).any()


@pytest.mark.parametrize(
    ("num_patches", "ratio", "message"),
    [
        (64, 1.0, "mask_ratio must lie between 0 and 1"),
        (64, 0.0, "mask_ratio must lie between 0 and 1"),
        (64, float("nan"), "mask_ratio must lie between 0 and 1"),
        (8, 0.95, "mask_ratio 0.95 leaves 0 of 8 patches visible"),
        (8, 0.05, "mask_ratio 0.05 leaves 8 of 8 patches visible"),
        (1, 0.5, "of 1 patches visible; at least one must be visible and one hidden"),
    ],
)
def test_a_mask_that_hides_all_or_nothing_is_refused(num_patches, ratio, message):
    with pytest.raises(ValueError, match=message):
        visible_patches(num_patches, ratio)

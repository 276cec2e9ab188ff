import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from models.mae import MaskedAutoencoder
from tests.test_train import FLAGS, SHORT
from tools.heldout import HeldOut
from tools.loop import build
from tools.reconstructions import HIDDEN, picture, reconstructions
from tools.train import main


@pytest.fixture(scope="module")
def held_out(small_store):
    return HeldOut.read(small_store, patch_size=8, crops=4)


def test_every_domain_is_there_with_what_is_visible_unchanged_and_the_rest_predicted(small_store, held_out):
    mae = build(SHORT)
    torch.nn.init.constant_(mae.decoder_head.weight, 0.0)
    torch.nn.init.constant_(mae.decoder_head.bias, 0.625)
    shown = reconstructions(mae, held_out)
    assert list(shown) == list(small_store.domains)
    for one in shown.values():
        hidden = np.isnan(one.masked)
        assert one.image.shape == (8, 8)
        assert (one.masked == one.image)[~hidden].all()
        assert (one.output == one.image)[~hidden].all()
        assert (one.output == 0.625)[hidden].all()


def test_the_crop_is_one_of_the_held_out_ones_seen_from_below_with_anterior_up(held_out):
    shown = reconstructions(build(SHORT), held_out)["pet"].image
    crops = torch.cat([batch["image"] for batch in held_out.batches["pet"]])[:, 0, :, :, 4]  # (N, X, Y)
    most = crops[int(torch.cat([one["image"] for one in held_out.batches["pet"]]).flatten(1).std(1).argmax())]
    assert np.array_equal(shown, most.flip(0).T.numpy())


def test_a_prediction_of_normalized_tokens_is_shown_in_the_intensities_of_the_input(held_out):
    options = {**SHORT.model.__dict__, "norm_target": True}
    mae = MaskedAutoencoder(type(SHORT.model)(**options).config)
    torch.nn.init.constant_(mae.decoder_head.weight, 0.0)  # predicts 0, which is each token's mean
    one = reconstructions(mae, held_out)["abdomen-ct"]
    hidden = np.isnan(one.masked)
    assert one.image.min() - 1e-6 <= one.output[hidden].min()
    assert one.output[hidden].max() <= one.image.max() + 0.5


def test_the_picture_has_a_row_a_domain_and_hidden_tokens_are_no_shade_of_grey(held_out):
    figure = picture(reconstructions(build(SHORT), held_out))
    assert [ax.get_title() for ax in figure.axes[:3]] == ["input", "visible", "output"]
    assert [ax.get_ylabel() for ax in figure.axes[::3]] == list(held_out.batches)
    red, green, blue = (int(HIDDEN[place : place + 2], 16) for place in (1, 3, 5))
    assert len({red, green, blue}) == 3


def test_the_command_draws_as_many_as_are_asked_for_beside_the_log(small_store, tmp_path):
    words = [small_store.path, "--mixture", "uniform", "--run", "mine", "--runs", str(tmp_path), *FLAGS]
    done = CliRunner().invoke(main, [*words, "--pictures", "2"])
    assert done.exit_code == 0, done.output
    assert {path.name for path in tmp_path.glob("*.png")} == {"mine.draw-32.png", "mine.draw-64.png"}
    shown = np.asarray(Image.open(tmp_path / "mine.draw-64.png").convert("RGB")).reshape(-1, 3)
    hidden = np.array([int(HIDDEN[place : place + 2], 16) for place in (1, 3, 5)])
    assert 0.05 < (shown == hidden).all(1).mean() < 0.4  # three quarters of a third, but for margins

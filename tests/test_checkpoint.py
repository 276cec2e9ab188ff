import os
from contextlib import suppress
from dataclasses import replace

import monai.networks.nets
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.checkpoint import load_checkpoint, load_encoder, load_mae, save_checkpoint, unetr_state_dict
from models.mae import MAEConfig, MaskedAutoencoder
from models.mae_dense import DenseMAEConfig, DenseMaskedAutoencoder
from models.unetr import UNETR
from models.vit import ViTConfig

ENCODER = ViTConfig(img_size=96, patch_size=16, hidden_size=96, num_layers=12, num_heads=12, mlp_dim=384)
MONAI_SIZED = MAEConfig(ENCODER, decoder_width=24, decoder_layers=1, decoder_heads=2)
SMALL = MAEConfig(
    ViTConfig(img_size=8, patch_size=4, hidden_size=12, num_layers=2, num_heads=2, mlp_dim=24),
    decoder_width=12,
    decoder_layers=1,
    decoder_heads=2,
)


DENSE = DenseMAEConfig(
    ViTConfig(img_size=32, patch_size=16, hidden_size=24, num_layers=12, num_heads=2, mlp_dim=48), feature_size=2
)


def model(config: MAEConfig = SMALL) -> MaskedAutoencoder:
    return touched(MaskedAutoencoder(config))


def touched(mae: torch.nn.Module) -> torch.nn.Module:
    """`mae` with every tensor that is trained away from its initial value, as after training."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in mae.parameters():
            if parameter.requires_grad:
                parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    return mae


def peer(hidden_size: int = 96) -> torch.nn.Module:
    return monai.networks.nets.UNETR(1, 1, 96, hidden_size=hidden_size, mlp_dim=384, num_heads=12)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "mae.pt"
    mae = model(MONAI_SIZED)
    save_checkpoint(path, mae, metadata={"shares": {"a-ct": 1.0}}, data={"position": 64})
    return mae, path


@pytest.fixture(scope="module")
def small_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "mae.pt"
    save_checkpoint(path, model())
    return path


def test_the_state_dict_loads_into_a_stock_monai_unetr_which_then_encodes_alike(saved):
    mae, path = saved
    unetr = peer().eval()
    outcome = unetr.load_state_dict(load_checkpoint(path)["unetr_state_dict"], strict=False)
    assert (outcome.missing_keys, outcome.unexpected_keys) == ([], [])
    images = torch.rand(1, 1, 96, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs, their_hidden = unetr.vit(images)
        ours, hidden = mae.vit(images)
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(their_hidden, hidden, rtol=1e-4, atol=1e-4)


def test_the_rest_of_the_unetr_is_fresh_and_the_same_every_time():
    first, second = (unetr_state_dict(model(MONAI_SIZED)) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first if not name.startswith("vit."))
    assert first["encoder1.layer.conv1.conv.weight"].std() > 0


def test_exporting_leaves_the_global_random_state_alone(saved):
    before = torch.random.get_rng_state()
    unetr_state_dict(saved[0])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_metadata_gives_every_size(saved):
    metadata = load_checkpoint(saved[1])["metadata"]
    assert metadata["scale_factor"] == 96 / 768
    sizes = ("num_layers", "hidden_size", "num_heads", "mlp_dim")
    assert [metadata[name] for name in sizes] == [12, 96, 12, 384]
    assert (metadata["img_size"], metadata["patch_size"]) == ([96] * 3, [16] * 3)
    assert (metadata["unetr"], metadata["shares"]) == ("full", {"a-ct": 1.0})
    assert load_checkpoint(saved[1])["data"] == {"position": 64}


def test_the_autoencoder_comes_back_as_it_was(tmp_path):
    mae = model(replace(SMALL, norm_target=True))
    save_checkpoint(tmp_path / "mae.pt", mae)
    again = load_mae(load_checkpoint(tmp_path / "mae.pt"))
    assert again.config == mae.config
    images, visible = torch.rand(1, 1, 8, 8, 8), torch.tensor([[0, 5]])
    assert torch.equal(again(images, visible)[0], mae(images, visible)[0])


def test_a_dense_autoencoder_comes_back_and_its_whole_unetr_goes_into_monais(tmp_path):
    mae = touched(DenseMaskedAutoencoder(DENSE)).eval()
    save_checkpoint(tmp_path / "mae.pt", mae)
    checkpoint = load_checkpoint(tmp_path / "mae.pt")
    again = load_mae(checkpoint).eval()
    assert (again.config, checkpoint["metadata"]["kind"]) == (DENSE, "dense")
    images, visible = torch.rand(1, 1, 32, 32, 32), torch.tensor([[0, 5]])
    assert torch.equal(again(images, visible)[1], mae(images, visible)[1])
    unetr = monai.networks.nets.UNETR(1, 1, 32, feature_size=2, hidden_size=24, mlp_dim=48, num_heads=2).eval()
    unetr.load_state_dict(checkpoint["unetr_state_dict"], strict=True)
    with torch.no_grad():
        torch.testing.assert_close(unetr(images), mae.unetr(images), rtol=1e-4, atol=1e-5)


def test_learned_positions_come_back_as_such(tmp_path):
    mae = model(replace(SMALL, encoder=replace(SMALL.encoder, learned_positions=True)))
    save_checkpoint(tmp_path / "mae.pt", mae)
    again = load_mae(load_checkpoint(tmp_path / "mae.pt"))
    assert again.decoder_positions.requires_grad
    assert torch.equal(again.decoder_positions, mae.decoder_positions)


def test_a_checkpoint_from_before_there_were_kinds_is_a_sparse_one(tmp_path):
    mae = model()
    save_checkpoint(tmp_path / "mae.pt", mae)
    checkpoint = load_checkpoint(tmp_path / "mae.pt")
    del checkpoint["metadata"]["kind"], checkpoint["metadata"]["mae"]["encoder"]["learned_positions"]
    assert load_mae(checkpoint).config == mae.config


def test_weights_are_stored_once(tmp_path):
    mae = touched(DenseMaskedAutoencoder(DENSE))
    save_checkpoint(tmp_path / "mae.pt", mae)
    assert (tmp_path / "mae.pt").stat().st_size < 1.5 * sum(one.nbytes for one in mae.state_dict().values())


def test_other_patch_sizes_export_the_encoder_only(tmp_path):
    save_checkpoint(tmp_path / "mae.pt", model())
    checkpoint = load_checkpoint(tmp_path / "mae.pt")
    assert checkpoint["metadata"]["unetr"] == "encoder-only"
    assert all(name.startswith("vit.") for name in checkpoint["unetr_state_dict"])


@pytest.mark.parametrize("network", [peer, lambda: UNETR(ENCODER, out_channels=5)], ids=["monai", "ours"])
def test_the_encoder_goes_into_a_network_with_another_head(saved, network):
    mae, path = saved
    unetr = network()
    head = unetr.out.conv.conv.weight.detach().clone()
    load_encoder(load_checkpoint(path), unetr)
    assert torch.equal(unetr.vit.blocks[11].attn.qkv.weight, mae.vit.blocks[11].attn.qkv.weight)
    assert torch.equal(unetr.out.conv.conv.weight, head)


def test_what_older_monai_adds_or_lacks_does_not_matter(saved):
    mae, path = saved
    checkpoint = load_checkpoint(path)
    state = {name: one for name, one in checkpoint["unetr_state_dict"].items() if "norm_cross" not in name}
    state["vit.blocks.0.cross_attn.to_q.weight"] = torch.zeros(96, 96)
    unetr = peer()
    load_encoder({"unetr_state_dict": state}, unetr)
    assert torch.equal(unetr.vit.norm.weight, mae.vit.norm.weight)


@pytest.mark.parametrize(
    "name", ["vit.cls_token", "vit.blocks.0.attn.qkv.bias", "vit.cross_attn.weight", "vit.blocks.12.norm1.weight"]
)
def test_anything_else_in_the_encoder_is_refused(saved, name):
    checkpoint = load_checkpoint(saved[1])
    checkpoint["unetr_state_dict"][name] = torch.zeros(96)
    with pytest.raises(ValueError, match=f"does not fit:\n  {name}: not in the module"):
        load_encoder(checkpoint, peer())


def test_an_encoder_of_other_patches_is_refused():
    checkpoint = {"unetr_state_dict": unetr_state_dict(model())}
    unetr = UNETR(replace(SMALL.encoder, img_size=32, patch_size=16), out_channels=1, feature_size=1)
    wanted = r"patch_embeddings.weight: \(12, 1, 4, 4, 4\) in the checkpoint, \(12, 1, 16, 16, 16\) in the module"
    with pytest.raises(ValueError, match=wanted):
        load_encoder(checkpoint, unetr)


def test_an_encoder_of_another_shape_is_refused_with_the_whole_list(saved):
    checkpoint = load_checkpoint(saved[1])
    checkpoint["unetr_state_dict"].pop("vit.norm.bias")
    before = (wide := peer(hidden_size=192)).vit.norm.weight.clone()
    with pytest.raises(ValueError, match="does not fit") as caught:
        load_encoder(checkpoint, wide)
    assert "vit.norm.weight: (96,) in the checkpoint, (192,) in the module" in str(caught.value)
    assert "vit.norm.bias: not in the checkpoint" in str(caught.value)
    assert str(caught.value).count("blocks.11.") == 10
    assert torch.equal(wide.vit.norm.weight, before)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("never",)


def test_a_pickled_object_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"schema_version": 1, "metadata": Evil()}, "evil.pt")
    with pytest.raises(ValueError, match="evil.pt holds a pickled posix.mkdir, which can run code"):
        load_checkpoint("evil.pt")
    assert os.listdir() == ["evil.pt"]


@pytest.mark.parametrize(
    ("content", "message"),
    [({"schema_version": 2}, r"schema 2, .* up to 1; update"), ({}, "has no schema_version")],
)
def test_another_schema_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "mae.pt")
    with pytest.raises(ValueError, match=message):
        load_checkpoint(tmp_path / "mae.pt")


def test_a_torn_file_is_refused(saved, tmp_path):
    (tmp_path / "mae.pt").write_bytes(saved[1].read_bytes()[:5000])
    with pytest.raises(ValueError, match="is torn"):
        load_checkpoint(tmp_path / "mae.pt")


@given(st.integers(0, 2000), st.integers(0, 255))
def test_a_changed_byte_raises_nothing_but_a_value_error(small_file, place, value):
    content = bytearray(small_file.read_bytes())
    content[place] = value
    changed = small_file.with_name("changed.pt")
    changed.write_bytes(content)
    with suppress(ValueError):
        load_checkpoint(changed)


def test_the_file_is_on_the_disk_before_it_has_its_name_and_the_name_after(tmp_path, monkeypatch):
    order, fsync, rename = [], os.fsync, os.replace

    def noted_fsync(descriptor):
        order.append(("fsync", os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def noted_replace(source, target):
        order.append(("replace", str(source)))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    save_checkpoint(tmp_path / "mae.pt", model())
    temporary = str(tmp_path / f".mae.pt.{os.getpid()}.tmp")
    assert order == [("fsync", temporary), ("replace", temporary), ("fsync", str(tmp_path))]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    save_checkpoint(tmp_path / "mae.pt", model(), metadata={"draws": 1})
    with pytest.raises(AttributeError, match="local object"):
        save_checkpoint(tmp_path / "mae.pt", model(), metadata={"draws": lambda: 2})
    assert load_checkpoint(tmp_path / "mae.pt")["metadata"]["draws"] == 1
    assert os.listdir(tmp_path) == ["mae.pt"]


def test_what_it_takes_to_train_on_comes_back_as_it_was(tmp_path):
    training = {"step": 3, "losses": [0.5], "optimizer": {"state": {0: {"exp_avg": torch.arange(3.0)}}}}
    save_checkpoint(tmp_path / "mae.pt", model(), training=training)
    saved = load_checkpoint(tmp_path / "mae.pt")["training"]
    assert torch.equal(saved["optimizer"]["state"][0].pop("exp_avg"), torch.arange(3.0))
    assert saved == {"step": 3, "losses": [0.5], "optimizer": {"state": {0: {}}}}

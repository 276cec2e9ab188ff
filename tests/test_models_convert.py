"""Between versions of MONAI and safetensors; what 1.4 and 1.5 have is taken from a real block with cross-attention."""

import json
import sys
from dataclasses import replace

import monai.networks.nets
import pytest
import torch
from monai.networks.blocks import TransformerBlock
from safetensors import safe_open
from safetensors.torch import save_file

from models.checkpoint import load_checkpoint, load_encoder, load_mae, save_checkpoint
from models.convert import from_monai, load_safetensors, save_safetensors, to_monai
from models.mae import MAEConfig, MaskedAutoencoder
from models.unetr import UNETR
from models.vit import ViTConfig

SIZES = ViTConfig(img_size=32, patch_size=16, hidden_size=24, num_layers=12, num_heads=2, mlp_dim=48)
TENSORS = {"1.3": 170, "1.4": 254, "1.5": 254, "1.6": 194}  # of a UNETR with 12 blocks, counted in these releases


def peer(**change) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"feature_size": 2, "hidden_size": 24, "mlp_dim": 48, "num_heads": 2}
        return monai.networks.nets.UNETR(1, 3, 32, **{**sizes, **change}).eval()


def ours(config: ViTConfig = SIZES) -> UNETR:
    return UNETR(config, out_channels=3, feature_size=2).eval()


def as_in(version: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict of MONAI 1.6 with what the blocks of another version have and lack."""
    if version == "1.3":
        return {name: one for name, one in state.items() if "norm_cross_attn" not in name}
    if version == "1.6":
        return state
    blocks = {layer: TransformerBlock(24, 48, 2, with_cross_attention=True).state_dict() for layer in range(12)}
    extra = {
        f"vit.blocks.{layer}.{name}": one
        for layer, block in blocks.items()
        for name, one in block.items()
        if name.startswith("cross_attn.")
    }
    return {**state, **extra}


@pytest.mark.parametrize("version", TENSORS)
def test_a_unetr_of_any_version_becomes_ours_and_computes_the_same(version):
    theirs, unetr = peer(), ours()
    state = as_in(version, theirs.state_dict())
    assert len(state) == TENSORS[version]
    unetr.load_state_dict(from_monai(state), strict=True)
    batch = torch.rand(1, 1, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(unetr(batch), theirs(batch), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("version", TENSORS)
def test_ours_becomes_one_of_any_version_and_comes_back(version):
    state = ours().state_dict()
    converted = to_monai(state, version=f"{version}.1")
    wanted = as_in(version, peer().state_dict())
    assert {name: one.shape for name, one in converted.items()} == {name: one.shape for name, one in wanted.items()}
    again = from_monai(converted)
    assert again.keys() == state.keys()
    assert all(torch.equal(again[name], state[name]) for name in state)


def test_any_depth_is_converted_into_ours_and_only_twelve_blocks_into_monais():
    state = ours(replace(SIZES, num_layers=4)).state_dict()
    assert from_monai(state).keys() == state.keys()
    with pytest.raises(ValueError, match="has 12 blocks, this one has 4; use models.unetr.UNETR"):
        to_monai(state, version="1.6")


def test_missing_unknown_and_misshapen_tensors_are_refused_together():
    state = dict(peer().state_dict())
    state.pop("vit.norm.bias")
    state["vit.blocks.3.attn.qkv.bias"] = torch.zeros(72)
    state["decoder5.transp_conv.conv.weight"] = torch.zeros(1)
    state["vit.cls_token"] = torch.zeros(1, 1, 24)
    state["vit.blocks.0.norm_cross_attn.bias"] = torch.zeros(7)
    with pytest.raises(ValueError, match="not the state dict of a UNETR of MONAI") as caught:
        from_monai(state)
    assert str(caught.value).splitlines()[1:] == [
        "  decoder5.transp_conv.conv.weight: (1,) in the checkpoint, (24, 16, 2, 2, 2) in a UNETR",
        "  vit.blocks.0.norm_cross_attn.bias: (7,) in the checkpoint, (24,) in a UNETR",
        "  vit.blocks.3.attn.qkv.bias: not in a UNETR",
        "  vit.cls_token: not in a UNETR",
        "  vit.norm.bias: not in the checkpoint",
    ]


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "lacks vit.patch_embedding.patch_embeddings.weight, .*out.conv.conv.weight"),
        (peer(proj_type="perceptron").state_dict(), 'by a perceptron; only proj_type="conv"'),
        (monai.networks.nets.UNETR(1, 2, (32, 32), hidden_size=24, spatial_dims=2).state_dict(), "not a 3D UNETR"),
    ],
    ids=["nothing", "perceptron", "2d"],
)
def test_what_is_no_such_unetr_is_refused(state, message):
    with pytest.raises(ValueError, match=message):
        from_monai(state)


@pytest.mark.parametrize("version", ["1.2.0", "2", "latest"])
def test_an_unknown_version_is_refused(version):
    with pytest.raises(ValueError, match=rf"MONAI {version} is not known; known are 1.3, 1.4, 1.5, 1.6"):
        to_monai(peer().state_dict(), version=version)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("convert") / "mae.pt"
    mae = MaskedAutoencoder(MAEConfig(SIZES, decoder_width=12, decoder_layers=1, decoder_heads=2))
    save_checkpoint(path, mae, metadata={"shares": {"a-ct": 1.0}})
    return load_checkpoint(path)


def test_a_checkpoint_survives_safetensors(checkpoint, tmp_path):
    save_safetensors(tmp_path / "mae.safetensors", checkpoint)
    again = load_safetensors(tmp_path / "mae.safetensors")
    state = checkpoint["unetr_state_dict"]
    assert again["metadata"] == json.loads(json.dumps(checkpoint["metadata"]))  # tuples have become lists
    assert again["schema_version"] == 1
    assert again["unetr_state_dict"].keys() == state.keys()
    assert all(torch.equal(again["unetr_state_dict"][name], state[name]) for name in state)
    unetr = ours()
    load_encoder(again, unetr)
    assert torch.equal(unetr.vit.norm.weight, state["vit.norm.weight"])
    with pytest.raises(ValueError, match="a UNETR and no autoencoder"):
        load_mae(again)


def test_the_header_is_strings_that_other_tools_can_read(checkpoint, tmp_path):
    save_safetensors(tmp_path / "mae.safetensors", checkpoint)
    with safe_open(tmp_path / "mae.safetensors", framework="pt") as file:
        header = file.metadata()
    assert header.keys() == {"format", "schema_version", "metadata"}
    assert json.loads(header["metadata"])["hidden_size"] == 24


def test_a_torn_or_foreign_safetensors_file_is_refused(checkpoint, tmp_path):
    path = tmp_path / "mae.safetensors"
    save_safetensors(path, checkpoint)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is torn, or not a safetensors file"):
        load_safetensors(path)
    save_file({"weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="has no schema_version"):
        load_safetensors(path)
    save_file({"weight": torch.zeros(1)}, path, {"schema_version": "2", "metadata": "{}"})
    with pytest.raises(ValueError, match="has schema 2, this version reads up to 1"):
        load_safetensors(path)


def test_without_the_package_the_way_out_is_told(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ValueError, match="pip install safetensors"):
        save_safetensors(tmp_path / "mae.safetensors", checkpoint)

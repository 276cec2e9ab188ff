import pytest
import torch

from mixio.errors import InvalidArgument
from models.vit import ViTConfig
from tests.labelled_volumes import ENCODER, write_checkpoint
from tools.finetune_options import FinetuneOptions
from tools.starts import Origin, origins_of

OPTIONS = FinetuneOptions()


def origins(*words, compare=False, head=False):
    return origins_of([str(word) for word in words], OPTIONS, compare=compare, head=head)


def test_without_a_checkpoint_runs_begin_from_scratch():
    found = origins()
    assert found.named == {"scratch": Origin()}
    start, identity = found.start("scratch", 0)
    assert (start.checkpoint, identity, start.encoder.hidden_size) == (None, None, 192)


def test_a_path_is_called_pretrained_and_scratch_has_its_shape(tmp_path):
    path = tmp_path / "a=b.pt"
    write_checkpoint(path)
    found = origins(path, compare=True)
    assert list(found.named) == ["scratch", "pretrained"]
    assert found.start("scratch", 0)[0].encoder == found.start("pretrained", 0)[0].encoder == ENCODER


def test_every_seed_has_its_checkpoint_where_the_path_says_so(tmp_path):
    for seed in (0, 1):
        torch.manual_seed(seed)
        write_checkpoint(tmp_path / f"m{seed}.pt")
    found = origins(f"first={tmp_path}/m{{seed}}.pt", f"second={tmp_path}/m0.pt")
    assert list(found.named) == ["first", "second"]
    identities = {(name, seed): found.start(name, seed)[1] for name in found.named for seed in (0, 1)}
    assert identities["first", 0] == identities["second", 0] == identities["second", 1] != identities["first", 1]
    assert len(list(found.starts([0, 1]))) == 3  # the second name's file is that of both seeds


@pytest.mark.parametrize(
    ("words", "flags", "message"),
    [
        ((), {"compare": True}, "--compare needs a --checkpoint"),
        ((), {"head": True}, "--head needs a --checkpoint"),
        (("a.pt", "b.pt"), {}, "two starts are called pretrained; name each checkpoint"),
        (("scratch=a.pt",), {}, "scratch is the start without a checkpoint; choose another name"),
        (("=a.pt",), {}, "--checkpoint =a.pt: it must be a path, or a name and a path"),
        (("a=",), {}, "it must be a path, or a name and a path"),
    ],
)
def test_starts_that_cannot_be_told_apart_are_refused(words, flags, message):
    with pytest.raises(InvalidArgument, match=message):
        origins(*words, **flags)


def test_the_encoder_of_learned_positions_is_taken_as_such(tmp_path):
    encoder = ViTConfig(32, 16, 12, 2, 2, 24, learned_positions=True)
    write_checkpoint(tmp_path / "mae.pt", encoder)
    assert origins(tmp_path / "mae.pt").start("pretrained", 0)[0].encoder == encoder

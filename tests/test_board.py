import sys

import pytest
from click.testing import CliRunner

from mixio.errors import MissingExtraError
from mixio.mixture import Mixture
from tests.test_train import FLAGS
from tools.board import Board
from tools.runlog import read_events
from tools.train import main

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of tensorboard's own parts


def curves(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: {one.step: one.value for one in events.Scalars(tag)} for tag in events.Tags()["scalars"]}


def test_tensorboard_reads_the_figures_of_the_log(small_store, tmp_path):
    words = [small_store.path, "--mixture", "uniform", "--run", "mine", "--runs", str(tmp_path), *FLAGS]
    done = CliRunner().invoke(main, [*words, "--tensorboard", str(tmp_path / "boards")])
    assert done.exit_code == 0, done.output
    shown, events = curves(tmp_path / "boards" / "mine"), read_events(tmp_path / "mine.jsonl")
    assert shown["loss"] == pytest.approx({event["draw"]: event["loss"] for event in events[1:-1]})
    assert shown["held-out loss/pet"] == {64: pytest.approx(events[-1]["loss"]["pet"])}
    counts = Mixture(dict.fromkeys(small_store.domains, 1 / 3)).counts(32)
    assert shown["share/pet"][32] == pytest.approx(counts["pet"] / 32)
    assert shown["planned share/pet"][32] == pytest.approx(1 / 3)


def test_what_a_stopped_run_wrote_too_much_is_not_shown_once_it_goes_on(tmp_path):
    event = {"draw": 64, "seconds": 2.0, "waiting": 1.0, "loss": 5.0, "lr": 1.0}
    for start, loss in ((0, 5.0), (32, 3.0)):
        board = Board(tmp_path, start=start)
        for draw in range(start + 16, 65, 16):
            board.told({**event, "draw": draw, "loss": loss}, {"domains": {}})
        board.close()
    assert curves(tmp_path)["loss"] == {16: 5.0, 32: 5.0, 48: 3.0, 64: 3.0}


def test_without_tensorboard_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"tensorboard is not installed; run: pip install 'mixio\[train\]'"):
        Board(tmp_path)

import json

import pytest
from click.testing import CliRunner

from tests.test_train import FLAGS, SHARES, SHORT
from tools.outputs import Outputs, Wanted
from tools.preemption import Stopped
from tools.resume import Job, saved_for
from tools.train import config_event, main, train


def test_a_run_that_goes_on_draws_the_pictures_that_are_left(small_store, tmp_path):
    wanted, path = Wanted(tmp_path / "mine.jsonl", pictures=2, quiet=True), tmp_path / "mine.pt"
    with Outputs(wanted, 64, None) as outputs:
        job = Job(path, stop=lambda: True, watch=outputs.watch)
        with pytest.raises(Stopped):
            train(small_store, SHARES, SHORT, emit=outputs.emit, record=outputs.record, job=job)
    assert not list(tmp_path.glob("*.png"))
    saved = saved_for(path, config_event(small_store, SHARES, SHORT))
    with Outputs(wanted, 64, saved) as outputs:
        job = Job(path, saved=saved, watch=outputs.watch)
        train(small_store, SHARES, SHORT, emit=outputs.emit, record=outputs.record, job=job)
    assert {each.name for each in tmp_path.glob("*.png")} == {"mine.draw-32.png", "mine.draw-64.png"}


def test_json_is_one_object_that_names_all_files(small_store, tmp_path):
    words = [small_store.path, "--mixture", "uniform", "--run", "mine", "--runs", str(tmp_path), *FLAGS, "--json"]
    done = CliRunner().invoke(main, words)
    summary = json.loads(done.stdout)
    assert [summary[name] for name in ("log", "ledger", "checkpoint")] == [
        str(tmp_path / name) for name in ("mine.jsonl", "mine.ledger.jsonl", "mine.pt")
    ]
    assert summary["mixture"]["draws"] == 64
    assert 0 < summary["waiting"] < summary["seconds"]

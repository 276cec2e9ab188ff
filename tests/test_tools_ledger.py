"""The picture of a ledger, and the command that draws it."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from mixio.ledger import Ledger
from mixio.mixture import Mixture
from tools.ledger import band, deviations, figure_of, main, onward

MIXTURE = Mixture({"ct": 0.7, "mr": 0.2, "pet": 0.1})


@pytest.fixture
def path(tmp_path):
    ledger = Ledger(MIXTURE, {"ct": 10})
    for start in range(0, 400, 40):
        ledger.observe({"domain": [MIXTURE.locate(g)[0] for g in range(start, start + 40)]})
        ledger.write(tmp_path / "run.ledger.jsonl")
    return tmp_path / "run.ledger.jsonl"


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_are_the_counts_less_what_is_intended_and_stay_in_the_band(path):
    lines = lines_of(path)
    off, allowed = deviations(lines), band(lines)
    for domain, share in MIXTURE.shares.items():
        expected = [100 * (MIXTURE.counts(n)[domain] / n - share) for n in range(40, 401, 40)]
        assert off[domain] == pytest.approx(expected)
        assert (np.abs(off[domain]) <= allowed).all()
    assert allowed[-1] == pytest.approx(100 * (1 + 64 * 0.7 * 0.3) / 400)
    assert sorted(off.values(), key=lambda each: -abs(each[-1])) == [*off.values()]


def test_lines_after_a_checkpoint_that_was_gone_back_to_are_left_out():
    lines = [{"draws": n} for n in (0, 10, 20, 30, 20, 25)]
    assert [line["draws"] for line in onward(lines)] == [10, 20, 25]


def test_a_domain_that_comes_later_was_nothing_before(path):
    lines = lines_of(path)
    lines[-1]["domains"]["stray"] = {**lines[-1]["domains"]["ct"], "share": 0.5, "intended": 0.0}
    assert deviations(lines)["stray"].tolist() == [0.0] * 9 + [50.0]
    assert len(figure_of(lines).axes[0].lines) == 5  # zero and four domains


def test_of_many_domains_those_off_the_most_are_named(path):
    lines = lines_of(path)
    for number in range(9):
        of = {**lines[-1]["domains"]["ct"], "share": 0.1 * (1 + number), "intended": 0.0}
        lines[-1]["domains"][f"stray-{number}"] = of
    [legend] = figure_of(lines).legends
    named = [f"stray-{number}" for number in range(1, 9)]
    assert [text.get_text() for text in legend.get_texts()] == ["guaranteed", "other domains", *named]


def test_the_command_draws_a_picture_and_prints_the_last_line(path, tmp_path):
    done = CliRunner().invoke(main, [str(path), "-o", str(tmp_path / "ledger.png")])
    assert (done.exit_code, done.stderr) == (0, "")
    assert "volumes seen" in done.stdout
    assert "400 draws, 0.0% padding, 0 damaged volumes" in done.stdout
    with Image.open(tmp_path / "ledger.png") as picture:
        assert picture.size == (1200, 675)
    as_json = CliRunner().invoke(main, [str(path), "-o", str(tmp_path / "ledger.png"), "--json"])
    assert json.loads(as_json.stdout) == {**lines_of(path)[-1], "figure": str(tmp_path / "ledger.png")}


def test_what_is_no_ledger_is_one_line_and_exit_2(tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    empty = CliRunner().invoke(main, [str(tmp_path / "empty.jsonl")])
    assert (empty.exit_code, empty.stderr.count("\n")) == (2, 1)
    assert "has no draws yet" in empty.stderr
    (tmp_path / "run.jsonl").write_text('{"event": "config", "schema_version": 1}\n')
    other = CliRunner().invoke(main, [str(tmp_path / "run.jsonl")])
    assert (other.exit_code, other.stderr.count("\n")) == (2, 1)
    assert "is it a ledger.jsonl?" in other.stderr

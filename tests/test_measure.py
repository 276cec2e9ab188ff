"""The contest: turns in real processes, paired ratios, and who was left out is said."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from benchmarks.chart import draw
from benchmarks.command import known_names
from benchmarks.measure import Entry, ask, contest, ours, ratio, table
from benchmarks.run import Task
from benchmarks.usage import cpu_seconds, memory, tree


def entry(name: str, *rates: float, aligned: bool = False) -> Entry:
    turns = [{"rate": rate, "cpu": 1 / rate, "pss": 2e8, "own": 1e8, "extra": 1e8} for rate in rates]
    return Entry(name, aligned=aligned, disk_bytes=50, turns=turns)


def test_a_ratio_is_taken_within_rounds() -> None:
    assert ratio(entry("mixio", 100, 30, 90), entry("zarrs", 50, 10, 30)) == 3


def test_aligned_contestants_are_compared_with_ours_aligned() -> None:
    entries = [entry("mixio", 10), entry("mixio aligned", 40, aligned=True), entry("zarrs", 5)]
    assert ours(entries) is entries[0]
    assert ours(entries, aligned=True) is entries[1]


def test_the_table_says_what_share_of_the_in_memory_crop_is_reached() -> None:
    lines = table([entry("zarrs", 6, 7), entry("in-memory crop", 20, 28)], nifti_bytes=100).splitlines()
    assert lines[1].split()[:5] == ["in-memory", "crop", "24.0", "22.0-26.0", "-"]
    assert lines[2].split()[:5] == ["zarrs", "6.5", "6.2-6.8", "-", "0.28"]


def test_the_table_ranks_and_says_who_was_left_out() -> None:
    out = Entry("litdata", left_out="litdata is not installed")
    lines = table([entry("zarrs", 5, 7), out, entry("mixio", 20, 21)], nifti_bytes=100).splitlines()
    assert lines[1].split() == ["mixio", "20.5", "20.2-20.8", "1.00x", "-", "48.81", "0.50x", "200", "100"]
    assert lines[2].split()[:4] == ["zarrs", "6.0", "5.5-6.5", "3.50x"]
    assert lines[3] == "left out: litdata: litdata is not installed"


@pytest.mark.slow
def test_a_contest_runs_turns_in_processes_of_their_own(tmp_path: Path) -> None:
    task = Task("read", "", str(tmp_path), volumes=2, shape=(40, 36, 30), size=(16, 16, 16), seconds=0.1)
    entries = contest(task, 1, ["mixio", "in-memory crop"])
    assert [len(one.turns) for one in entries] == [1, 1]
    assert all(one.median("rate") > 0 and one.median("pss") >= one.median("own") > 0 for one in entries)
    assert ask("turn", Task("read", "nobody", str(tmp_path), 2, (40, 36, 30), (16, 16, 16)))["left_out"]


def test_what_a_child_uses_counts_for_its_parent(tmp_path: Path) -> None:
    code = (
        "import time; held = bytearray(2**27); held[:] = b'x' * 2**27; print(time.process_time(), flush=True); input()"
    )
    shell = ["sh", "-c", f'"{sys.executable}" -c "{code}"; true']
    with subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        spent = float(parent.stdout.readline())
        assert len(tree(parent.pid)) == 2
        assert memory(parent.pid).own >= 2**27
        assert cpu_seconds(parent.pid) >= spent - 0.02
        parent.communicate("\n")


def test_a_chart_is_a_picture(tmp_path: Path) -> None:
    draw([entry("mixio", 20, 21, 22), entry("zarrs", 5, 7, 6), Entry("x", left_out="so")], "a; b", tmp_path / "c.png")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_an_unknown_contestant_is_refused() -> None:
    assert known_names("read", "mixio, zarrs") == ["mixio", "zarrs"]
    with pytest.raises(click.BadParameter, match="no contestant 'zarss'; they are in-memory crop, "):
        known_names("read", "mixio,zarss")

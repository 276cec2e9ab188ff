import pytest

from tools.progress import START, TrainingProgress, figures_line, shares_line

LAST = {"draw": 100, "seconds": 10.0, "waiting": 1.0}
EVENT = {"event": "step", "draw": 200, "seconds": 15.0, "waiting": 3.0, "loss": 0.0123456, "lr": 1.5e-3}
SUMMARY = {"domains": {"abdomen-ct": {"share": 0.25, "intended": 0.3}, "pet": {"share": 0.75, "intended": 0.7}}}


def test_speed_and_waiting_are_those_since_the_last_line_and_the_time_left_is_at_the_speed_so_far():
    # 100 draws in 5 s, 2 of them waiting; 200 in 15 s so far, so the other 800 take 60
    line = figures_line(EVENT, LAST, START, 1000)
    assert line == "loss 0.01235  lr 1.50e-03  20 patches/s  waiting 40 %  1:00 left"


def test_a_run_that_goes_on_counts_from_there():
    assert figures_line(EVENT, LAST, LAST, 100_200).endswith("20 patches/s  waiting 40 %  1:23:20 left")


def test_what_was_delivered_stands_beside_the_plan():
    assert shares_line(SUMMARY) == "abdomen-ct 25.0 of 30.0 %  pet 75.0 of 70.0 %"


def test_elsewhere_than_on_a_terminal_there_is_a_line_an_event(capsys):
    with TrainingProgress(1000) as progress:
        progress.step(200)
        progress.told(EVENT, SUMMARY)
    assert capsys.readouterr().out.startswith("draw  200/1000  loss 0.01235  lr 1.50e-03  13 patches/s")


def test_quiet_is_silent(capsys):
    with TrainingProgress(1000, quiet=True) as progress:
        progress.told(EVENT, SUMMARY)
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_a_bar_shows_the_same(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "140")
    with TrainingProgress(1000) as progress:
        progress.told(EVENT, SUMMARY)
        progress.step(208)
    out = capsys.readouterr().out
    for words in ("208/1000", "loss 0.01235", "1:00 left", "abdomen-ct 25.0 of 30.0 %"):
        assert words in out


@pytest.mark.parametrize(("seconds", "clock"), [(0.4, "0:00"), (61, "1:01"), (3600, "1:00:00")])
def test_the_time_left_is_a_clock(seconds, clock):
    event = {**EVENT, "draw": 1, "seconds": seconds, "waiting": 0.0}
    assert figures_line(event, START, START, 2).endswith(f"{clock} left")

"""What the commands say where there is no terminal."""

import pytest

from mixio.terminal import Reporter


def test_without_a_terminal_the_end_is_a_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter("converting") as reporter:
        for done in range(1, 4):
            reporter.update(done, 3, faults=done // 3)
    assert capsys.readouterr().err == "converting: 3 of 3, 1 faults, 0 s\n"


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter("converting", quiet=True) as reporter:
        reporter.update(3, 3)
    assert capsys.readouterr().err == ""

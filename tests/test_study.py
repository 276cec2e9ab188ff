import re
from dataclasses import replace

import pytest
from click.testing import CliRunner

from benchmarks.study import alike, correlation, main, strategies_table
from tests.test_report import inputs  # noqa: F401, a fixture
from tools.evidence import Strategy, Trial, gains


def strategy(name, *seeds):
    return Strategy(name, {"a": 1.0}, {"a": 1.0, "b": 1.0}, [dict(zip("ab", losses, strict=True)) for losses in seeds])


BASE = strategy("proportional", (1.0, 10.0), (1.0, 8.0))
OTHER = strategy("other", (0.5, 10.0), (1.0, 4.0))


def test_a_gain_counts_losses_and_alike_counts_domains():
    assert gains(OTHER, BASE).tolist() == pytest.approx([0.5 / 11, 4 / 9])
    assert alike(OTHER, BASE).tolist() == pytest.approx([0.25, 0.25])


def test_the_table_has_the_last_strategy_against_each(capsys):
    rows = strategies_table(Trial(10, [BASE, replace(BASE, name="same"), OTHER])).splitlines()
    assert re.split(r"  +", rows[-1].strip()) == ["other", "-", "25.0 (25.0 to 25.0)"]
    assert rows[-2].split()[1] == rows[-3].split()[1] == "24.5"


def test_losses_that_a_power_joins_correlate_wholly():
    assert correlation([1, 2, 4], [3, 12, 48]) == pytest.approx(1)
    assert correlation([1, 2, 4], [4, 2, 1]) == pytest.approx(-1)


def test_the_command_judges_laws_that_fit_exactly(inputs):  # noqa: F811
    files = [str(inputs / name) for name in ("runs", "laws.json", "allocation.json", "strategies.json")]
    outcome = CliRunner().invoke(main, files)
    assert outcome.exit_code == 0, outcome.output
    lines = outcome.stdout.splitlines()
    whole = next(line for line in lines if line.startswith("mean loss"))
    assert float(whole.split()[2]) == pytest.approx(1, abs=1e-3)
    assert any(line.startswith("transfer law") for line in lines)

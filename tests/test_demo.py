"""The demo, small: every stage's real work, taken up again after a kill, and its refusals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tools.demo import main
from tools.runlog import read_events

SMALL = "--scale 0.25 --budgets 16,32 --mixtures 4 --budget 48 --seeds 2 --jobs 1".split()


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def complete(out: Path) -> dict[str, bytes]:
    logs = sorted((out / "runs").glob("*.jsonl"))
    return {log.name: log.read_bytes() for log in logs if read_events(log)[-1]["event"] == "result"}


@pytest.mark.slow
def test_a_killed_demo_goes_on_and_ends_with_table_and_report(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.demo", str(out), *SMALL], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and len(list((out / "runs").glob("*.jsonl"))) < 4:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = complete(out)
    result = run(out, *SMALL)
    assert result.exit_code == 0, result.output
    assert 0 < len(before) < 16
    assert before.items() <= complete(out).items()
    assert len(complete(out)) == 16
    assert [line for line in result.stdout.splitlines() if line.startswith("[")][-1] == "[7/7] report"
    assert f"wrote {out / 'report' / 'index.html'}" in result.stdout
    trial = json.loads((out / "trial" / "strategies.json").read_text())
    assert [(s["name"], len(s["measured"])) for s in trial["strategies"]] == [
        ("proportional", 2),
        ("uniform", 2),
        ("transfer-aware", 2),
    ]
    assert all(abs(sum(s["shares"].values()) - 1) < 1e-6 for s in trial["strategies"])
    assert "<img" in (out / "report" / "index.html").read_text()


def test_a_folder_of_another_demo_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text('{"schema_version": 1, "seed": 7}')
    result = run(tmp_path, *SMALL)
    assert result.exit_code == 2
    assert "holds a demo with another budget, budgets, mixtures" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--budget", "1024"], "--budget 1024 must be above the largest of --budgets 4096"),
        (["--seed", "-1"], "--seed must not be negative and --scale lie between 0.1 and 2, got -1 and 1"),
        (["--budgets", "many"], "--budgets must be whole numbers like 256,512,1024, got 'many'"),
        (["--sources", "gone.csv"], "gone.csv: no such file or folder; give what `mixio convert` takes"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(tmp_path: Path, words: list[str], message: str) -> None:
    result = run(tmp_path / "demo", *words)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert message in result.stderr
    assert not (tmp_path / "demo").exists()

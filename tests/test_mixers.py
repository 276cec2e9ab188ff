"""Every contestant that is installed here delivers samples of its domains in their shares; those that are not say so.

They run in a process of their own: some leave threads, and shared memory, behind.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.mixers.contract import PLACES, Run, global_batches
from benchmarks.mixers.ours import job
from benchmarks.mixers.roster import MIXERS
from benchmarks.mixers.trial import Question, answer

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS, STEPS = (0.5, 0.3, 0.2), 100
CODE = """
import json, os, sys
from benchmarks.mixers.contract import Run, delivered
from benchmarks.mixers.roster import MIXERS

folder, weights, steps = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
told = {}
for who in MIXERS:
    run = Run(folder, tuple(weights), draws=steps * 16, ranks=2, batch=8, volumes=900, variant=who.variant)
    try:
        told[who.name] = delivered(who.file.job(run), steps).tolist()
    except ModuleNotFoundError as error:
        told[who.name] = error.name
print("\\n" + json.dumps(told), flush=True)
os._exit(0)
"""
REAL = """
import os, sys
from benchmarks.mixers.contract import Run, delivered
from benchmarks.mixers.mosaic_streams import job, reopened

run = Run(sys.argv[1], (0.5, 0.3, 0.2), batch=10, volumes=900, variant=sys.argv[2])
(arranged,) = job(run)
expected = delivered([arranged], 40)
state = arranged.state()
later = delivered([arranged], 20)
same = (delivered([reopened(run, None)], 40) == expected).all(), (delivered([reopened(run, state)], 20) == later).all()
print(*same, flush=True)
os._exit(0)
"""


def in_a_process(code: str, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-c", code, *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return json.loads(in_a_process(CODE, str(tmp_path_factory.mktemp("mixers")), json.dumps(WEIGHTS), str(STEPS)))


@pytest.mark.slow
@pytest.mark.parametrize("name", [who.name for who in MIXERS])
def test_a_contestant_delivers_samples_of_its_domains_in_their_shares(name: str, told: dict[str, Any]) -> None:
    if isinstance(told[name], str):
        pytest.skip(f"{told[name]} is not installed")
    samples = np.array(told[name])
    assert samples.shape == (2, STEPS, 8)
    assert (samples % PLACES < 4_000).all()
    shares = np.bincount((samples // PLACES).ravel(), minlength=3) / samples.size
    assert shares == pytest.approx(WEIGHTS, abs=0.1)
    assert len(np.unique(samples)) > 300


@pytest.mark.slow
@pytest.mark.parametrize("method", ["random", "stratified"])
def test_what_mosaic_arranges_is_what_its_loader_delivers(method: str, tmp_path: Path) -> None:
    if find_spec("streaming") is None:
        pytest.skip("mosaicml-streaming is not installed")
    assert in_a_process(REAL, str(tmp_path), method) == "True True"


def test_ours_goes_on_with_other_ranks_and_batches_in_the_same_global_batches() -> None:
    run = Run("", WEIGHTS, draws=64, ranks=2, batch=4, volumes=90, variant="64")
    first, second = job(run)
    whole = [[*next(first), *next(second)] for _ in range(8)]
    states = [stream.state() for stream in job(run)]
    other = job(Run("", WEIGHTS, draws=64, ranks=1, batch=8, volumes=90, variant="64"), states)
    assert [sorted(batch) for batch in whole] == [sorted(next(other[0])) for _ in range(8)]


def test_global_batches_hold_what_all_ranks_get_at_a_step() -> None:
    samples = np.arange(12).reshape(2, 3, 2)
    assert global_batches(samples).tolist() == [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]]


def test_who_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grain", None)
    sys.modules.pop("benchmarks.mixers.grain_mix", None)
    assert "left_out" in answer(Question("Grain mix", "gap", "", draws=64))

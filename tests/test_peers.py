"""Every contestant that is installed here returns the right voxels of a small corpus; those that are not say so.

They run in one process of their own, without workers: tensorstore, once it has read, does not survive a fork.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.corpus import Corpus, box
from benchmarks.locate import Locator
from benchmarks.peers.crops import normalise
from benchmarks.peers.roster import BENCHES

ROOT = Path(__file__).resolve().parents[1]
NAMES = [(bench, one.name) for bench, contestants in BENCHES.items() for one in contestants]
MAY_BE_LEFT_OUT = ("blosc2", "LitData", "MDS", "TorchIO", "zarrs")
CODE = """
import json, os, sys
from dataclasses import replace
from benchmarks.run import Task, answer

names, root = json.loads(sys.argv[1]), sys.argv[2]
task = Task("", "", root, volumes=2, shape=(60, 56, 52), size=(32, 32, 32), workers=0)
answers = [answer("trial", replace(task, bench=bench, name=name)) for bench, name in names]
print(json.dumps(answers), flush=True)
os._exit(0)
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return Corpus(tmp_path_factory.mktemp("corpus"), volumes=2, shape=(60, 56, 52), size=(32, 32, 32))


@pytest.fixture(scope="module")
def answers(corpus: Corpus) -> dict[tuple[str, str], dict[str, Any]]:
    command = [sys.executable, "-c", CODE, json.dumps(NAMES), str(corpus.root)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(NAMES, json.loads(done.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize(("bench", "name"), NAMES)
def test_a_contestant_returns_the_voxels_of_the_volumes(
    bench: str, name: str, answers: dict[tuple[str, str], dict[str, Any]]
) -> None:
    answer = answers[bench, name]
    if "left_out" in answer:
        assert name.startswith((*MAY_BE_LEFT_OUT,)), answer
        pytest.skip(f"{name}: {answer['left_out']}")
    assert answer["checked"] == 12
    assert answer["distinct"] > (1 if "aligned" in name else 6)
    assert answer["disk_bytes"] > 100_000


def test_a_patch_is_found_by_its_voxels_alone(corpus: Corpus) -> None:
    image = np.empty(corpus.size, np.float32)
    normalise(corpus.arrays()[1][box((7, 21, 3), corpus.size)], image)
    assert Locator(corpus).find(image) == (1, (7, 21, 3))


@pytest.mark.parametrize("voxel", [(0, 0, 0), (31, 31, 31), (16, 3, 9)])
def test_a_patch_with_one_wrong_voxel_is_found_nowhere(corpus: Corpus, voxel: tuple[int, int, int]) -> None:
    image = np.empty(corpus.size, np.float32)
    normalise(corpus.arrays()[1][box((7, 21, 3), corpus.size)], image)
    image[voxel] = abs(image[voxel] - 0.002)
    assert Locator(corpus).find(image) is None


def test_corners_are_spread_over_all_places_and_are_multiples_of_the_step(corpus: Corpus) -> None:
    requests = [corpus.request(number, step=(4, 4, 4)) for number in range(600)]
    corners = np.array([corner for _, corner in requests])
    assert (corners % 4 == 0).all()
    assert corners.min(axis=0).tolist() == [0, 0, 0]
    assert corners.max(axis=0).tolist() == [28, 24, 20]
    assert {volume for volume, _ in requests} == {0, 1}

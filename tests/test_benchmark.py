"""The storage benchmark: rates that fit its own clock, a verdict, refusals."""

import json

from click.testing import CliRunner, Result

from mixio.dataset import MixtureDataset
from mixio.mixture import Mixture
from mixio.store import Store
from tools.benchmark import main, measure


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_megabytes_are_those_of_float32_patches(small_store: Store) -> None:
    dataset = MixtureDataset(small_store, Mixture({"pet": 1.0}), patch_size=8)
    rate = measure(dataset, workers=0, batch_size=2, seconds=0.2)
    assert rate.patches > 0
    assert abs(rate.megabytes / rate.patches - 8**3 * 4 / 1e6) < 1e-9


def test_json_has_a_row_for_each_number_of_workers(small_store: Store) -> None:
    result = run(small_store.path, "--patch-size", 8, "--workers", "0,1", "--seconds", 0.2, "--json")
    assert [rate["workers"] for rate in json.loads(result.stdout)["rates"]] == [0, 1]


def test_the_verdict_compares_with_what_the_model_needs(small_store: Store) -> None:
    words = [small_store.path, "--patch-size", 8, "--workers", 0, "--seconds", 0.2]
    assert "this feeds the GPU" in run(*words, "--need", 0.001).stdout
    assert "this starves the GPU" in run(*words, "--need", 1e9).stdout


def test_wrong_use_is_one_line_and_exit_2(small_store: Store) -> None:
    for words, message in [
        ((small_store.path, "--workers", "two"), "--workers must be whole numbers like 0,2,4, got 'two'"),
        ((small_store.path, "--patch-size", 0), "patch_size must be one or three numbers of voxels, at least 1, got 0"),
        ((small_store.path, "--mixture", "liver=1"), "'liver' has share 1"),
        ((small_store.path + "-gone",), "no such store"),
    ]:
        result = run(*words)
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert message in result.stderr

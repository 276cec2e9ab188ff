"""The command line: what it prints, its exit codes, and no traceback for what a user can cause."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mixio.cli import main
from mixio.store import Store
from tests.conftest import write_sources


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_convert_inspect_and_verify_say_what_they_did_and_what_is_next(sources: Path, tmp_path: Path) -> None:
    result = run("convert", sources, tmp_path / "store", "--jobs", 1)
    assert result.exit_code == 0
    assert "13 volumes converted" in result.stdout
    assert f"next: mixio inspect {tmp_path / 'store'}" in result.stdout
    assert "abdomen-ct" in run("inspect", tmp_path / "store").stdout
    assert "13 volumes checked, 0 faults found" in run("verify", tmp_path / "store").stdout


def test_json_is_one_object_and_nothing_else(sources: Path, tmp_path: Path) -> None:
    summary = json.loads(run("convert", sources, tmp_path / "store", "--jobs", 1, "--json").stdout)
    assert (summary["converted"], summary["found"], summary["faults"]) == (13, 0, [])
    domains = json.loads(run("inspect", tmp_path / "store", "--json").stdout)["domains"]
    assert [row["volumes"] for row in domains] == [6, 4, 3]
    assert json.loads(run("verify", tmp_path / "store", "--json").stdout)["damage"] == []


def test_a_quarantined_source_is_listed_and_the_exit_code_is_1(tmp_path: Path) -> None:
    table = write_sources(tmp_path)
    (tmp_path / "pet" / "0.nii.gz").write_bytes(b"junk")
    result = run("convert", table, tmp_path / "store", "--jobs", 1)
    assert result.exit_code == 1
    assert "quarantined" in result.stderr
    assert "0.nii.gz: gzip stream is damaged" in result.stderr
    assert "quarantine.jsonl" in result.stdout


def test_damage_is_listed_and_the_exit_code_is_1(sources: Path, tmp_path: Path) -> None:
    run("convert", sources, tmp_path / "store", "--jobs", 1)
    shard = next((tmp_path / "store" / "pet").glob("*/0/c/0/0/0"))
    shard.write_bytes(b"")
    result = run("verify", tmp_path / "store")
    assert result.exit_code == 1
    assert "holds 0 bytes" in result.stderr


def test_settings_not_given_are_those_of_the_store(sources: Path, tmp_path: Path) -> None:
    run("convert", sources, tmp_path / "store", "--jobs", 1, "--chunk", 16, "--val-fraction", 0.3)
    assert "0 volumes converted" in run("convert", sources, tmp_path / "store", "--jobs", 1, "--chunk", 16).stdout
    result = run("convert", sources, tmp_path / "store", "--chunk", 32)
    assert result.exit_code == 2
    assert "was made with another chunk;" in result.stderr


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_a_missing_store_is_one_line_and_exit_2(command: str, tmp_path: Path) -> None:
    result = run(command, tmp_path / "gone")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "no such store; make one with `mixio convert" in result.stderr


def test_missing_sources_are_one_line_and_exit_2(tmp_path: Path, small_store: Store) -> None:
    result = run("convert", tmp_path / "gone.csv", tmp_path / "store")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "gone.csv: no such file or folder" in result.stderr


def test_a_place_that_cannot_be_written_is_one_line_and_exit_2(sources: Path) -> None:
    result = run("convert", sources, "/proc/store", "--jobs", 1)
    assert (result.exit_code, result.stderr) == (
        2,
        "error: /proc/store/.mixio/lock: No such file or directory; check the disk's space and the permissions\n",
    )


def test_inspect_writes_a_page_and_says_where(small_store: Store, tmp_path: Path) -> None:
    result = run("inspect", small_store.path, "--html", tmp_path / "page.html", "--volumes", 1)
    assert result.exit_code == 0
    assert f"wrote {tmp_path / 'page.html'}" in result.stdout
    assert (tmp_path / "page.html").read_text().count("<figure") == 3


def test_inspect_as_json_says_all_of_it(small_store: Store, tmp_path: Path) -> None:
    result = run("inspect", small_store.path, "--json", "--html", tmp_path / "page.html")
    told = json.loads(result.stdout)
    assert (told["page"], told["unreadable"], told["quarantine"]["count"]) == (str(tmp_path / "page.html"), [], 0)
    assert told["settings"]["chunk"] == 16
    assert sum(told["domains"][0]["shape"]["counts"][0]) == 6


def test_a_page_with_an_unreadable_volume_is_written_and_the_exit_code_is_1(sources: Path, tmp_path: Path) -> None:
    run("convert", sources, tmp_path / "store", "--jobs", 1)
    next((tmp_path / "store" / "pet").glob("*/0/c/0/0/0")).unlink()
    result = run("inspect", tmp_path / "store", "--html", tmp_path / "page.html")
    assert result.exit_code == 1
    assert "cannot be shown: " in result.stderr
    assert (tmp_path / "page.html").exists()


def test_a_page_that_cannot_be_written_is_one_line_and_exit_2(small_store: Store, tmp_path: Path) -> None:
    result = run("inspect", small_store.path, "--volumes", 0, "--html", tmp_path / "gone" / "page.html")
    assert result.exit_code == 2
    assert result.stderr.endswith(f"error: {tmp_path}/gone/page.html: No such file or directory\n")

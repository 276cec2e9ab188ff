"""The command `mixio recipe`, the tables it writes, and its refusals; helpers for the tests of the data sets."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from mixio.cli import main
from mixio.convert import convert
from mixio.errors import InvalidArgument
from mixio.recipes import RECIPES, table
from mixio.recipes.tables import write_table
from mixio.settings import Settings
from mixio.sources import read_sources
from mixio.store import open_store
from tests.conftest import write_nifti

AMOS = """\
imagesTr/amos_0001.nii.gz labelsTr/amos_0001.nii.gz imagesTr/amos_0500.nii.gz imagesTr/amos_0507.nii.gz
imagesVa/amos_0008.nii.gz labelsVa/amos_0008.nii.gz imagesTs/amos_0561.nii.gz""".split()


def tree(root: Path, *names: str) -> Path:
    """Files of those names: small real NIfTI files, texts that say nothing, and what macOS leaves beside them."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name.endswith((".nii", ".nii.gz")):
            write_nifti(path, np.arange(60, dtype=np.int16).reshape(3, 4, 5))
            path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7")
        else:
            path.write_text("")
    (root / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    return root


def listed(name: str, root: Path) -> str:
    """The table of a recipe as CSV with relative paths; `read_sources` accepts it."""
    rows = table(name, root)
    write_table(rows, root / "table.csv")
    assert len(read_sources(root / "table.csv")) == len(rows)
    return (root / "table.csv").read_text()


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_a_table_on_stdout_has_absolute_paths_and_stderr_says_what_is_next(tmp_path: Path) -> None:
    result = run("recipe", "amos22", tree(tmp_path, *AMOS))
    lines = list(csv.DictReader(io.StringIO(result.stdout)))
    assert result.exit_code == 0
    assert [Path(line["path"]).is_file() for line in lines] == [True] * 5
    assert [Path(line["label"]).is_file() for line in lines if line["label"]] == [True] * 2
    assert "5 volumes: abdomen-ct 3, abdomen-mri 2\n" in result.stderr
    assert result.stderr.endswith("next: mixio convert amos22.csv STORE\n")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_table_in_a_file_has_paths_relative_to_it(tmp_path: Path, suffix: str) -> None:
    tree(tmp_path / "data", *AMOS)
    (tmp_path / "tables").mkdir()
    output = tmp_path / "tables" / f"amos{suffix}"
    result = run("recipe", "amos22", tmp_path / "data", "-o", output)
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"wrote {output}; next: mixio convert {output} STORE\n" in result.stderr
    assert "../data/imagesTr/amos_0001.nii.gz" in output.read_text()
    sources = read_sources(output)
    assert all(path.is_file() for s in sources for path in (s.path, *s.labels.values()))
    assert [path.name for path in output.parent.iterdir()] == [output.name]


def test_both_kinds_of_table_say_the_same(tmp_path: Path) -> None:
    rows = table("amos22", tree(tmp_path / "data", *AMOS))
    for suffix in (".csv", ".jsonl"):
        write_table(rows, tmp_path / f"t{suffix}")
    assert read_sources(tmp_path / "t.csv") == read_sources(tmp_path / "t.jsonl")
    assert json.loads((tmp_path / "t.jsonl").read_text().splitlines()[0])["split"] == "train"


def test_paths_are_absolute_wherever_the_recipe_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path / "data", *AMOS)
    monkeypatch.chdir(tmp_path)
    assert table("amos22", Path("data"))[0]["path"] == str(tmp_path.resolve() / "data/imagesTr/amos_0001.nii.gz")


def test_the_names_are_listed_with_a_line_each() -> None:
    result = run("recipe", "--list")
    assert [line.split()[0] for line in result.stdout.splitlines()] == list(RECIPES)
    assert "amos22        AMOS 2022: abdominal CT and MRI" in result.stdout
    assert result.stdout.strip() in run("recipe", "-h").stdout.replace("\n  ", "\n")


def test_what_is_left_out_is_counted_and_where_to_read_why(tmp_path: Path) -> None:
    tree(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/func/sub-01_task-rest_bold.nii.gz", ".git/a.nii.gz")
    tree(tmp_path, "derivatives/prep/sub-01/sub-01_dseg.nii.gz", "sub-01/dwi/sub-01_dwi.nii.gz")
    result = run("recipe", "bids", tmp_path, "-o", tmp_path / "bids.csv")
    message = f"2 other volume files in {tmp_path} are left out, as python -m pydoc mixio.recipes.bids says\n"
    assert message in result.stderr
    assert "left out" not in run("recipe", "amos22", tree(tmp_path / "amos", *AMOS)).stderr


def test_an_unknown_name_is_refused_with_the_names(tmp_path: Path) -> None:
    result = run("recipe", "amos", tmp_path)
    assert result.exit_code == 2
    assert result.stderr == f"error: no recipe 'amos'; there are {', '.join(RECIPES)}\n"


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_folder_of_something_else_is_refused_with_what_was_expected_and_found(name: str, tmp_path: Path) -> None:
    tree(tmp_path, "scan.nii.gz", "patients/a/scan.nii.gz", "readme.txt")
    with pytest.raises(InvalidArgument, match=f"holds no volume of {name}; expected .*, found .*patients, readme.txt"):
        table(name, tmp_path)
    with pytest.raises(InvalidArgument, match=f"gone: no such folder; {name} expects"):
        table(name, tmp_path / "gone")


def test_a_table_of_another_format_is_refused(tmp_path: Path) -> None:
    result = run("recipe", "amos22", tree(tmp_path, *AMOS), "-o", tmp_path / "t.parquet")
    assert result.exit_code == 2
    assert "t.parquet: a table is written as .csv or .jsonl; name it so" in result.stderr
    assert not list(tmp_path.glob("t.parquet*"))


def test_what_conversion_must_be_told_is_said(tmp_path: Path) -> None:
    session = tmp_path / "disc1" / "OAS1_0001_MR1" / "PROCESSED" / "MPRAGE" / "T88_111"
    tree(tmp_path, str(session / "OAS1_0001_MR1_mpr_n4_anon_111_t88_gfc.hdr"))
    result = run("recipe", "oasis1", tmp_path)
    assert result.stderr.endswith("next: mixio convert oasis1.csv STORE --assume-affine\n")


def test_the_table_of_a_recipe_converts(tmp_path: Path) -> None:
    write_table(table("amos22", tree(tmp_path / "data", *AMOS)), tmp_path / "amos.csv")
    summary = convert(tmp_path / "amos.csv", tmp_path / "store", settings=Settings(keep_names=True), jobs=0)
    assert (summary.converted, summary.faults) == (5, [])
    store = open_store(tmp_path / "store")
    rows = [store.row(name) for domain in store.domains for name in store.names(domain)]
    assert sorted((row.subject, row.domain, row.split, row.unit, sorted(row.labels)) for row in rows) == [
        ("amos_0001", "abdomen-ct", "train", "HU", ["label"]),
        ("amos_0008", "abdomen-ct", "val", "HU", ["label"]),
        ("amos_0500", "abdomen-ct", "train", "HU", []),
        ("amos_0507", "abdomen-mri", "train", None, []),
        ("amos_0561", "abdomen-mri", "test", None, []),
    ]

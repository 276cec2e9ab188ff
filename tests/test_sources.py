"""Tables and folders of sources, and their refusals, each naming the row."""

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixio.convert import convert
from mixio.errors import InvalidArgument
from mixio.settings import Settings
from mixio.sources import Names, read_sources, slug
from mixio.store import open_store
from tests.conftest import write_nifti, write_sources

ROWS = [
    {"path": "a.nii", "domain": "brain-t1", "label:tumour": "a_seg.nii"},
    {"path": "b.nii", "domain": "pet", "subject": "s1", "split": "val", "unit": "SUV", "key": "b", "note": "x"},
]


def write_table(folder: Path, suffix: str) -> Path:
    path = folder / f"table{suffix}"
    if suffix == ".parquet":
        pq.write_table(
            pa.Table.from_pylist([{**dict.fromkeys(ROWS[1]), **dict.fromkeys(ROWS[0]), **r} for r in ROWS]), path
        )
    elif suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in ROWS) + "\n\n")
    else:
        path.write_text(
            "\ufeffpath,domain,subject,split,unit,key,note,label:tumour\n"
            "a.nii,brain-t1,,,,,,a_seg.nii\nb.nii,pet,s1,val,SUV,b,x,\n"
        )
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_every_kind_of_table_says_the_same(tmp_path: Path, suffix: str) -> None:
    first, second = read_sources(write_table(tmp_path, suffix))
    assert (first.path, first.subject, first.modality) == (tmp_path / "a.nii", "a", "MR")
    assert first.labels == {"tumour": tmp_path / "a_seg.nii"}
    assert (second.subject, second.split, second.unit, second.key, second.modality) == ("s1", "val", "SUV", "b", "PET")


def test_a_folder_has_a_domain_in_each_subfolder(tmp_path: Path) -> None:
    write_sources(tmp_path)
    (tmp_path / "sources.csv").unlink()
    found = read_sources(tmp_path)
    assert {s.domain for s in found} == {"abdomen-ct", "brain-t1", "pet", "labels"}
    assert found[0].name == "abdomen-ct/0.nii.gz"


def test_a_folder_with_volumes_elsewhere_is_refused_rather_than_guessed(tmp_path: Path) -> None:
    (tmp_path / "ct" / "labels").mkdir(parents=True)
    (tmp_path / "ct" / "labels" / "a.nii").touch()
    with pytest.raises(InvalidArgument, match=r"ct/labels/a\.nii is not at <domain>/<file> in"):
        read_sources(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.nii,Brain_T1,,", "row 1: domain 'Brain_T1' is not a lower-case slug; use 'brain-t1'"),
        (",pet,,", "row 1: no path"),
        ("a.nii,pet,MRI,", "row 1: modality 'MRI' is not one of CT, MR, PET"),
        ("a.nii,pet,,../x", r"row 1: '\.\./x' is not a valid key"),
        ("a.nii,pet,,\na.nii,pet,,", r"a\.nii is listed 2 times"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(f"path,domain,modality,key\n{line}\n")
    with pytest.raises(InvalidArgument, match=message):
        read_sources(tmp_path / "t.csv")


def test_missing_and_empty_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="gone: no such file or folder"):
        read_sources(tmp_path / "gone")
    with pytest.raises(InvalidArgument, match="holds no volumes"):
        read_sources(tmp_path)
    (tmp_path / "t.xlsx").touch()
    with pytest.raises(InvalidArgument, match=r"t\.xlsx: a table of sources is one of \.csv, \.jsonl, \.parquet"):
        read_sources(tmp_path / "t.xlsx")


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
def test_a_table_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\xff\xfe{path")
    with pytest.raises(InvalidArgument, match=f"{name}: not a readable table"):
        read_sources(tmp_path / name)


def test_a_folder_name_without_letters_is_refused(tmp_path: Path) -> None:
    (tmp_path / "腹部").mkdir()
    (tmp_path / "腹部" / "a.nii").touch()
    with pytest.raises(InvalidArgument, match="腹部: cannot be made a domain name"):
        read_sources(tmp_path)


def test_many_files_of_one_name_need_to_say_whose_they_are(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,domain\na/imaging.nii,ct\nb/imaging.nii,ct\n")
    with pytest.raises(InvalidArgument, match="volumes of ct in 2 folders are named 'imaging'; say whose they are"):
        read_sources(tmp_path / "t.csv")


def test_rows_that_contradict_themselves_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,domain,label,label:label\na.nii,ct,b.nii,c.nii\n")
    with pytest.raises(InvalidArgument, match="both columns label and label:label; keep one"):
        read_sources(tmp_path / "t.csv")
    (tmp_path / "t.jsonl").write_text("[1]\n")
    with pytest.raises(InvalidArgument, match=r"row 1: expected an object with path and domain, got \[1\]"):
        read_sources(tmp_path / "t.jsonl")


def test_items_of_one_file_are_sources_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,domain,item\na.nii.gz,brain-t1,0\na.nii.gz,brain-t1,1\nb.nii.gz,pet,\n")
    first, second, other = read_sources(tmp_path / "t.csv")
    assert [(s.name, s.item, s.subject) for s in (first, second, other)] == [
        ("a.nii.gz#0", "0", "a"),
        ("a.nii.gz#1", "1", "a"),
        ("b.nii.gz", None, "b"),
    ]
    assert first.path == second.path == tmp_path / "a.nii.gz"
    (tmp_path / "t.csv").write_text("path,domain,item\na.nii,ct,0\na.nii,ct,0\n")
    with pytest.raises(InvalidArgument, match="a.nii#0 is listed 2 times"):
        read_sources(tmp_path / "t.csv")


@pytest.mark.parametrize("text", ['"1.0,1.0,2.5"', "1.0x1.0x2.5", "1 x 1 x 2.5"])
def test_spacing_is_three_numbers(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(f"path,domain,spacing\na.npz,ct,{text}\nb.npz,ct,\n")
    assert [s.spacing for s in read_sources(tmp_path / "t.csv")] == [(1.0, 1.0, 2.5), None]


@pytest.mark.parametrize("text", ["1x1", "1x1x0", "1x1x-2", "1x1xnan", "1x1xinf", "wide", "1x1x1x1"])
def test_a_spacing_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(f"path,domain,spacing\na.npz,ct,{text}\n")
    with pytest.raises(InvalidArgument, match=f"row 1: spacing '{text}' is not three positive numbers in mm"):
        read_sources(tmp_path / "t.csv")


def test_spacing_may_be_a_list_in_json(tmp_path: Path) -> None:
    row = {"path": "a.npz", "domain": "ct", "item": 3, "spacing": [1, 1, 2.5]}
    (tmp_path / "t.jsonl").write_text(json.dumps(row))
    assert read_sources(tmp_path / "t.jsonl")[0].spacing == (1.0, 1.0, 2.5)
    assert read_sources(tmp_path / "t.jsonl")[0].item == "3"


def test_a_url_is_kept_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,domain\ns3://bucket/ct/case 1.nii.gz,ct\nhttps://h.org/b.nii?key=x/y,ct\n")
    first, second = read_sources(tmp_path / "t.csv")
    assert (first.url, first.path, first.subject) == ("s3://bucket/ct/case 1.nii.gz", Path("case 1.nii.gz"), "case 1")
    assert (second.url, second.path, second.subject) == ("https://h.org/b.nii?key=x/y", Path("b.nii"), "b")
    (tmp_path / "t.csv").write_text("path,domain,label\ns3://b/a.nii,ct,s3://b/seg.nii\n")
    with pytest.raises(InvalidArgument, match="row 1: label s3://b/seg.nii is a URL; a label map is read from a file"):
        read_sources(tmp_path / "t.csv")


def test_urls_of_one_name_need_to_say_whose_they_are(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,domain\ns3://b/1/imaging.nii,ct\ns3://b/2/imaging.nii,ct\n")
    with pytest.raises(InvalidArgument, match="volumes of ct in 2 folders are named 'imaging'"):
        read_sources(tmp_path / "t.csv")


def write_files(folder: Path, **contents: bytes) -> None:
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name.replace("__", ".")).write_bytes(content)


def test_a_subfolder_of_dicom_is_one_source(tmp_path: Path) -> None:
    write_files(tmp_path / "abdomen-ct" / "1.2.840.7", a__dcm=b"", b__DCM=b"", notes__txt=b"")
    write_files(tmp_path / "abdomen-ct" / "1.2.840.9", IM0001=bytes(128) + b"DICM", other=b"")
    write_files(tmp_path / "abdomen-ct" / "papers", notes__txt=b"", tiny=b"DICM")
    (tmp_path / "abdomen-ct" / "c.nii.gz").touch()
    found = read_sources(tmp_path)
    assert [(s.name, s.subject, s.path.is_dir()) for s in found] == [
        ("abdomen-ct/1.2.840.7", "1.2.840.7", True),
        ("abdomen-ct/1.2.840.9", "1.2.840.9", True),
        ("abdomen-ct/c.nii.gz", "c", False),
    ]


@pytest.mark.parametrize("place", [".", "ct", "ct/case/series"])
def test_dicom_elsewhere_is_refused_rather_than_passed_over(tmp_path: Path, place: str) -> None:
    write_files(tmp_path / "root" / place / "x", a__txt=b"")
    (tmp_path / "root" / place / "a.dcm").touch()
    with pytest.raises(InvalidArgument, match="nor a folder of DICOM at <domain>/<case>"):
        read_sources(tmp_path / "root")


def test_hashed_names_need_the_salt_to_be_recognised() -> None:
    ours, theirs = Names("secret", keep=False), Names("", keep=False)
    assert ours.key("doe_john.nii", "pet") != theirs.key("doe_john.nii", "pet")
    assert "doe" not in ours.key("doe_john.nii", "pet") + ours.subject("doe_john") + ours.source("doe_john.nii")


def test_kept_names_become_keys_without_the_folder_that_repeats_the_domain() -> None:
    names = Names("", keep=True)
    assert names.key("Brain_T1/sub-01/t1 w.nii.gz", "brain-t1") == "sub-01_t1_w"
    assert names.key("ct/1.2.840.7", "ct") == "1.2.840.7"
    assert names.key("a/b.nii.gz#2", "ct") == "a_b_2"
    assert names.key("organmnist3d.npz#train_images/12", "ct") == "organmnist3d.npz_train_images_12"
    assert names.key("a#2.nii.gz", "ct") == "a_2"
    assert slug("Brain_T1 (3T)") == "brain-t1-3t"


def test_a_row_with_more_fields_than_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,domain\nDoe, John/a.nii,ct\nb.nii,ct\n")
    with pytest.raises(InvalidArgument, match="row 1: has more fields than the table has columns; quote those that"):
        read_sources(tmp_path / "t.csv")


def test_the_nan_of_a_data_frame_is_an_empty_cell(tmp_path: Path) -> None:
    rows = [{"path": "a.nii", "domain": "ct", "target": 1.0, "unit": " "}, {"path": "b.nii", "domain": "ct"}]
    rows[1] |= {"target": float("nan"), "unit": None}
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    assert [(s.target, s.unit) for s in read_sources(tmp_path / "t.parquet")] == [("1.0", None), (None, None)]


def test_a_file_name_that_is_no_utf_8_is_converted_with_its_name_kept(tmp_path: Path) -> None:
    write_nifti(tmp_path / "in" / "ct" / "x.nii", np.ones((4, 4, 4), np.int16))
    os.replace(tmp_path / "in" / "ct" / "x.nii", os.fsencode(tmp_path) + b"/in/ct/caf\xe9.nii")
    convert(tmp_path / "in", tmp_path / "store", settings=Settings(keep_names=True), jobs=0)
    (row,) = open_store(tmp_path / "store").manifest.rows()
    assert (row.key, row.source, row.subject) == ("caf_", "ct/caf\\udce9.nii", "caf\\udce9")


def test_text_in_a_table_that_utf_8_cannot_hold_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(r'{"path": "a.nii", "domain": "ct", "target": "\ud800"}')
    with pytest.raises(InvalidArgument, match="row 1: target .* is not text that UTF-8 can hold"):
        read_sources(tmp_path / "t.jsonl")


def test_scans_of_one_name_in_several_folders_are_no_matter_where_the_subject_is_given(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,domain,subject\nt1/P1.nii,brain-mr,P1\nflair/P1.nii,brain-mr,P1\n")
    assert [source.subject for source in read_sources(tmp_path / "t.csv")] == ["P1", "P1"]

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixio.errors import InvalidArgument
from tests.labelled_volumes import write_pairs, write_table
from tools.labelled import Case, in_splits, read_cases

SUBJECTS = st.lists(st.sampled_from("abcdefghijklmnop"), min_size=30, max_size=60)


def case(name, subject, split=None):
    return Case(name, name, subject, target="x", split=split)


@given(SUBJECTS, st.integers(0, 1000))
def test_no_subject_is_in_two_splits(subjects, seed):
    cases = [case(f"{number}.nii", subject) for number, subject in enumerate(subjects)]
    try:
        splits = in_splits(cases, seed=seed, val_fraction=0.4)
    except InvalidArgument:
        return
    train, val = ({one.subject for one in splits[split]} for split in ("train", "val"))
    assert not train & val
    assert train | val == set(subjects)


def test_the_split_is_a_function_of_names_and_seed_and_adding_cases_moves_none():
    cases = [case(str(number), str(number)) for number in range(40)]
    whole = in_splits(cases, seed=3, val_fraction=0.3)["val"]
    assert list(in_splits(cases[:20], seed=3, val_fraction=0.3)["val"]) == [c for c in whole if c in cases[:20]]
    assert in_splits(cases, seed=4, val_fraction=0.3)["val"] != whole


def test_what_the_table_says_of_a_subject_holds_for_all_its_cases():
    cases = [case("1", "ann", "val"), case("2", "ann"), case("3", "bob", "train"), case("4", "cy", "test")]
    splits = in_splits(cases, seed=0, val_fraction=0.0)
    assert {split: [one.name for one in found] for split, found in splits.items()} == {
        "train": ["3"],
        "val": ["1", "2"],
        "test": ["4"],
    }


def test_a_folder_pairs_images_and_label_maps_by_their_file_name(tmp_path):
    cases = read_cases(write_pairs(tmp_path, 2))
    assert [(one.name, one.image.name, one.label.parent.name) for one in cases] == [
        ("case_0", "case_0.nii.gz", "labels"),
        ("case_1", "case_1.nii.gz", "labels"),
    ]
    for name in ("images", "labels"):
        (tmp_path / name).rename(tmp_path / f"{name}Tr")
        (tmp_path / f"{name}Tr" / "._case_9.nii.gz").write_bytes(b"what macOS leaves beside files")
    assert [one.name for one in read_cases(tmp_path)] == ["case_0", "case_1"]


def test_a_table_names_classes_subjects_and_splits(tmp_path):
    row = {"image": "a.nii", "class": "benign", "subject": "ann", "split": "val", "modality": "CT", "unit": "HU"}
    [found] = read_cases(write_table(tmp_path / "cases.csv", [row]))
    assert found == Case("a.nii", tmp_path / "a.nii", "ann", None, "benign", "val", "CT", "HU")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"image": "a.nii"}], "row 1: expected an image, and either a label map"),
        ([{"image": "a.nii", "label": "b.nii", "class": "x"}], "either a label map in the column label or a name"),
        ([{"image": "a.nii", "class": "x"}, {"image": "b.nii", "label": "c.nii"}], "split the table in two"),
        ([{"image": "a.nii", "class": "x", "split": "dev"}], "split 'dev' is not one of train, val, test"),
        ([{"image": "a.nii", "class": "x", "modality": "US"}], "modality 'US' is not one of"),
        ([{"image": "a.nii", "class": "x"}] * 2, r"listed twice: \['a.nii'\]"),
    ],
)
def test_rows_that_cannot_be_are_refused(tmp_path, rows, message):
    with pytest.raises(InvalidArgument, match=message):
        read_cases(write_table(tmp_path / "cases.csv", rows))


def test_no_pairs_are_refused_with_the_way_out(tmp_path):
    with pytest.raises(InvalidArgument, match="no such file or folder; give a folder with images/ and labels/"):
        read_cases(tmp_path / "nothing")
    with pytest.raises(InvalidArgument, match="no pairs there; expected the folders images/ and labels/"):
        read_cases(tmp_path)
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    with pytest.raises(InvalidArgument, match="no pairs of an image and its label"):
        read_cases(tmp_path)


def test_an_image_without_its_label_map_is_refused(tmp_path):
    (write_pairs(tmp_path, 2) / "labels" / "case_1.nii.gz").unlink()
    with pytest.raises(
        InvalidArgument, match=r"no pairs for \['case_1'\]; an image and its label map have one file name"
    ):
        read_cases(tmp_path)


def test_a_subject_in_two_splits_is_refused():
    with pytest.raises(InvalidArgument, match="subject 'ann' is in the splits 'train' and 'val'"):
        in_splits([case("1", "ann", "train"), case("2", "ann", "val")], seed=0, val_fraction=0.5)


@pytest.mark.parametrize(("fraction", "split"), [(0.0, "val"), (1.0, "train")])
def test_an_empty_split_is_refused(fraction, split):
    with pytest.raises(InvalidArgument, match=f"no case in the split {split}: .* choose another --split-seed"):
        in_splits([case("1", "ann"), case("2", "bob")], seed=0, val_fraction=fraction)

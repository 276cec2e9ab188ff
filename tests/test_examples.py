import csv

import numpy as np
import pytest

from mixio.dataset import MixtureDataset
from mixio.errors import InvalidArgument, SourceError
from mixio.mixture import Mixture
from mixio.preprocess import to_ras
from mixio.readers import read_volume
from tests.conftest import write_nifti
from tests.labelled_volumes import shell_and_core
from tools.examples import Reading, classes_of, read_examples
from tools.labelled import Case, read_cases

CLASSES = ("background", "shell", "core")
AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])


def case(folder, image, label, *, image_affine=None, label_affine=None):
    return Case(
        "one",
        write_nifti(folder / "image.nii.gz", image, image_affine),
        "one",
        label=write_nifti(folder / "label.nii.gz", label, label_affine),
    )


def test_intensities_are_those_that_the_loaders_of_a_store_give(small_store, sources):
    with sources.open() as file:
        row = next(row for row in csv.DictReader(file) if row["path"].startswith("pet"))
    path = sources.parent / row["path"]
    [example] = read_examples([Case("pet", path, "pet", target="x")], ["x"], Reading(modality="PET", unit="SUV"))
    store_row = small_store.row(f"pet/{path.name.removesuffix('.nii.gz')}")
    low, high = store_row.foreground_box
    dataset = MixtureDataset(small_store, Mixture({"pet": 1.0}), patch_size=(20, 18, 12), split=store_row.split)
    whole = next(item for item in map(dataset.__getitem__, range(64)) if item["key"] == store_row.key)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    np.testing.assert_array_equal(example.image, np.asarray(whole["image"])[0][box])


def test_labels_stay_on_their_image_through_orientation_and_spacing(tmp_path):
    image, label = shell_and_core(0)
    flipped = np.diag([-2.0, 1.0, 3.0, 1.0])
    [example] = read_examples(
        [case(tmp_path, image, label, image_affine=flipped, label_affine=flipped)], CLASSES, Reading((2.0, 2.0, 2.0))
    )
    assert example.shape == (30, 18, 42)
    assert example.spacing == pytest.approx((2.0, 2.0, 2.0))
    means = [example.image[example.label == value].mean() for value in range(3)]
    assert means[0] < 0.2 < 0.35 < means[1] < 0.65 < 0.8 < means[2]  # 100, 500 and 900 in a window from 0 to about 950
    oriented = to_ras(read_volume(tmp_path / "label.nii.gz")).voxels
    assert [(example.label == value).sum() * 8 for value in (1, 2)] == pytest.approx(
        [(oriented == value).sum() * 6 for value in (1, 2)], rel=0.1
    )


def test_without_a_spacing_labels_are_the_voxels_of_the_file(tmp_path):
    image, label = shell_and_core(1)
    [example] = read_examples([case(tmp_path, image, label.astype(np.float32))], CLASSES, Reading())
    np.testing.assert_array_equal(example.label, label)
    assert (example.label.dtype, example.image.dtype) == (np.uint8, np.float32)
    assert 0 <= example.image.min() <= example.background < 0.2
    assert example.image.max() == 1


def test_an_image_and_its_label_map_may_be_stored_in_different_order(tmp_path):
    image, label = shell_and_core(2)
    turned = AFFINE.copy()
    turned[0] = [-2, 0, 0, 2 * (image.shape[0] - 1)]
    [example] = read_examples([case(tmp_path, image, label[::-1], label_affine=turned)], CLASSES, Reading())
    np.testing.assert_array_equal(example.label, label)


def test_an_image_and_a_label_map_of_other_grids_are_refused(tmp_path):
    image, label = shell_and_core(0)
    with pytest.raises(
        InvalidArgument, match=r"one: the image has \(30, 36, 28\) voxels, its label map \(29, 36, 28\)"
    ):
        read_examples([case(tmp_path, image, label[1:])], CLASSES, Reading())
    moved = AFFINE.copy()
    moved[0, 3] = 1.0
    with pytest.raises(InvalidArgument, match="one: the affines .* differ, by up to 1 mm at the corners; correct"):
        read_examples([case(tmp_path, image, label, label_affine=moved)], CLASSES, Reading())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda label: label + 1,
            r"one: label 3 is outside the classes 0 to 2 \(background, shell, core\); name it in",
        ),
        (lambda label: label / np.float32(3), "labels must be whole numbers from 0 on, .* 0 to 0.666667; threshold"),
        (lambda label: label.astype(np.int16) - 1, "whole numbers from 0 on, the label map holds -1 to 1"),
        (lambda label: label.astype(np.int16) * 200, "label 400 is beyond 255; number the classes 1, 2, 3"),
    ],
)
def test_labels_outside_the_classes_are_refused(tmp_path, change, message):
    image, label = shell_and_core(0)
    with pytest.raises(InvalidArgument, match=message):
        read_examples([case(tmp_path, image, change(label))], CLASSES, Reading())


def test_a_label_map_that_is_not_finite_is_refused(tmp_path):
    image, label = shell_and_core(0)
    holed = label.astype(np.float32)
    holed[0, 0, 0] = np.nan
    with pytest.raises(SourceError, match="the label map holds NaN or infinity"):
        read_examples([case(tmp_path, image, holed)], CLASSES, Reading())


def test_a_class_that_is_not_named_is_refused(tmp_path):
    path = write_nifti(tmp_path / "image.nii.gz", shell_and_core(0)[0])
    with pytest.raises(InvalidArgument, match="one: class 'c' is not one of --classes a, b"):
        read_examples([Case("one", path, "one", target="c")], ["a", "b"], Reading())


def test_classes_are_found_in_the_data_unless_they_are_named(tmp_path):
    image, label = shell_and_core(0)
    cases = [case(tmp_path, image, label)]
    assert classes_of(cases, None) == ("background", "class 1", "class 2")
    assert classes_of(cases, ["shell", "core"]) == CLASSES
    assert classes_of([Case("1", tmp_path, "1", target=name) for name in "bab"], None) == ("a", "b")
    for names in (["a", "a"], ["background", "a"]):
        with pytest.raises(InvalidArgument, match="--classes must be different names, none of them background"):
            classes_of(cases, names)
    with pytest.raises(InvalidArgument, match="no label map has a voxel other than 0"):
        classes_of([case(tmp_path, image, label * 0)], None)


def test_real_hippocampi_and_tumours_on_pet_and_mr_are_read(real_volumes):
    [example] = read_examples(
        read_cases(real_volumes / "msd_hippocampus")[:1],
        ("background", "anterior", "posterior"),
        Reading(modality="MR"),
    )
    np.testing.assert_array_equal(np.unique(example.label), [0, 1, 2])
    for folder, name, modality in (("pet", "fdgpet", "PET"), ("mri_nonbrain", "mr_t1", "MR")):
        image = real_volumes / folder / f"ibsi_STS_019_{name}.nii.gz"
        label = real_volumes / "labelled" / f"ibsi_STS_019_{name}_gtv.nii.gz"
        [example] = read_examples(
            [Case(name, image, "19", label)], ("background", "tumour"), Reading(modality=modality)
        )
        assert example.label.sum() == read_volume(label).voxels.sum() > 0
        assert example.image[example.label == 1].mean() > example.image[example.label == 0].mean()

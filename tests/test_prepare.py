"""What is stored of a volume: the order of the steps, what is not a number, units, and label maps on its grid."""

from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from mixio.errors import SourceError
from mixio.prepare import Prepared, options_of, prepare
from mixio.readers import Part, read_parts
from mixio.settings import Settings
from mixio.sources import Source
from mixio.volume import Volume
from tests.conftest import write_nifti
from tests.dicoms import make_pet, random_stored, write_series

SETTINGS = Settings()
GRID = np.diag([2.0, 2.0, 3.0, 1.0])
RNG = np.random.default_rng(5)


def part_of(voxels: np.ndarray, affine: np.ndarray = GRID, *, notes: dict[str, str] | None = None) -> Part:
    return Part("", Volume(voxels, affine), notes or {})


def source_of(labels: dict[str, Path] | None = None, **fields: object) -> Source:
    return Source(Path("scan.nii"), "scan.nii", "ct", "scan", labels=labels or {}, **fields)


def labelled(image: np.ndarray, label: Path, settings: Settings = SETTINGS, affine: np.ndarray = GRID) -> np.ndarray:
    """The label map of an image once it is prepared."""
    return prepare(part_of(image, affine), source_of({"organ": label}), settings).labels["organ"]


def refused(label: Path, settings: Settings = SETTINGS, notes: dict[str, str] | None = None) -> str:
    """Why a label map of an image of 6 x 5 x 4 voxels is refused."""
    with pytest.raises(SourceError) as caught:
        prepare(part_of(np.ones((6, 5, 4), np.int16), notes=notes), source_of({"organ": label}), settings)
    return str(caught.value)


# What is not a number


def test_nan_and_infinities_become_background_and_are_counted() -> None:
    voxels = np.full((10, 10, 10), -7, np.float32)
    voxels[3:6, 3:6, 3:6] = 90
    expected = voxels.copy()
    for place, value in (((4, 4, 4), np.nan), ((5, 5, 5), np.inf), ((0, 0, 0), -np.inf)):
        voxels[place], expected[place] = value, -7
    found = prepare(part_of(voxels), source_of(), SETTINGS)
    assert (found.nonfinite, found.background) == (3, -7)
    assert np.array_equal(found.volume.voxels, expected)
    assert found.content.statistics["max"] == 90


@pytest.mark.parametrize(("count", "is_kept"), [(10, True), (11, False)])
def test_above_one_percent_a_volume_is_refused_with_its_share(count: int, is_kept: bool) -> None:
    voxels = np.ones((10, 10, 10), np.float32)
    voxels.ravel()[:count] = np.nan
    if is_kept:
        assert prepare(part_of(voxels), source_of(), SETTINGS).nonfinite == 10
        return
    with pytest.raises(SourceError, match=r"^scan\.nii: 1\.10% of its voxels are .*1\.00%; raise --max-nonfinite"):
        prepare(part_of(voxels), source_of(), SETTINGS)
    assert prepare(part_of(voxels), source_of(), Settings(max_nonfinite=0.011)).nonfinite == 11


def test_a_volume_of_nothing_but_nan_is_refused_whatever_is_allowed() -> None:
    with pytest.raises(SourceError, match=r"100\.00% of its voxels are NaN"):
        prepare(part_of(np.full((4, 4, 4), np.nan, np.float32)), source_of(), Settings(max_nonfinite=0.99))


def test_nan_does_not_spread_when_a_volume_is_resampled() -> None:
    voxels = np.full((12, 12, 12), 5, np.float32)
    voxels[6, 6, 6] = np.nan
    found = prepare(part_of(voxels, np.eye(4)), source_of(), Settings(spacing=(1.5, 1.5, 1.5)))
    assert np.allclose(found.volume.voxels, 5)


# The order of steps


def bright_box() -> np.ndarray:
    voxels = np.zeros((20, 20, 20), np.int16)
    voxels[4:12, 6:10, 8:16] = np.random.default_rng(5).integers(500, 900, (8, 4, 8))
    return voxels


def test_what_is_described_is_what_is_stored() -> None:
    settings = Settings(spacing=(3.0, 3.0, 3.0), dtype="float16", crop_foreground=True)
    found = prepare(part_of(bright_box()[::-1], GRID * [-1, 1, 1, 1]), source_of(), settings)
    stored = found.volume.voxels
    assert stored.dtype == np.float16
    assert np.allclose(found.volume.spacing, 3)
    assert found.content.statistics["max"] == stored.max()
    assert found.content.statistics["mean"] == pytest.approx(stored.astype(float).mean(), rel=1e-6)
    assert found.content.foreground_box == ((0, 0, 0), stored.shape)


def test_a_crop_keeps_the_foreground_where_it_was_in_the_world() -> None:
    found = prepare(part_of(bright_box()), source_of(), Settings(crop_foreground=True)).volume
    assert np.array_equal(found.voxels, bright_box()[4:12, 6:10, 8:16])
    assert np.array_equal(apply_affine(found.affine, [0, 0, 0]), [8, 12, 24])


def test_a_label_map_is_cropped_and_resampled_with_its_image(tmp_path: Path) -> None:
    label = write_nifti(tmp_path / "l.nii", (bright_box() > 0).astype(np.uint8), GRID)
    settings = Settings(spacing=(1.0, 1.0, 1.0), crop_foreground=True)
    found = prepare(part_of(bright_box()), source_of({"organ": label}), settings)
    mask = found.labels["organ"]
    assert mask.shape == found.volume.shape
    assert mask[found.volume.voxels > 450].all()
    assert mask.sum() == 8 * 4 * 8 * 12  # cubic millimeters: every voxel was 2 x 2 x 3


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9, 1), (4, 4, 4)])
@pytest.mark.parametrize("dtype", ["int16", "uint64", "float32"])
@pytest.mark.parametrize("settings", [SETTINGS, Settings(spacing=(0.9, 2.0, 7.0), dtype="int16", crop_foreground=True)])
def test_a_constant_volume_of_any_size_is_kept(shape: tuple, dtype: str, settings: Settings) -> None:
    found = prepare(part_of(np.full(shape, 37, dtype)), source_of(), settings)
    assert (found.volume.real().voxels == 37).all()
    assert (found.background, found.content.foreground_fraction, found.quantization_error) == (37, 0, 0)
    assert found.content.statistics["std"] == 0


# Units


@pytest.mark.parametrize(
    ("least", "modality", "told", "unit"),
    [(-1000, "CT", None, "HU"), (0, "CT", None, None), (-1000, "MR", None, None), (0, "PET", "SUV", "SUV")],
)
def test_a_unit_is_what_the_table_says_or_what_is_evident(least: int, modality: str, told: str, unit: str) -> None:
    voxels = np.linspace(least, 400, 64).astype(np.int16).reshape(4, 4, 4)
    assert prepare(part_of(voxels), source_of(modality=modality, unit=told), SETTINGS).volume.unit == unit


def test_a_unit_of_the_table_that_is_not_that_of_the_numbers_is_refused(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "pet", random_stored(), modality="PT", edit=make_pet)
    (part,) = read_parts(folder)
    assert prepare(part, source_of(), SETTINGS).volume.unit == "SUV"
    with pytest.raises(SourceError, match=r"its own unit is SUV, the table says Bq/mL; correct the table"):
        prepare(part, source_of(unit="Bq/mL"), SETTINGS)


# Label maps


def as_oriented(voxels: np.ndarray, order: tuple[int, ...], signs: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The same label map stored along other axes, and its affine, by nibabel."""
    image = nib.Nifti1Image(voxels, GRID)
    turned = image.as_reoriented(np.array(list(zip(order, signs, strict=True))))
    return np.asarray(turned.dataobj), turned.affine


@pytest.mark.parametrize("shape", [(4, 4, 4), (5, 4, 3)])
def test_a_label_map_in_any_of_48_orders_lies_where_it_lies_in_the_world(tmp_path: Path, shape: tuple) -> None:
    voxels = RNG.integers(0, 9, shape).astype(np.uint8)
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        label = write_nifti(tmp_path / "l.nii", *as_oriented(voxels, order, signs))
        assert np.array_equal(labelled(np.ones(shape, np.int16), label), voxels), (order, signs)


def test_a_label_map_of_the_same_shape_and_reversed_axes_is_not_taken_by_index(tmp_path: Path) -> None:
    voxels = np.zeros((6, 6, 6), np.uint8)
    voxels[0, 1, 2] = 3
    reversed_axes = np.diag([-2.0, -2.0, 3.0, 1.0])
    reversed_axes[:2, 3] = 10
    label = write_nifti(tmp_path / "l.nii", voxels, reversed_axes)
    assert np.argwhere(labelled(np.ones((6, 6, 6), np.int16), label)).tolist() == [[5, 4, 2]]


def test_a_label_map_of_the_same_shape_one_voxel_aside_is_moved_and_filled_up(tmp_path: Path) -> None:
    voxels = RNG.integers(1, 9, (6, 5, 4)).astype(np.uint8)
    aside = GRID.copy()
    aside[0, 3] = 2
    found = labelled(np.ones((6, 5, 4), np.int16), write_nifti(tmp_path / "l.nii", voxels, aside))
    assert np.array_equal(found[1:], voxels[:-1])
    assert not found[0].any()


def test_a_nifti_label_map_beside_dicom_lies_where_nibabel_has_it(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", random_stored((5, 4, 6)))
    (part,) = read_parts(folder)
    world = apply_affine(part.volume.affine, [2, 1, 3])
    ras = np.diag([0.7, 0.9, 2.5, 1.0])
    ras[:3, 3] = apply_affine(part.volume.affine, np.array(part.volume.shape) - 1)
    ras[2, 3] = part.volume.affine[2, 3]
    voxels = np.zeros(part.volume.shape, np.uint8)
    voxels[tuple(np.rint(np.linalg.solve(ras, [*world, 1])[:3]).astype(int))] = 1
    source = source_of({"organ": write_nifti(tmp_path / "l.nii.gz", voxels, ras)})
    found = prepare(part, source, SETTINGS)
    (place,) = np.argwhere(found.labels["organ"])
    assert np.allclose(apply_affine(found.volume.affine, place), world, atol=1e-4)


@pytest.mark.parametrize(
    ("stored", "kind"),
    [
        (np.array([0, 1, 255]), "uint8"),
        (np.array([-1, 0, 7]), "int16"),
        (np.array([0, 40_000, 3]), "int32"),
        (np.array([0, 2**31 + 5, 2**40]), "int64"),
        (np.array([0.0, 1.0, 2.0]), "uint8"),
        (np.array([0.0, 0.25, 1.0]), "float32"),
        (np.array([0, 2**33, 1], np.uint64), "uint64"),
    ],
)
def test_a_label_map_has_the_smallest_type_that_holds_it(tmp_path: Path, stored: np.ndarray, kind: str) -> None:
    label = write_nifti(tmp_path / "l.nii", np.resize(stored, (6, 5, 4)), GRID)
    found = labelled(np.ones((6, 5, 4), np.int16), label)
    assert found.dtype == kind
    assert np.array_equal(found, np.resize(stored, (6, 5, 4)))


def test_several_label_maps_keep_their_names(tmp_path: Path) -> None:
    values = {"organ": 1, "tumour": 2, "label": 3}
    maps = {name: np.full((6, 5, 4), value, np.uint8) for name, value in values.items()}
    labels = {name: write_nifti(tmp_path / f"{name}.nii", voxels, GRID) for name, voxels in maps.items()}
    found = prepare(part_of(np.ones((6, 5, 4), np.int16)), source_of(labels), SETTINGS).labels
    assert {name: set(np.unique(voxels)) for name, voxels in found.items()} == {n: {v} for n, v in values.items()}


def test_label_maps_that_cannot_be_trusted_are_refused_by_their_name(tmp_path: Path) -> None:
    ones = np.ones((6, 5, 4), np.float32)
    hole = ones.copy()
    hole[1, 2, 3] = np.nan
    away = GRID.copy()
    away[:3, 3] = 900
    told = r"l.nii: {} (label map 'organ' of scan.nii)"
    for voxels, affine, words in (
        (hole, GRID, "the label map holds NaN or infinity; repair it"),
        (ones, away, "the label map lies wholly outside its image; is it the label map of another image?"),
        (
            np.stack([ones, ones], -1), GRID,
            "a label map of several volumes, expected one; split it, and list each as label:<name>",
        ),
    ):  # fmt: skip
        assert refused(write_nifti(tmp_path / "l.nii", voxels, affine)) == told.format(words)
    assert refused(tmp_path / "gone.nii").startswith("gone.nii: no such file")


def test_a_label_map_of_several_volumes_is_refused_whatever_becomes_of_frames(tmp_path: Path) -> None:
    label = write_nifti(tmp_path / "l.nii.gz", np.ones((6, 5, 4, 2), np.uint8), GRID)
    for frames in ("first", "mean", "each"):
        assert "label map of several volumes" in refused(label, Settings(frames=frames))


def test_a_label_map_with_a_last_axis_of_one_is_a_volume(tmp_path: Path) -> None:
    label = write_nifti(tmp_path / "l.nii", np.ones((6, 5, 4, 1), np.uint8), GRID)
    assert labelled(np.ones((6, 5, 4), np.int16), label).shape == (6, 5, 4)


def without_affine(path: Path) -> Path:
    image = nib.Nifti1Image(np.ones((6, 5, 4), np.uint8), None)
    image.header.set_zooms((2, 2, 3))
    image.to_filename(path)
    return path


def test_a_guessed_place_and_a_known_one_are_not_laid_on_one_another(tmp_path: Path) -> None:
    guess = Settings(assume_affine=True)
    told = "the affine of the label map is a guess, the other is not"
    assert told in refused(without_affine(tmp_path / "l.nii"), guess)
    known = write_nifti(tmp_path / "k.nii", np.ones((6, 5, 4), np.uint8), GRID)
    assert "the affine of the image is a guess" in refused(known, guess, {"affine": "assumed"})


def test_two_guesses_are_one_and_the_same(tmp_path: Path) -> None:
    image = without_affine(tmp_path / "i.nii")
    source = replace(source_of({"organ": without_affine(tmp_path / "l.nii")}), path=image)
    settings = Settings(assume_affine=True)
    (part,) = read_parts(image, options_of(source, settings))
    found: Prepared = prepare(part, source, settings)
    assert found.notes == {"affine": "assumed"}
    assert found.labels["organ"].all()

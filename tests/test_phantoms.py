import csv
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pytest
from click.testing import CliRunner

from mixio.errors import InvalidArgument
from tools.anatomy import INDEX, grid_of, waves
from tools.phantoms import Scan, acquire, main, scans, write_corpus

SCALE = 0.25


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corpus")
    write_corpus(out, seed=3, scale=SCALE)
    return out


@pytest.fixture(scope="module")
def rows(corpus: Path) -> list[dict[str, str]]:
    with (corpus / "sources.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def values(corpus: Path, row: dict[str, str]) -> np.ndarray:
    return nibabel.load(corpus / row["path"]).get_fdata()


def first(rows: list[dict[str, str]], domain: str) -> dict[str, str]:
    return next(row for row in rows if row["domain"] == domain)


def test_the_same_seed_writes_the_same_bytes(corpus, tmp_path):
    write_corpus(tmp_path, seed=3, scale=SCALE, workers=1)
    files = sorted(path.relative_to(corpus) for path in corpus.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert all((corpus / name).read_bytes() == (tmp_path / name).read_bytes() for name in files)


def test_another_seed_is_another_corpus():
    one, two = (acquire(next(scans(seed=seed, scale=SCALE)))[0] for seed in (3, 4))
    assert one.shape != two.shape or not np.allclose(one, two)


def test_sources_csv_lists_every_volume_and_every_label_map(corpus, rows):
    listed = {row["path"] for row in rows} | {row["label"] for row in rows if row["label"]}
    assert listed == {str(path.relative_to(corpus)) for path in corpus.rglob("*.nii*")}
    assert list(rows[0]) == ["path", "domain", "modality", "subject", "label", "unit"]


def test_the_six_domains_are_of_unequal_size(rows):
    counts = Counter(row["domain"] for row in rows)
    assert counts == {
        "abdomen-ct": 24,
        "head-neck-ct": 12,
        "abdomen-mri": 10,
        "brain-t1": 16,
        "brain-t2": 8,
        "head-neck-pet": 6,
    }


def test_headers_say_millimetres_and_where_the_body_is(corpus, rows):
    for row in rows:
        image = nibabel.load(corpus / row["path"])
        assert image.header["qform_code"] == image.header["sform_code"] == 1
        assert image.header.get_xyzt_units()[0] == "mm"
        assert np.allclose(image.get_qform(), image.get_sform(), atol=1e-3)


def test_orientations_dtypes_and_containers_vary(corpus, rows):
    images = [nibabel.load(corpus / row["path"]) for row in rows]
    codes = {"".join(nibabel.aff2axcodes(image.affine)) for image in images}
    assert {"LPS", "LAS", "RAS", "PSR"} <= codes
    assert {image.get_data_dtype().name for image in images} == {"int16", "uint16", "float32"}
    assert {Path(row["path"]).suffix for row in rows} == {".nii", ".gz"}
    assert any(np.count_nonzero(np.abs(image.affine[:3, :3]) > 1e-6) == 9 for image in images)


def test_a_ct_is_in_hounsfield_units_whichever_way_it_is_stored(corpus, rows):
    offset, plain = [row for row in rows if row["domain"] == "abdomen-ct"][:2]
    assert nibabel.load(corpus / offset["path"]).dataobj.inter == -1024
    assert nibabel.load(corpus / plain["path"]).dataobj.inter == 0
    for row in (offset, plain):
        hounsfield = values(corpus, row)
        assert -1024 <= np.percentile(hounsfield, 5) < -900  # air around the body
        assert 0.3 < np.mean((hounsfield > -250) & (hounsfield < 300)) < 0.8  # soft tissue
        assert 250 < np.percentile(hounsfield, 99.7) < 2000  # bone


def test_a_pet_is_cold_outside_and_hot_in_its_lesions(corpus, rows):
    row = first(rows, "head-neck-pet")
    uptake, lesion = values(corpus, row), np.asarray(nibabel.load(corpus / row["label"]).dataobj) > 0
    assert uptake.min() >= 0
    assert np.median(uptake) < 1
    assert 2 < uptake[lesion].mean() < 15


def test_mr_gains_differ_from_scan_to_scan(corpus, rows):
    peaks = [np.percentile(values(corpus, row), 99) for row in rows if row["modality"] == "MR"]
    assert min(peaks) > 20
    assert max(peaks) > 3 * min(peaks)


def test_fluid_is_dark_in_t1_and_bright_in_t2():
    by_name = {scan.domain.name: scan for scan in scans(seed=0, scale=0.4)}
    for name, bright in (("brain-t1", False), ("brain-t2", True)):
        signal, labels, _ = acquire(by_name[name])
        ratio = np.median(signal[labels == INDEX["fluid"]]) / np.median(signal[labels == INDEX["white"]])
        assert (ratio > 1) == bright
        assert not 0.67 < ratio < 1.5


def test_a_subject_scanned_twice_has_one_body():
    ct = next(scan for scan in scans(seed=0, scale=0.4) if scan.path.startswith("abdomen-ct/abdomen-ct-020"))
    mr = next(scan for scan in scans(seed=0, scale=0.4) if scan.domain.name == "abdomen-mri")
    assert ct.subject == mr.subject
    assert np.linalg.norm(centroid(ct, "liver") - centroid(mr, "liver")) < 12


def centroid(scan: Scan, tissue: str) -> np.ndarray:
    """In world mm."""
    _, labels, affine = acquire(scan)
    return affine[:3, :3] @ np.argwhere(labels == INDEX[tissue]).mean(0) + affine[:3, 3]


def test_waves_are_functions_of_the_world_and_not_of_the_grid():
    fine, coarse = np.diag([2.0, 2.0, 2.0, 1.0]), np.diag([-4.0, 4.0, 4.0, 1.0])
    coarse[:3, 3] = 60, 8, 0  # voxel (i, j, k) of the coarse grid is voxel (30 - 2i, 4 + 2j, 2k) of the fine one
    one = waves(grid_of((31, 31, 31), fine), np.random.default_rng(0), wavelength=20)
    two = waves(grid_of((16, 12, 12), coarse), np.random.default_rng(0), wavelength=20)
    np.testing.assert_allclose(two, one[::-2, 4:28:2, 0:24:2], atol=1e-4)
    assert 0.5 < one.std() < 1.5


def test_label_maps_lie_on_the_grid_of_their_volume(corpus, rows):
    labelled = [row for row in rows if row["label"]]
    assert Counter(row["domain"] for row in labelled) == {"abdomen-ct": 8, "head-neck-pet": 6}
    for row in labelled:
        image, label = nibabel.load(corpus / row["path"]), nibabel.load(corpus / row["label"])
        assert image.shape == label.shape
        assert np.allclose(image.affine, label.affine)
        assert np.asarray(label.dataobj).any()


def test_the_command_says_what_it_wrote_and_what_comes_next(tmp_path):
    result = CliRunner().invoke(main, [str(tmp_path / "c"), "--scale", "0.1"])
    assert result.exit_code == 0
    assert "wrote 76 volumes" in result.output
    assert "next: mixio convert" in result.output


def test_a_scale_out_of_range_is_refused_in_one_line(tmp_path):
    with pytest.raises(InvalidArgument, match=r"between 0\.1 and 2"):
        write_corpus(tmp_path, scale=5)
    result = CliRunner().invoke(main, [str(tmp_path), "--scale", "5"])
    assert result.exit_code == 2
    assert result.stderr == "error: scale must be between 0.1 and 2, got 5\n"

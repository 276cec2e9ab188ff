"""NIfTI: whatever nibabel reads is read the same, and an affine is never guessed unasked."""

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixio.errors import SourceError
from mixio.readers import Part, ReadOptions, read_parts, read_volume
from tests.conftest import write_nifti

DTYPES = "u1 i1 u2 i2 u4 i4 u8 i8 f4 f8".split()
SINGLE = {1: nib.Nifti1Header, 2: nib.Nifti2Header}
PAIR = {1: nib.nifti1.Nifti1PairHeader, 2: nib.nifti2.Nifti2PairHeader}
ASSUME = ReadOptions(assume_affine=True)


def random_affine(rng: np.random.Generator) -> np.ndarray:
    """Any rotation, mirrored or not, with spacings from 0.1 to 10 mm."""
    rotation, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = rotation * 10 ** rng.uniform(-1, 1, 3)
    affine[:3, 3] = rng.uniform(-500, 500, 3)
    return affine


def write_raw(path: Path, voxels: np.ndarray, affine: np.ndarray, *, version: int, scale: tuple[float, float]) -> Path:
    """Stored numbers and scale just as given, which nibabel's own writer would change; `path` ends in .hdr or .nii*."""
    is_pair = path.suffix == ".hdr"
    order = ">" if voxels.dtype.byteorder == ">" else "<"
    header = (PAIR if is_pair else SINGLE)[version](endianness=order)
    header.set_data_dtype(voxels.dtype)
    header.set_data_shape(voxels.shape)
    header.set_sform(affine, code=2)
    header["vox_offset"] = 0 if is_pair else {1: 352, 2: 544}[version]
    header["scl_slope"], header["scl_inter"] = scale
    head, body = header.binaryblock, voxels.tobytes(order="F")
    if is_pair:
        path.write_bytes(head)
        path.with_suffix(".img").write_bytes(body)
    else:
        path.write_bytes(head + bytes(4) + body)
    if path.name.endswith(".gz"):
        path.write_bytes(gzip.compress(path.read_bytes(), 1))
    return path


def only(path: Path, **chosen: Any) -> Part:
    """The one part of a source."""
    (part,) = read_parts(path, ReadOptions(**chosen))
    return part


@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(*[st.integers(1, 70)] * 3),
    dtype=st.sampled_from(DTYPES),
    order=st.sampled_from("<>"),
    version=st.sampled_from([1, 2]),
    name=st.sampled_from(["v.nii", "v.nii.gz", "v.hdr"]),
    scale=st.sampled_from([(1, 0), (0, 5), (0.25, -3), (-2, 1024), (np.nan, 0), (np.inf, 0), (1.5e-3, 0)]),
)
def test_every_file_reads_as_nibabel_reads_it(
    tmp_path_factory, seed, shape, dtype, order, version, name, scale
) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, 256, int(np.prod(shape)), dtype=np.uint8)
    voxels = (numbers.astype(dtype) if dtype[0] == "f" else numbers.astype("i8").astype(dtype)).reshape(shape)
    path = tmp_path_factory.mktemp("v") / name
    write_raw(path, voxels.astype(order + dtype), random_affine(rng), version=version, scale=scale)
    volume, theirs = read_volume(path), nib.load(path)
    assert np.array_equal(volume.affine, theirs.affine)
    expected = theirs.get_fdata().astype(np.float32) if dtype[0] == "f" else theirs.dataobj.get_unscaled()
    assert np.array_equal(volume.voxels, expected)
    assert volume.voxels.dtype.isnative
    assert np.array_equal(
        volume.slope * volume.voxels.astype(float) + volume.inter,
        theirs.get_fdata().astype(np.float32 if dtype[0] == "f" else float),
    )


@pytest.mark.parametrize("scale", [(np.nan, 0.0), (np.inf, 1.0), (np.nan, np.nan)])
def test_a_scale_that_is_no_number_is_ignored_and_noted(tmp_path: Path, scale: tuple[float, float]) -> None:
    voxels = np.arange(8, dtype=np.int16).reshape(2, 2, 2)
    part = only(write_raw(tmp_path / "v.nii", voxels, np.eye(4), version=1, scale=scale))
    assert part.notes == {"slope": "ignored"}
    assert (part.volume.slope, part.volume.inter) == (1.0, 0.0)


def test_an_intercept_that_is_no_number_is_refused(tmp_path: Path) -> None:
    voxels = np.ones((2, 2, 2), np.int16)
    path = write_raw(tmp_path / "v.nii", voxels, np.eye(4), version=1, scale=(2.0, np.nan))
    with pytest.raises(SourceError, match=r"v\.nii: unreadable NIfTI header"):
        read_volume(path)


def without_affine(path: Path) -> Path:
    """A file with neither qform nor sform, of spacing 2 x 2 x 3."""
    image = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), None)
    image.header.set_zooms((2, 2, 3))
    image.to_filename(path)
    return path


def test_without_an_affine_a_file_is_refused_unless_it_may_be_assumed(tmp_path: Path) -> None:
    path = without_affine(tmp_path / "v.nii")
    with pytest.raises(SourceError, match="neither qform nor sform is set, so left and right are unknown; set one"):
        read_volume(path)
    part = only(path, assume_affine=True)
    assert part.notes == {"affine": "assumed"}
    assert np.array_equal(part.volume.affine, nib.load(path).affine)


def test_without_an_affine_the_given_spacing_runs_along_right_anterior_superior(tmp_path: Path) -> None:
    part = only(without_affine(tmp_path / "v.nii"), spacing=(1.0, 2.0, 5.0))
    assert part.notes == {"affine": "assumed"}
    assert np.array_equal(part.volume.affine, np.diag([1.0, 2.0, 5.0, 1.0]))


def test_a_given_spacing_does_not_replace_an_affine(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "v.nii", np.ones((2, 2, 2), np.uint8), np.diag([2.0, 2.0, 2.0, 1.0]))
    assert only(path, spacing=(9.0, 9.0, 9.0)).volume.spacing == (2.0, 2.0, 2.0)


def with_sform(path: Path, sform: np.ndarray, *, qform: bool) -> Path:
    """A file whose header holds `sform`, and a qform of 2 x 2 x 3 mm or none."""
    image = nib.Nifti1Image(np.ones((2, 2, 2), np.uint8), np.diag([2.0, 2.0, 3.0, 1.0]))
    image.set_qform(image.affine, code=1 if qform else 0)
    image.to_filename(path)
    raw = bytearray(path.read_bytes())
    raw[280:328] = sform[:3].astype("<f4").tobytes()
    path.write_bytes(raw)
    return path


BROKEN = {"zeros": np.zeros((4, 4)), "nan": np.full((4, 4), np.nan), "flat": np.diag([1.0, 1.0, 0.0, 1.0])}
BROKEN["nowhere"] = np.eye(4) + np.diag([np.inf], k=3)


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_a_broken_sform_gives_way_to_the_qform_only_if_asked(tmp_path: Path, kind: str) -> None:
    path = with_sform(tmp_path / "v.nii", BROKEN[kind], qform=True)
    with pytest.raises(SourceError, match=r"the sform is, the qform is not; .* take the qform with --assume-affine"):
        read_volume(path)
    part = only(path, assume_affine=True)
    assert part.notes == {"affine": "qform"}
    assert np.allclose(part.volume.affine, np.diag([2, 2, 3, 1]))


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_a_broken_sform_alone_is_refused_even_if_affines_may_be_assumed(tmp_path: Path, kind: str) -> None:
    path = with_sform(tmp_path / "v.nii", BROKEN[kind], qform=False)
    with pytest.raises(SourceError, match="singular or not finite; repair the header"):
        read_volume(path, ASSUME)


def test_an_oblique_affine_is_kept(tmp_path: Path) -> None:
    affine = random_affine(np.random.default_rng(1))
    path = write_nifti(tmp_path / "v.nii", np.ones((2, 2, 2), np.uint8), affine)
    assert np.allclose(read_volume(path).affine, affine, rtol=1e-6)


@pytest.mark.parametrize("suffix", [".img", ".img.gz"])
def test_either_half_of_a_pair_leads_to_it(tmp_path: Path, suffix: str) -> None:
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    nib.Nifti1Pair(voxels, np.eye(4)).to_filename(tmp_path / f"v{suffix}")
    header = tmp_path / f"v{suffix}".replace(".img", ".hdr")
    for path in (header, tmp_path / f"v{suffix}"):
        assert np.array_equal(read_volume(path).voxels, voxels)


def test_half_a_pair_is_refused_by_what_is_missing(tmp_path: Path) -> None:
    nib.Nifti1Pair(np.ones((2, 2, 2), np.uint8), np.eye(4)).to_filename(tmp_path / "v.hdr")
    (tmp_path / "v.img").rename(tmp_path / "w.img")
    with pytest.raises(SourceError, match=r"v\.hdr: its \.img file is not beside it; a pair needs both"):
        read_volume(tmp_path / "v.hdr")
    with pytest.raises(SourceError, match=r"w\.img: its \.hdr file is not beside it"):
        read_volume(tmp_path / "w.img")


def test_a_header_and_a_name_that_disagree_are_refused(tmp_path: Path) -> None:
    nib.Nifti1Pair(np.ones((2, 2, 2), np.uint8), np.eye(4)).to_filename(tmp_path / "v.hdr")
    (tmp_path / "v.hdr").rename(tmp_path / "v.nii")
    with pytest.raises(SourceError, match=r"v\.nii: the header says it is half of a pair"):
        read_volume(tmp_path / "v.nii")


def test_voxels_cannot_begin_before_their_file(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "v.hdr", np.ones((2, 2, 2), np.uint8), np.eye(4), version=1, scale=(1, 0))
    content = bytearray(path.read_bytes())
    content[108:112] = np.float32(-16).tobytes()
    path.write_bytes(content)
    with pytest.raises(SourceError, match="voxels cannot begin at byte -16, expected 0 or more|unreadable"):
        read_volume(path)


def test_analyze_is_refused_by_name(tmp_path: Path) -> None:
    nib.AnalyzeImage(np.ones((2, 2, 2), np.int16), np.eye(4)).to_filename(tmp_path / "v.hdr")
    with pytest.raises(SourceError, match=r"v\.hdr: an Analyze 7\.5 header does not say where .* --assume-affine"):
        read_volume(tmp_path / "v.hdr")


def test_text_of_the_header_goes_nowhere(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.ones((2, 2, 2), np.uint8), np.eye(4))
    for field in ("descrip", "aux_file", "intent_name", "db_name"):
        image.header[field] = "DOE^JOHN"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"DOE^JOHN"))
    image.to_filename(tmp_path / "v.nii.gz")
    part = only(tmp_path / "v.nii.gz")
    assert "DOE" not in repr((part, part.volume, vars(part.volume)))


@pytest.mark.parametrize(
    ("shape", "said"), [((3, 3), "is 2D"), ((2, 2, 2, 1, 3), "is 5D"), ((2, 2, 2, 1, 1, 2), "is 6D")]
)
def test_what_is_not_a_volume_is_refused_by_its_axes(tmp_path: Path, shape: tuple[int, ...], said: str) -> None:
    nib.Nifti1Image(np.ones(shape, np.int16), np.eye(4)).to_filename(tmp_path / "v.nii")
    with pytest.raises(SourceError, match=f"v.nii: shape .* {said}, expected"):
        read_volume(tmp_path / "v.nii")


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_voxels_are_refused_by_name(tmp_path: Path, dtype: str) -> None:
    nib.Nifti1Image(np.ones((2, 2, 2), dtype), np.eye(4)).to_filename(tmp_path / "v.nii")
    with pytest.raises(SourceError, match="voxels of type complex are not one number each; split the channels"):
        read_volume(tmp_path / "v.nii")

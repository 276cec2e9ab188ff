"""NRRD and MetaIO against SimpleITK's and pynrrd's own reading, and the damage that SimpleITK lets through."""

import gzip
import zlib
from pathlib import Path

import nrrd
import numpy as np
import pytest
import SimpleITK as sitk

from mixio.errors import SourceError, SourceTooLarge
from mixio.readers import Part, ReadOptions, read_parts, read_volume

DTYPES = "uint8 int8 uint16 int16 uint32 int32 uint64 int64 float32".split()
SUFFIXES = [".nrrd", ".nhdr", ".mha", ".mhd"]
LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


def write_itk(path: Path, dtype: str = "int16", *, shape: tuple[int, ...] = (5, 4, 3), compress: bool = False) -> Path:
    """Random numbers of `shape` (X, Y, Z), turned and mirrored in space, written by SimpleITK."""
    rng = np.random.default_rng(0)
    image = sitk.GetImageFromArray(rng.integers(0, 127, shape[::-1]).astype(dtype), isVector=False)
    rotation, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    direction = np.eye(len(shape))
    direction[:3, :3] = rotation
    image.SetDirection(direction.ravel().tolist())
    image.SetSpacing([0.5, 1.25, 3.0, 1.0][: len(shape)])
    image.SetOrigin([-10.0, 20.0, 33.0, 0.0][: len(shape)])
    sitk.WriteImage(image, str(path), compress)
    return path


def edit(path: Path, old: str, new: str) -> Path:
    """Change the header of a file; `old` must be in it."""
    content = path.read_bytes()
    assert old.encode() in content
    path.write_bytes(content.replace(old.encode(), new.encode(), 1))
    return path


def only(path: Path, options: ReadOptions) -> Part:
    """The one part of a source."""
    (part,) = read_parts(path, options)
    return part


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("compress", [False, True])
def test_every_voxel_lies_where_simpleitk_says(tmp_path: Path, suffix: str, dtype: str, compress: bool) -> None:
    path = write_itk(tmp_path / f"v{suffix}", dtype, compress=compress)
    volume, image = read_volume(path), sitk.ReadImage(str(path))
    assert volume.voxels.dtype == np.dtype(dtype)
    assert np.array_equal(volume.voxels, sitk.GetArrayFromImage(image).T)
    for index in [(0, 0, 0), (4, 3, 2), (1, 3, 0)]:
        expected = LPS_TO_RAS * image.TransformIndexToPhysicalPoint(index)
        assert np.allclose((volume.affine @ [*index, 1])[:3], expected, atol=1e-9)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_doubles_become_float32(tmp_path: Path, suffix: str) -> None:
    assert read_volume(write_itk(tmp_path / f"v{suffix}", "float64")).voxels.dtype == np.float32


def test_compressed_voxels_need_a_byte_order_too(tmp_path: Path) -> None:
    path = edit(write_itk(tmp_path / "v.nrrd", compress=True), "endian: little\n", "")
    with pytest.raises(SourceError, match="SimpleITK cannot make sense of the header"):
        read_volume(path)


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_nrrd_of_either_byte_order_reads_as_pynrrd_reads_it(tmp_path: Path, encoding: str, order: str) -> None:
    voxels = np.random.default_rng(0).integers(-999, 999, (5, 4, 3)).astype(f"{order}i2")
    header = {"space": "RAS", "space directions": np.diag([1.0, 2.0, 3.0]), "space origin": [4.0, 5.0, 6.0]}
    nrrd.write(str(tmp_path / "v.nrrd"), voxels, {**header, "encoding": encoding, "kinds": ["domain"] * 3})
    theirs, _ = nrrd.read(str(tmp_path / "v.nrrd"))
    volume = read_volume(tmp_path / "v.nrrd")
    assert np.array_equal(volume.voxels, theirs)
    assert np.array_equal(volume.affine, [[1, 0, 0, 4], [0, 2, 0, 5], [0, 0, 3, 6], [0, 0, 0, 1]])


@pytest.mark.parametrize(("space", "signs"), [("LPS", "--+"), ("RAS", "+++"), ("left-anterior-superior", "-++")])
def test_nrrd_of_any_anatomical_space_becomes_ras(tmp_path: Path, space: str, signs: str) -> None:
    header = {"space": space, "space directions": np.diag([1.0, 2.0, 3.0]), "space origin": [4.0, 5.0, 6.0]}
    nrrd.write(str(tmp_path / "v.nrrd"), np.ones((5, 4, 3), np.uint8), header)
    expected = np.array([[1.0, 0, 0, 4], [0, 2, 0, 5], [0, 0, 3, 6]]) * [[float(f"{sign}1")] for sign in signs]
    assert np.array_equal(read_volume(tmp_path / "v.nrrd").affine[:3], expected)


def test_metaio_of_the_other_byte_order_is_turned(tmp_path: Path) -> None:
    path = write_itk(tmp_path / "v.mhd")
    right = read_volume(path).voxels
    edit(path, "BinaryDataByteOrderMSB = False", "BinaryDataByteOrderMSB = True")
    (tmp_path / "v.raw").write_bytes(np.frombuffer((tmp_path / "v.raw").read_bytes(), "<i2").astype(">i2").tobytes())
    assert np.array_equal(read_volume(path).voxels, right)


def test_the_real_nrrd_files_read_as_pynrrd_reads_them(real_volumes: Path) -> None:
    for name in ("mri_nonbrain/pyradiomics_breast1.nrrd", "labelled/pyradiomics_breast1_label.nrrd"):
        theirs, header = nrrd.read(str(real_volumes / name))
        volume = read_volume(real_volumes / name)
        assert np.array_equal(volume.voxels, theirs)
        assert np.allclose(volume.affine[:3, :3], (header["space directions"] * LPS_TO_RAS).T)
        assert np.allclose(volume.affine[:3, 3], header["space origin"] * LPS_TO_RAS)


@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
def test_frames_of_a_fourth_axis_are_chosen_as_in_nifti(tmp_path: Path, suffix: str) -> None:
    path = write_itk(tmp_path / f"v{suffix}", shape=(5, 4, 3, 2), compress=True)
    with pytest.raises(SourceError, match="2 frames; choose with --frames"):
        read_volume(path)
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T[..., 1]
    assert np.array_equal(read_volume(path, ReadOptions(item="1")).voxels, expected)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("compress", [False, True])
def test_data_cut_anywhere_is_refused(tmp_path: Path, suffix: str, compress: bool) -> None:
    path = write_itk(tmp_path / f"v{suffix}", compress=compress)
    data = max(tmp_path.iterdir(), key=lambda p: p.suffix not in (".mhd", ".nhdr"))
    whole = data.read_bytes()
    for length in range(len(whole)):
        data.write_bytes(whole[:length])
        with pytest.raises(SourceError, match=rf"v\{suffix}: "):
            read_volume(path)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_flipped_bit_of_compressed_voxels_never_changes_one(tmp_path: Path, suffix: str) -> None:
    path = write_itk(tmp_path / f"v{suffix}", compress=True)
    whole, right = path.read_bytes(), read_volume(path).voxels
    refused = 0
    for bit in range(8 * (len(whole) - 60), 8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            assert np.array_equal(read_volume(path).voxels, right)
        except SourceError:
            refused += 1
    assert refused > 470


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_claim_beyond_the_file_or_the_limit_is_refused(tmp_path: Path, suffix: str) -> None:
    path = write_itk(tmp_path / f"v{suffix}")
    with pytest.raises(SourceTooLarge, match="need 120 bytes, at most 119"):
        read_volume(path, ReadOptions(max_bytes=119))
    edit(path, "5 4 3", "32767 32767 32767")
    with pytest.raises(SourceError, match=r"the header claims 70362301923326 bytes, .*truncated\?"):
        read_volume(path)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("kind", ["vector", "complex"])
def test_more_than_one_number_a_voxel_is_refused(tmp_path: Path, suffix: str, kind: str) -> None:
    array = np.zeros((3, 4, 5, 3), np.uint8) if kind == "vector" else np.zeros((3, 4, 5), np.complex64)
    image = sitk.GetImageFromArray(array, isVector=kind == "vector")
    sitk.WriteImage(image, str(tmp_path / f"v{suffix}"))
    with pytest.raises(SourceError, match=rf"v\{suffix}: .*(vector|complex) .* not one number each"):
        read_volume(tmp_path / f"v{suffix}")


@pytest.mark.parametrize(
    ("suffix", "line", "said"),
    [
        (".nrrd", "space: left-posterior-superior", "names no anatomical space, so left and right are unknown"),
        (".mha", "TransformMatrix", "TransformMatrix or ElementSpacing is not set"),
        (".mha", "ElementSpacing", "TransformMatrix or ElementSpacing is not set"),
    ],
)
def test_without_a_place_in_the_body_it_must_be_assumed(tmp_path: Path, suffix: str, line: str, said: str) -> None:
    path = write_itk(tmp_path / f"v{suffix}")
    new = "space: 3D-right-handed" if suffix == ".nrrd" else f"My{line}"
    edit(path, line, new)
    with pytest.raises(SourceError, match=said):
        read_volume(path)
    assert only(path, ReadOptions(assume_affine=True)).notes == {"affine": "assumed"}
    part = only(path, ReadOptions(spacing=(1.0, 2.0, 3.0)))
    assert np.array_equal(part.volume.affine, np.diag([1.0, 2.0, 3.0, 1.0]))


@pytest.mark.parametrize("shape", [(1, 5, 4, 3), (5, 4, 3, 6)])
def test_an_axis_that_is_not_of_space_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    is_list = [size in (1, 6) for size in shape]
    axes = np.insert(np.eye(3), is_list.index(True), np.nan, axis=0)
    kinds = ["list" if flag else "domain" for flag in is_list]
    header = {"kinds": kinds, "space": "LPS", "space directions": axes, "space origin": [0, 0, 0]}
    nrrd.write(str(tmp_path / "v.nrrd"), np.ones(shape, np.uint8), header)
    with pytest.raises(SourceError, match="voxels of type vector of 8-bit unsigned integer are not one number each"):
        read_volume(tmp_path / "v.nrrd")


def test_an_nrrd_of_spacings_alone_must_be_assumed(tmp_path: Path) -> None:
    nrrd.write(str(tmp_path / "v.nrrd"), np.ones((5, 4, 3), np.uint8), {"spacings": [1, 2, 3]})
    with pytest.raises(SourceError, match="names no anatomical space"):
        read_volume(tmp_path / "v.nrrd")
    assert only(tmp_path / "v.nrrd", ReadOptions(assume_affine=True)).volume.spacing == (1.0, 2.0, 3.0)


ELSEWHERE, SPREAD = "must lie in the same folder", "is spread over several files"
NAMES = {
    "../v.raw": ELSEWHERE,
    "/etc/passwd": ELSEWHERE,
    "..\\v.raw": ELSEWHERE,
    "a/v.raw": ELSEWHERE,
    "LIST": SPREAD,
    "v%03d.raw 1 3 1": SPREAD,
    "gone.raw": "that it names is not there",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("suffix", "field"), [(".mhd", "ElementDataFile = "), (".nhdr", "data file: ")])
def test_only_one_data_file_in_the_same_folder_is_followed(tmp_path: Path, suffix: str, field: str, name: str) -> None:
    path = edit(write_itk(tmp_path / f"v{suffix}"), f"{field}v.raw", f"{field}{name}")
    with pytest.raises(SourceError, match=rf"v\{suffix}: .*{NAMES[name]}"):
        read_volume(path)


@pytest.mark.parametrize(
    ("suffix", "old", "new", "said"),
    [
        (".nrrd", "encoding: raw", "encoding: bzip2", "encoding bzip2, expected raw or gzip"),
        (".nrrd", "endian: little\n", "", "SimpleITK cannot make sense of the header"),
        (".nrrd", "endian: little", "endian: middle", "SimpleITK cannot make sense of the header"),
        (".nrrd", "space directions", "# directions", "the header has no space directions, so left and right"),
        (".nrrd", "encoding: raw", "encoding: raw\nline skip: 1", "such a line skip or byte skip is not read"),
        (".nrrd", "encoding: raw", 'encoding: raw\nspace units: "um" "um" "um"', "lengths are not in mm"),
        (".nrrd", "NRRD", "NRRX", "not an NRRD file"),
        (".mha", "BinaryData = True", "BinaryData = False", "written as text"),
        (".mha", "ElementType", "DistanceUnits = um\nElementType", "lengths are not in mm"),
        (".mha", "ElementType", "ElementToIntensityFunctionSlope = 2\nElementType", "a scale of intensities is set"),
        (".mha", "ElementType", "HeaderSize = -2\nElementType", "such a HeaderSize is not read"),
        (".mha", "ElementDataFile", "MyDataFile", "not a MetaIO image"),
    ],
)
def test_what_is_not_read_is_refused_by_name(tmp_path: Path, suffix: str, old: str, new: str, said: str) -> None:
    path = edit(write_itk(tmp_path / f"v{suffix}"), old, new)
    with pytest.raises(SourceError, match=rf"v\{suffix}: .*({said})"):
        read_volume(path)


@pytest.mark.parametrize("skip", [7, -1])
@pytest.mark.parametrize(
    ("suffix", "field"), [(".mhd", "HeaderSize = {}\nElementType"), (".nhdr", "byte skip: {}\nencoding")]
)
def test_bytes_before_the_voxels_are_passed_over(tmp_path: Path, suffix: str, field: str, skip: int) -> None:
    path = write_itk(tmp_path / f"v{suffix}")
    right = read_volume(path).voxels
    edit(path, field.split("\n")[1], field.format(skip))
    (tmp_path / "v.raw").write_bytes(b"HEADER!" + (tmp_path / "v.raw").read_bytes())
    assert np.array_equal(read_volume(path).voxels, right)
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T, right)


def test_something_behind_a_zlib_stream_is_refused(tmp_path: Path) -> None:
    path = write_itk(tmp_path / "v.mhd", compress=True)
    data = tmp_path / "v.zraw"
    data.write_bytes(data.read_bytes() + b"x")
    with pytest.raises(SourceError, match="zlib stream is damaged"):
        read_volume(path)


def test_streams_that_hold_more_than_claimed_are_refused(tmp_path: Path) -> None:
    mhd, nhdr = write_itk(tmp_path / "v.mhd", compress=True), write_itk(tmp_path / "w.nhdr", compress=True)
    (tmp_path / "v.zraw").write_bytes(zlib.compress(bytes(9 << 20)))
    next(tmp_path.glob("w.raw*")).write_bytes(gzip.compress(bytes(9 << 20)))
    for path in (mhd, nhdr):
        with pytest.raises(SourceError, match="more than 1048576 bytes follow the 120 that the header claims"):
            read_volume(path)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_text_of_the_header_goes_nowhere(tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_itk(tmp_path / f"v{suffix}")
    edit(
        path,
        "encoding" if suffix == ".nrrd" else "ElementType",
        "# DOE^JOHN\nname:=DOE^JOHN\nencoding"
        if suffix == ".nrrd"
        else "Comment = DOE^JOHN\nName = DOE^JOHN\nElementType",
    )
    (part,) = read_parts(path)
    assert "DOE" not in repr((part, part.volume, vars(part.volume))) + "".join(capfd.readouterr())

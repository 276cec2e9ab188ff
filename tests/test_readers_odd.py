"""THE TABLE: what becomes of every odd file that is not DICOM, with default options.

`CONVERTED` means that voxels and world coordinates are those of an independent reader: nibabel, or SimpleITK for
NRRD. Anything else is what the refusal says after the file's name.
"""

from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from mixio.errors import SourceError
from mixio.readers import read_volume

CONVERTED = ""
FRAMES = "choose with --frames first, mean or each"
UNKNOWN_SIDES = "neither qform nor sform is set, so left and right are unknown"
UNKNOWN_FORMAT = "not a known format; expected one of .nii"
TWO_D = "is 2D, expected three axes"
FIVE_D = "is 5D, expected 3D, or 4D of frames"
RGB, RGBA = (f"voxels of type {kind} are not one number each; split the channels" for kind in ("RGB", "RGBA"))

OUTCOMES = {
    "d2n_rgb.nii.gz": RGBA,
    "lfs_pointer_t2w.mha": "a git-LFS pointer, not the data; fetch it with git lfs pull",
    "made_bad_datatype.nii": "unreadable NIfTI header (data code 1234 not recognized)",
    "made_bad_dim0.nii": "unreadable NIfTI header",
    "made_bitflip_gz.nii.gz": "gzip stream is damaged (CRC check failed",
    "made_constant.nii.gz": CONVERTED,
    "made_empty.nii.gz": "not a NIfTI file (0 bytes of header read)",
    "made_float64.nii.gz": CONVERTED,
    "made_nan_inf.nii.gz": CONVERTED,
    "made_singular_affine.nii": "the affine is singular or not finite; repair the header",
    "made_truncated_data.nii": "the header claims 214216 bytes, the file holds 142810; truncated?",
    "made_truncated_gz.nii.gz": "gzip stream is damaged (Compressed file ended before the end-of-stream marker",
    "nibabel_anatomical.nii": CONVERTED,
    "nibabel_example4d.nii.gz": f"shape (128, 96, 24, 2) is not one 3D volume but 2 frames; {FRAMES}",
    "nibabel_example_nifti2.nii.gz": f"shape (32, 20, 12, 2) is not one 3D volume but 2 frames; {FRAMES}",
    "nibabel_functional.nii": f"shape (17, 21, 3, 20) is not one 3D volume but 20 frames; {FRAMES}",
    "nibabel_minc2_4d.mnc": UNKNOWN_FORMAT,
    "nibabel_minc2_baddim.mnc": UNKNOWN_FORMAT,
    "nibabel_test.mgz": f"shape (3, 4, 5, 2) is not one 3D volume but 2 frames; {FRAMES}",
    "nibabel_tinypet.v": UNKNOWN_FORMAT,
    "nifti-rs_27_float32.nii": CONVERTED,
    "nifti-rs_27_float64.nii": CONVERTED,
    "nifti-rs_27_int16.nii": CONVERTED,
    "nifti-rs_27_int32.nii": CONVERTED,
    "nifti-rs_27_int64.nii": CONVERTED,
    "nifti-rs_27_int8.nii": CONVERTED,
    "nifti-rs_27_uint16.nii": CONVERTED,
    "nifti-rs_27_uint32.nii": CONVERTED,
    "nifti-rs_27_uint64.nii": CONVERTED,
    "nifti-rs_27_uint8.nii": CONVERTED,
    "nifti-rs_complex_complex32.nii": TWO_D,
    "nifti-rs_complex_complex64.nii": TWO_D,
    "nifti-rs_f32.nii.gz": CONVERTED,
    "nifti-rs_fuzz_artifacts_crash-08123ef33416bd6f0c5fa63d44b681b8581d62a0.nii": "unreadable NIfTI header",
    "nifti-rs_fuzz_artifacts_crash-1.nii": "unreadable NIfTI header",
    "nifti-rs_fuzz_artifacts_crash-98aa054390f8d3f932f190dc22ef62c6ff2d6619.nii": "unreadable NIfTI header",
    "nifti-rs_fuzz_artifacts_crash-d03c6346fe83a026738f6b8cd2a9335a3f8cb158.nii": "unreadable NIfTI header",
    "nifti-rs_fuzz_artifacts_crash-ed7d46344d7efb3b9f0c374d66d2e02f66cc447d.nii": "the header says it is half",
    "nifti-rs_minimal.hdr": UNKNOWN_SIDES,
    "nifti-rs_minimal.img": UNKNOWN_SIDES,
    "nifti-rs_minimal2.hdr": "its .img file is not beside it; a pair needs both",
    "nifti-rs_minimal_extended_hdr.nii": TWO_D,
    "nifti-rs_rgb_3D.nii": RGB,
    "nifti-rs_rgb_4D.nii": RGB,
    "nifti-rs_rgba_4D.nii": RGBA,
    "niivue_FLAIR.nrrd": CONVERTED,
    "niivue_minimal.nii.gz": UNKNOWN_SIDES,
    "nrjs_5D_small.nii": FIVE_D,
    "nrjs_5D_zeros.nii.gz": FIVE_D,
    "nrjs_big.nii.gz": CONVERTED,
    "nrjs_little.nii.gz": CONVERTED,
    "nrjs_not-nifti.nii": "not a NIfTI file",
    "nrjs_with_extension.nii.gz": CONVERTED,
    "sct_fmri_4d.nii.gz": f"shape (34, 34, 6, 30) is not one 3D volume but 30 frames; {FRAMES}",
}


def read_independently(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Real voxels (X, Y, Z), and the RAS+ millimeters (8, 3) of the corner voxels in `product` order."""
    if path.suffix == ".nrrd":
        image = sitk.ReadImage(str(path))
        corners = product(*[(0, n - 1) for n in image.GetSize()])
        world = [image.TransformIndexToPhysicalPoint(corner) for corner in corners]
        return sitk.GetArrayFromImage(image).T, np.array(world) * [-1, -1, 1]
    image = nib.squeeze_image(nib.load(path))
    corners = list(product(*[(0, n - 1) for n in image.shape]))
    return image.get_fdata(), nib.affines.apply_affine(image.affine, corners)


@pytest.mark.parametrize("name", sorted(OUTCOMES))
def test_every_odd_file_has_its_outcome(real_volumes: Path, name: str) -> None:
    path = real_volumes / "odd" / name
    if OUTCOMES[name] is not CONVERTED:
        with pytest.raises(SourceError) as caught:
            read_volume(path)
        said = str(caught.value)
        assert OUTCOMES[name] in said
        assert said.startswith(path.stem.removesuffix(".nii"))
        assert "\n" not in said
        return
    volume, (voxels, world) = read_volume(path), read_independently(path)
    assert np.array_equal(volume.real().voxels, voxels.astype(volume.real().voxels.dtype), equal_nan=True)
    corners = list(product(*[(0, n - 1) for n in volume.shape]))
    assert np.allclose(nib.affines.apply_affine(volume.affine, corners), world, atol=1e-4)


def test_the_table_names_every_file_and_no_other(real_volumes: Path) -> None:
    assert {path.name for path in (real_volumes / "odd").iterdir() if path.is_file()} == set(OUTCOMES)

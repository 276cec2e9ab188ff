"""The real DICOM folders at hand: the outcome of each, and voxels where SimpleITK and a published NIfTI have them."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mixio.errors import SourceError
from mixio.preprocess import to_ras
from mixio.readers import read_parts
from mixio.volume import Volume
from tests.dicoms import assert_same_in_world, itk_image

# Folder: shape, unit and notes of the one volume in it, or the words of the refusal.
OUTCOMES: dict[str, tuple[tuple[int, int, int], str | None, set[str]] | str] = {
    "dicom/ibsi_STS_002_PET": ((30, 27, 48), "SUV", {"skipped", "SUV factor"}),
    "dicom/prostatex_0000_adc": ((84, 128, 19), None, set()),
    "odd/d2n_fail_slicecount_001": ((256, 256, 2), None, set()),
    "odd/d2n_fail_sliceorientation_001": "ImageOrientationPatient is mixed, so the slices are not one stack",
    "odd/d2n_rgb": r"IM-0001-0001-0001\.dcm: SamplesPerPixel is not 1 \(color\)",
    "odd/prostatex_0000_missing_slice": (
        r"the gap between 1-07\.dcm and 1-05\.dcm \(slices 13 and 14 of 18\) is 6\.000 mm, usually it is 3\.000 mm"
    ),
}
READ = sorted(name for name, outcome in OUTCOMES.items() if not isinstance(outcome, str))


def test_every_real_folder_has_its_outcome_here(real_volumes: Path) -> None:
    folders = {path.parent for place in ("dicom", "odd") for path in (real_volumes / place).rglob("*.dcm")}
    assert {str(folder.relative_to(real_volumes)) for folder in folders} == set(OUTCOMES)


@pytest.mark.parametrize("name", sorted(OUTCOMES.keys() - READ))
def test_a_folder_that_cannot_be_trusted_is_refused_by_name(real_volumes: Path, name: str) -> None:
    with pytest.raises(SourceError, match=f"^{Path(name).name}: {OUTCOMES[name]}"):
        list(read_parts(real_volumes / name))


@pytest.mark.parametrize("name", READ)
def test_voxels_lie_where_itk_has_them(real_volumes: Path, name: str) -> None:
    shape, unit, notes = OUTCOMES[name]
    (part,) = read_parts(real_volumes / name)
    assert (part.volume.shape, part.volume.unit, set(part.notes)) == (shape, unit, notes)
    assert_same_in_world(part.volume, itk_image(real_volumes / name), rtol=1e-6)


def test_the_pet_is_the_published_suv_image(real_volumes: Path) -> None:
    (part,) = read_parts(real_volumes / "dicom/ibsi_STS_002_PET")
    published = nib.load(real_volumes / "pet/ibsi_STS_002_fdgpet.nii.gz")
    ours = to_ras(part.volume)
    theirs = to_ras(Volume(published.get_fdata().astype(np.float32), published.affine))
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-3)
    np.testing.assert_allclose(ours.voxels, theirs.voxels, atol=2e-4)

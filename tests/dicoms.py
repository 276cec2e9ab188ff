"""Small DICOM files for tests, written by pydicom: classic and enhanced, CT, MR and PET, with any attribute changed."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from mixio.volume import Volume

STRAIGHT = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
CLASSES = {
    "CT": ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1"),
    "MR": ("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"),
    "PT": ("1.2.840.10008.5.1.4.1.1.128", "1.2.840.10008.5.1.4.1.1.130"),
}
SECRET = "Doe^Jane"
Edit = Callable[[Dataset, int], Any]


def random_stored(shape: tuple[int, int, int] = (5, 4, 6), dtype: str = "int16", top: int = 2000) -> np.ndarray:
    """Random stored pixels (slices, rows, columns), seen to differ everywhere it matters."""
    return np.random.default_rng(sum(shape)).integers(0, top, shape).astype(dtype)


def base(stored: np.ndarray, modality: str, *, enhanced: bool = False) -> Dataset:
    """A header for pixels like `stored`, without place and pixels."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = CLASSES[modality][enhanced]
    ds.SOPInstanceUID = generate_uid()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    ds.Modality, ds.PatientName, ds.PatientID, ds.SeriesDescription = modality, SECRET, SECRET, SECRET
    ds.StudyInstanceUID = "1.2.3"
    ds.SeriesInstanceUID = "1.2.3.4"
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.Rows, ds.Columns = stored.shape[-2:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = stored.dtype.itemsize * 8
    ds.HighBit, ds.PixelRepresentation = ds.BitsStored - 1, int(stored.dtype.kind == "i")
    ds.SeriesDate = ds.AcquisitionDate = "20200101"
    ds.SeriesTime = ds.AcquisitionTime = "120000"
    return ds


def place(ds: Dataset, z: int, orientation: list[float], spacing: tuple[float, float, float], origin: Any) -> None:
    """Put slice z where it belongs; `spacing` is that of columns, rows and slices."""
    normal = np.cross(orientation[:3], orientation[3:])
    ds.ImageOrientationPatient = [f"{v:.12g}" for v in orientation]
    ds.ImagePositionPatient = [f"{v:.12g}" for v in np.array(origin) + z * spacing[2] * normal]
    ds.PixelSpacing = [spacing[1], spacing[0]]


def write_series(
    folder: Path,
    stored: np.ndarray,
    *,
    modality: str = "MR",
    orientation: list[float] = STRAIGHT,
    spacing: tuple[float, float, float] = (0.7, 0.9, 2.5),
    edit: Edit = lambda ds, z: None,
) -> Path:
    """One file a slice, under names in another order than the slices; `edit` may change each before it is saved."""
    folder.mkdir(parents=True, exist_ok=True)
    for z, pixels in enumerate(stored):
        ds = base(stored, modality)
        place(ds, z, orientation, spacing, (-10.5, 20.25, -30.125))
        ds.InstanceNumber = len(stored) - z
        ds.PixelData = pixels.tobytes()
        if edit(ds, z) != "skip":
            ds.save_as(folder / f"{(z * 7919 + 13) % 997:03d}.dcm", enforce_file_format=True)
    return folder


def write_enhanced(path: Path, stored: np.ndarray, *, modality: str = "MR", edit: Edit = lambda ds, z: None) -> Path:
    """One multi-frame file; `edit(frame, z)` may change the functional groups of a frame, or for z = -1 the header."""
    ds = base(stored, modality, enhanced=True)
    ds.NumberOfFrames = len(stored)
    shared, frames = Dataset(), []
    for z in range(len(stored)):
        where = Dataset()
        place(where, z, STRAIGHT, (0.7, 0.9, 2.5), (-10.5, 20.25, -30.125))
        frame = Dataset()
        frame.PlanePositionSequence = group(ImagePositionPatient=where.ImagePositionPatient)
        frame.PlaneOrientationSequence = group(ImageOrientationPatient=where.ImageOrientationPatient)
        frame.FrameContentSequence = group()
        shared.PixelMeasuresSequence = group(PixelSpacing=where.PixelSpacing)
        edit(frame, z)
        frames.append(frame)
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = Sequence([shared]), Sequence(frames)
    ds.PixelData = stored.tobytes()
    edit(ds, -1)
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def group(**attributes: Any) -> Sequence:
    """A functional group, or any other sequence of one item."""
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return Sequence([item])


def make_pet(ds: Dataset, z: int) -> None:
    """PET in Bq/ml of a patient of 70 kg, 350 MBq of F-18 given at 11:00, scanned at 12:00."""
    ds.Units, ds.DecayCorrection, ds.CorrectedImage = "BQML", "START", ["ATTN", "DECY", "SCAT"]
    ds.PatientWeight, ds.RescaleIntercept, ds.RescaleSlope = 70, 0, 0.5 + z
    ds.AcquisitionTime = (timedelta(hours=12, minutes=3 * z)).__str__().replace(":", "")
    ds.RadiopharmaceuticalInformationSequence = group(
        RadionuclideTotalDose=350e6, RadionuclideHalfLife=6586.2, RadiopharmaceuticalStartTime="110000"
    )


def itk_image(folder: Path) -> sitk.Image:
    """The series in a folder as SimpleITK (GDCM) reads it."""
    reader = sitk.ImageSeriesReader()
    (series,) = reader.GetGDCMSeriesIDs(str(folder))
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder), series))
    return reader.Execute()


def assert_same_in_world(volume: Volume, image: sitk.Image, *, rtol: float = 0.0) -> None:
    """Every voxel of `volume` lies within 1e-4 mm where ITK has the same value, and there are no others."""
    theirs = np.eye(4)
    theirs[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    theirs[:3, 3] = image.GetOrigin()
    index = np.indices(volume.shape).reshape(3, -1)
    world = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine @ np.vstack([index, np.ones(index.shape[1])])  # LPS
    found = np.linalg.solve(theirs, world)[:3]
    nearest = np.rint(found).astype(int)
    assert np.abs(theirs[:3, :3] @ (found - nearest)).max() < 1e-4
    assert np.prod(volume.shape) == np.prod(image.GetSize())
    values = sitk.GetArrayFromImage(image)[tuple(nearest[::-1])]  # indexed z, y, x
    np.testing.assert_allclose(np.asarray(volume.real().voxels).ravel(), values, rtol=rtol, atol=0)

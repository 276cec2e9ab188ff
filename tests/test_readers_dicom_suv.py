"""PET to SUV: numbers worked out by hand, and a refusal that names what is missing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixio.errors import SourceError
from mixio.readers.dicom import read_dicom
from mixio.readers.dicom_values import moment
from tests.dicoms import group, make_pet, random_stored, write_series

# 70 kg and 350 MBq: 1 Bq/ml is 70000 / 350e6 = 0.0002 SUV at the injection. An hour later exp(-ln 2 · 3600 / 6586.2),
# which is exp(-0.378875) = 0.684632 of the dose is left.
AT_INJECTION = 0.0002
AT_SCAN = 0.0002 / 0.684632


def pet_folder(folder: Path, stored: np.ndarray | None = None, **changes: Any) -> Path:
    """`make_pet` with attributes changed (None: taken out), those of the drug among them."""

    def edit(ds: Any, z: int) -> None:
        make_pet(ds, z)
        drug = ds.RadiopharmaceuticalInformationSequence[0]
        for keyword, value in changes.items():
            where = drug if keyword.startswith("Radio") and "Sequence" not in keyword else ds
            setattr(where, keyword, value)

    return write_series(folder, random_stored() if stored is None else stored, modality="PT", edit=edit)


def factor_of(folder: Path) -> float:
    """What the reader multiplied Bq/ml with; slice z has slope 0.5 + z, and the stored value is 1000."""
    (part,) = read_dicom(folder)
    assert part.volume.unit == "SUV"
    assert part.volume.voxels.dtype == np.float32
    factors = part.volume.voxels / (1000 * (0.5 + np.arange(part.volume.shape[2])))
    np.testing.assert_allclose(factors, factors.flat[0], rtol=1e-6)
    assert float(part.notes["SUV factor"]) == pytest.approx(factors.flat[0], rel=1e-6)
    return float(factors.flat[0])


THOUSAND = np.full((4, 3, 5), 1000, np.int16)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, AT_SCAN),
        ({"DecayCorrection": "ADMIN"}, AT_INJECTION),
        ({"PatientWeight": 35}, AT_SCAN / 2),
        ({"RadionuclideTotalDose": 175e6}, AT_SCAN * 2),
        ({"SeriesTime": "130000"}, AT_SCAN),
        ({"SeriesTime": "114500.00"}, 0.0002 * 2 ** (2700 / 6586.2)),
        ({"RadiopharmaceuticalStartDateTime": "20200101103000.00"}, 0.0002 * 2 ** (5400 / 6586.2)),
        ({"RadiopharmaceuticalStartDateTime": "20200102103000.00"}, AT_SCAN),
        ({"RadiopharmaceuticalStartTime": "233000", "SeriesTime": "003000"}, AT_SCAN),
        ({"Units": "GML", "SUVType": "BW"}, 1.0),
        ({"Units": "GML"}, 1.0),
    ],
)
def test_the_factor_is_the_one_worked_out_by_hand(tmp_path: Path, changes: dict[str, Any], expected: float) -> None:
    assert factor_of(pet_folder(tmp_path / "s", THOUSAND, **changes)) == pytest.approx(expected, rel=1e-5)


def philips(element: int, value: float) -> Any:
    def edit(ds: Any, z: int) -> None:
        make_pet(ds, z)
        ds.Units = "CNTS"
        ds.private_block(0x7053, "Philips PET Private Group", create=True).add_new(element, "DS", value)

    return edit


@pytest.mark.parametrize(("element", "value", "expected"), [(0x00, 0.0003, 0.0003), (0x09, 2.5, 2.5 * AT_SCAN)])
def test_counts_become_suv_by_the_private_factors_of_philips(
    tmp_path: Path, element: int, value: float, expected: float
) -> None:
    folder = write_series(tmp_path / "s", THOUSAND, modality="PT", edit=philips(element, value))
    assert factor_of(folder) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"PatientWeight": None}, "PatientWeight is missing or not above 0"),
        ({"PatientWeight": 0}, "PatientWeight is missing or not above 0"),
        ({"PatientWeight": None, "RadionuclideTotalDose": 0}, "PatientWeight, RadionuclideTotalDose are missing"),
        ({"RadionuclideHalfLife": None}, "RadionuclideHalfLife is missing"),
        ({"RadionuclideTotalDose": 350}, r"RadionuclideTotalDose is 350, too little for Bq \(is it in MBq\?\)"),
        (
            {"RadiopharmaceuticalStartTime": None},
            "StartDateTime is missing and RadiopharmaceuticalStartTime is missing",
        ),
        ({"RadiopharmaceuticalStartTime": "123000"}, "is 12.8 half-lives before the scan, at most 8 are believed"),
        ({"RadiopharmaceuticalInformationSequence": []}, "PatientWeight|RadionuclideTotalDose"),
        ({"RadiopharmaceuticalInformationSequence": [*group(), *group()]}, "lists 2 and does not say which"),
        ({"AcquisitionTime": None}, "AcquisitionTime is missing"),
        ({"DecayCorrection": "NONE"}, "DecayCorrection is neither START nor ADMIN"),
        ({"CorrectedImage": ["DECY"]}, "CorrectedImage lacks ATTN"),
        ({"CorrectedImage": None}, "CorrectedImage lacks ATTN and DECY"),
        ({"Units": "PROPCPS"}, "Units are PROPCPS, expected BQML, GML or CNTS"),
        ({"Units": "DOE JANE"}, "Units are unknown, expected"),
        ({"Units": None}, "Units are missing"),
        ({"Units": "CNTS"}, r"factors \(7053,1000\) and \(7053,1009\) are missing"),
        ({"Units": "GML", "SUVType": "LBM"}, "SUVType is not BW"),
    ],
)
def test_a_pet_that_cannot_be_suv_is_refused_with_what_is_missing(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(SourceError, match=f"^s: .*({reason}).*, so SUV cannot be computed; complete the header"):
        list(read_dicom(pet_folder(tmp_path / "s", **changes)))


def test_a_weight_that_differs_between_slices_is_refused(tmp_path: Path) -> None:
    def edit(ds: Any, z: int) -> None:
        make_pet(ds, z)
        ds.PatientWeight = 70 + z

    with pytest.raises(SourceError, match="PatientWeight, dose or times differ within the PET series"):
        list(read_dicom(write_series(tmp_path / "s", random_stored(), modality="PT", edit=edit)))


def test_times_are_told_to_the_fraction_and_need_no_seconds() -> None:
    assert moment("19700102000001.5") == 86401.5
    assert moment("197001010102") == 3720.0
    assert [moment(text) for text in ("", "1970", "19701332000000", "yesterday")] == [None] * 4

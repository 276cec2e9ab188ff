"""PET to standardized uptake values by body weight (SUVbw), from the series' own weight, dose, half-life and times.

    SUVbw = activity concentration in Bq/ml · weight in g / dose in Bq, decayed to the time the voxels are corrected to

after the vendor-neutral pseudo-code of the Quantitative Imaging Biomarkers Alliance ("SUV calculation", QIBA FDG-PET
wiki), with these rules where that leaves a choice:

- Voxels must be corrected for attenuation and decay (CorrectedImage holds ATTN and DECY), whatever their unit.
- DecayCorrection ADMIN: voxels are corrected to the injection, and the dose is taken as it is. START: to the start of
  the scan, which is SeriesDate and SeriesTime if these are not after the earliest acquisition of any slice; else the
  series was made afterwards, and the earliest acquisition is the start.
- The injection is RadiopharmaceuticalStartDateTime if that lies before the scan by no more than eight half-lives.
  Otherwise (dates shifted by de-identification) it is RadiopharmaceuticalStartTime on the day of the scan, or the day
  before if it would lie after the scan: the scan went past midnight. Nothing left after eight half-lives can be
  measured, so a time further away is a wrong time. All times are local; time zones are not looked at.
- Units GML are SUV already (if SUVType is BW or absent); CNTS need Philips' private factor to SUV (7053,1000), or that
  to Bq/ml (7053,1009).
- The residue in the syringe is not known and not taken off.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mixio.errors import SourceError
from mixio.readers.dicom_file import philips_factor
from mixio.readers.dicom_values import moment, positive

_MOST_HALF_LIVES = 8.0
_LEAST_DOSE = 1e5
_DAY = 86400.0
_TOLD = ("BQML", "GML", "CNTS", "NONE", "CM2", "CM2ML", "PCNT", "CPS", "PROPCNTS", "PROPCPS", "MLMINML", "MLG", "1CM")


@dataclass(frozen=True)
class Pet:
    """What of a PET header bears on SUV; texts are empty and numbers None where they are absent.

    `weight` in kg, `dose` in Bq, `half_life` in s; `drugs` is how many radiopharmaceuticals are listed.
    """

    units: str
    suv_type: str
    corrected: tuple[str, ...]
    decay: str
    weight: float | None
    drugs: int
    dose: float | None
    half_life: float | None
    injected_at: str
    injected: str
    scan: str
    to_suv: float | None
    to_activity: float | None


def pet_of(header: Any) -> Pet:
    """The PET attributes of a header."""
    drugs = header.get("RadiopharmaceuticalInformationSequence") or []
    drug = drugs[0] if drugs else {}
    corrected = header.get("CorrectedImage") or []
    return Pet(
        units=str(header.get("Units") or ""),
        suv_type=str(header.get("SUVType") or ""),
        corrected=(corrected,) if isinstance(corrected, str) else tuple(str(text) for text in corrected),
        decay=str(header.get("DecayCorrection") or ""),
        weight=positive(header.get("PatientWeight")),
        drugs=len(drugs),
        dose=positive(drug.get("RadionuclideTotalDose")),
        half_life=positive(drug.get("RadionuclideHalfLife")),
        injected_at=str(drug.get("RadiopharmaceuticalStartDateTime") or ""),
        injected=str(drug.get("RadiopharmaceuticalStartTime") or ""),
        scan=f"{header.get('SeriesDate') or ''}{header.get('SeriesTime') or ''}",
        to_suv=philips_factor(header, 0x00),
        to_activity=philips_factor(header, 0x09),
    )


def suv_factor(pet: Pet, acquired: Sequence[float]) -> float:
    """What to multiply the rescaled voxels with to get SUVbw; `acquired` is when each slice was, as by `moment`.

    Raises `SourceError` that says which attribute is missing or contradicts.
    """
    absent = sorted({"ATTN", "DECY"} - set(pet.corrected))
    if absent:
        raise _impossible(f"CorrectedImage lacks {' and '.join(absent)}")
    if pet.units == "GML":
        if pet.suv_type not in ("", "BW"):
            raise _impossible("SUVType is not BW but by another measure than body weight")
        return 1.0
    if pet.units == "CNTS" and pet.to_suv is not None:
        return pet.to_suv
    if pet.units == "CNTS" and pet.to_activity is not None:
        return pet.to_activity * _per_activity(pet, acquired)
    if pet.units == "CNTS":
        raise _impossible("Units are CNTS and Philips' private factors (7053,1000) and (7053,1009) are missing")
    if pet.units != "BQML":
        came = "missing" if not pet.units else pet.units if pet.units in _TOLD else "unknown"
        raise _impossible(f"Units are {came}, expected BQML, GML or CNTS")
    return _per_activity(pet, acquired)


def _per_activity(pet: Pet, acquired: Sequence[float]) -> float:
    """SUVbw of 1 Bq/ml."""
    if pet.drugs > 1:
        raise _impossible(f"RadiopharmaceuticalInformationSequence lists {pet.drugs} and does not say which was imaged")
    if pet.decay not in ("ADMIN", "START"):
        raise _impossible("DecayCorrection is neither START nor ADMIN")
    needed = {"PatientWeight": pet.weight, "RadionuclideTotalDose": pet.dose}
    if pet.decay == "START":
        needed["RadionuclideHalfLife"] = pet.half_life
    missing = [name for name, value in needed.items() if value is None]
    if missing:
        raise _impossible(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing or not above 0")
    weight, dose, half_life = pet.weight or 0.0, pet.dose or 0.0, pet.half_life or 1.0
    if dose < _LEAST_DOSE:
        raise _impossible(f"RadionuclideTotalDose is {dose:g}, too little for Bq (is it in MBq?)")
    elapsed = _elapsed(pet, acquired, half_life) if pet.decay == "START" else 0.0
    return 1000.0 * weight / (dose * math.exp2(-elapsed / half_life))


def _elapsed(pet: Pet, acquired: Sequence[float], half_life: float) -> float:
    """Seconds from the injection to the start of the scan."""
    scan = moment(pet.scan)
    if not acquired:
        raise _impossible("AcquisitionTime is missing")
    if scan is None or scan > min(acquired):
        scan = min(acquired)
    longest = _MOST_HALF_LIVES * half_life
    injected = moment(pet.injected_at)
    if injected is not None and 0 <= scan - injected <= longest:
        return scan - injected
    injected = moment(f"19700101{pet.injected}")
    if injected is None:
        wrong = "contradicts the time of the scan" if pet.injected_at else "is missing"
        raise _impossible(f"RadiopharmaceuticalStartDateTime {wrong} and RadiopharmaceuticalStartTime is missing")
    elapsed = (scan - injected) % _DAY
    if elapsed > longest:
        raise _impossible(
            f"RadiopharmaceuticalStartTime is {elapsed / half_life:.1f} half-lives before the scan, at most "
            f"{_MOST_HALF_LIVES:g} are believed"
        )
    return elapsed


def _impossible(why: str) -> SourceError:
    return SourceError(f"{why}, so SUV cannot be computed; complete the header or convert the series to SUV first")

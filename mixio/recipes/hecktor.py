"""HECKTOR: FDG-PET/CT of head and neck cancer, in the releases of the challenges of 2020 to 2026.

Documented by Oreiller et al., Medical Image Analysis 77:102336 (2022), https://hecktor.grand-challenge.org/Data and
https://hecktor25.grand-challenge.org/dataset. ROOT is the folder of one release (patients are named otherwise in
another, so that two together would put a patient on both sides of a split):

```text
hecktor_nii/CHGJ007_ct.nii.gz  CHGJ007_pt.nii.gz  CHGJ007_gtvt.nii.gz               2021; test: hecktor_nii_test/
hecktor_nii/CHGJ007/CHGJ007_ct.nii.gz  CHGJ007_pt.nii.gz  CHGJ007_ct_gtvt.nii.gz    2020
hecktor2022_training/imagesTr/CHUM-001__CT.nii.gz  CHUM-001__PT.nii.gz              2022; test: imagesTs/
hecktor2022_training/labelsTr/CHUM-001.nii.gz                                       the page also writes CHUM_001
hecktor2022_training/hecktor2022_endpoint_training.csv                              PatientID, Relapse, RFS
Task 1/CHUM-001/CHUM-001__CT.nii.gz  CHUM-001__PT.nii.gz  CHUM-001.nii.gz           2025; 2026 without "Task 1"
Task 2/HECKTOR_2025_Training_Task_2.csv
```

- Two rows a patient: `head-neck-ct` in HU and `head-neck-pet`. `unit` of the PET is SUV: the organizers provide it as
  SUV maps, says the data page of 2022 (by MungoMeng/Survival-AdaMSS, issue 3); that of 2025 does not say.
- In 2025 a patient is in several tasks with the same images; the first task counts, which has the label. The planning
  CT and dose of Task 2 (`__CTPlanning`, `__RTDOSE`) are left out.
- `label`: the tumor (1) and nodes (2), drawn on the CT's grid, which is not the PET's.
- `target`: relapse, or progression in 2021, as 0 or 1, from the CSV if it is there.
- `split`: `test` for the published test part, whose labels are withheld; else none.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from mixio.recipes.layout import Row, beside, number, read_csv, row, stem, visible, volumes

EXPECTED = "PATIENT__CT.nii.gz and PATIENT__PT.nii.gz (2020 and 2021: PATIENT_ct.nii.gz), at any depth"
FLAGS = ""

_NAME = re.compile(r"(?P<patient>.+)__(?P<kind>CT|PT)|(?P<old>[A-Z]+\d+)_(?P<old_kind>ct|pt)")
_OUTCOMES = ("Relapse", "Progression")


def rows(root: Path) -> Iterator[Row]:
    """A row per patient and modality."""
    outcomes = _outcomes(root)
    seen = set()
    for path in volumes(root, "**/*"):
        name = _NAME.fullmatch(stem(path))
        if name is None:
            continue
        patient = name["patient"] or name["old"]
        is_ct = (name["kind"] or name["old_kind"]).upper() == "CT"
        if (patient, is_ct) in seen:
            continue
        seen.add((patient, is_ct))
        yield row(
            path,
            "head-neck-ct" if is_ct else "head-neck-pet",
            modality="CT" if is_ct else "PET",
            subject=patient,
            split="test" if _is_test(path, root) else None,
            target=outcomes.get(patient),
            unit="HU" if is_ct else "SUV",
            label=_label(path, patient),
        )


def _is_test(path: Path, root: Path) -> bool:
    folders = [root.name, *path.relative_to(root).parts[:-1]]
    return any(name == "imagesTs" or name.lower().endswith(("_test", "_testing")) for name in folders)


def _label(path: Path, patient: str) -> Path | None:
    """The label map of a patient in any of the releases."""
    separate = path.parent.parent / "labelsTr"
    places = [(separate, patient), (separate, patient.replace("-", "_"))] if path.parent.name == "imagesTr" else []
    places += [(path.parent, patient), (path.parent, f"{patient}_gtvt"), (path.parent, f"{patient}_ct_gtvt")]
    return next((found for folder, name in places if (found := beside(folder, name))), None)


def _outcomes(root: Path) -> dict[str, str]:
    """By patient, whether the disease came back."""
    outcomes: dict[str, str] = {}
    for table in visible(root, "**/*.csv"):
        if table.name.lower().startswith("hecktor"):
            for line in read_csv(table):
                outcome = next((number(line[name]) for name in _OUTCOMES if name in line), None)
                if outcome is not None and "PatientID" in line:
                    outcomes.setdefault(line["PatientID"], outcome)
    return outcomes

"""BraTS-Africa: brain MRI of glioma and other neoplasms, four sequences of a patient on one grid.

Documented by Adewole et al., arXiv 2305.19369, and https://doi.org/10.7937/v8h6-8x67 (The Cancer Imaging Archive).
There have been a challenge's release (Synapse) and an archive's (TCIA); ROOT is a folder of cases, or one above:

```text
BraTS-Africa/                                              TCIA
  95_Glioma/BraTS-SSA-00002-000/BraTS-SSA-00002-000-t1n.nii.gz   also -t1c, -t2w, -t2f and -seg
  51_OtherNeoplasms/BraTS-SSA-00009-000/...
ASNR-MICCAI-BraTS2023-SSA-Challenge-TrainingData_V2/BraTS-SSA-00002-000/...      Synapse
BraTS2024-SSA-Challenge-ValidationData/BraTS-SSA-00126-000/...                   without -seg
```

- `domain`: t1n `brain-t1`, t1c `brain-t1c`, t2w `brain-t2`, t2f `brain-flair`. The brains are skull-stripped and in
  the space of the SRI24 atlas, 1 mm.
- `label`: the `-seg` map, for all four. `subject`: BraTS-SSA-NNNNN, without the time point.
- `target`: `glioma` or `other` where the folder says it (TCIA).
- `split`: `val` in the challenge's ValidationData, and `train` in its TrainingData if both are there; else none.
"""

from collections.abc import Iterator
from pathlib import Path

from mixio.recipes.layout import Row, beside, brain_domain, row, stem, volumes

EXPECTED = "BraTS-SSA-NNNNN-000/BraTS-SSA-NNNNN-000-t1n.nii.gz, at any depth"
FLAGS = ""

_SEQUENCES = ("t1n", "t1c", "t2w", "t2f")


def rows(root: Path) -> Iterator[Row]:
    """A row per patient and sequence."""
    found = volumes(root, "**/BraTS-SSA-*")
    has_validation = any(_part(path, root) == "val" for path in found)
    for path in found:
        case, _, sequence = stem(path).rpartition("-")
        if sequence in _SEQUENCES:
            part = _part(path, root)
            yield row(
                path,
                brain_domain(sequence),
                modality="MR",
                subject=case.rpartition("-")[0],
                split=part if has_validation else None,
                target=_kind(path.parent.parent.name),
                label=beside(path.parent, f"{case}-seg"),
            )


def _part(path: Path, root: Path) -> str | None:
    """The part of the challenge's release that the file lies in."""
    names = " ".join([root.name, *path.relative_to(root).parts[:-1]])
    return "val" if "ValidationData" in names else "train" if "TrainingData" in names else None


def _kind(folder: str) -> str | None:
    return "glioma" if folder.endswith("_Glioma") else "other" if folder.endswith("_OtherNeoplasms") else None

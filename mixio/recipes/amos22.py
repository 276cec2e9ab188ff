"""AMOS 2022: abdominal CT and MRI with 15 organs.

Documented by Ji et al., arXiv 2206.08023, and the `readme.md` in `amos22.zip` (Zenodo 7155725 and 7262581; the latter
is the larger). ROOT is `amos22`, or the folder that holds it:

```text
amos22/
  dataset.json  readme.md
  imagesTr/amos_0001.nii.gz   labelsTr/amos_0001.nii.gz
  imagesVa/amos_0008.nii.gz   labelsVa/amos_0008.nii.gz
  imagesTs/amos_0561.nii.gz   labelsTs is empty: the labels are not public
amos_unlabeled_ct_5000_5399/amos_5000.nii.gz                    from amos22_unlabeled_ct_5000_5399.zip, and so on
```

- `modality` and `domain` are by number: up to 500 CT (`abdomen-ct`), 501 to 600 MRI (`abdomen-mri`). The readme says
  "less than 500", but there are 500 CT, and amos_0500 is one. The unlabeled are what their folder says.
- `unit`: HU for CT. `label`: where there is one. `subject`: the file's name; a case is a patient.
- `split`: `train`, `val` and `test` as published; the unlabeled have none.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from mixio.recipes.layout import Row, beside, row, stem, visible, volumes

EXPECTED = "imagesTr/amos_NNNN.nii.gz, as in amos22.zip"
FLAGS = ""

_PARTS = {"Tr": "train", "Va": "val", "Ts": "test"}
_LAST_CT = 500


def rows(root: Path) -> Iterator[Row]:
    """A row per scan, the published parts first."""
    base = root if (root / "imagesTr").is_dir() else root / "amos22"
    for part, split in _PARTS.items():
        for path in volumes(base / f"images{part}", "amos_*"):
            number = re.match(r"amos_(\d+)", path.name)
            is_ct = number is not None and int(number[1]) <= _LAST_CT
            yield _row(path, is_ct=is_ct, split=split, label=beside(base / f"labels{part}", stem(path)))
    for folder in visible(root, "*unlabeled*"):
        for path in volumes(folder, "**/amos_*"):
            yield _row(path, is_ct="_ct" in folder.name, split=None, label=None)


def _row(path: Path, *, is_ct: bool, split: str | None, label: Path | None) -> Row:
    return row(
        path,
        "abdomen-ct" if is_ct else "abdomen-mri",
        modality="CT" if is_ct else "MR",
        subject=stem(path),
        split=split,
        unit="HU" if is_ct else None,
        label=label,
    )

"""BHSD: head CT with five kinds of hemorrhage, 192 volumes with masks and 1980 without.

Documented by Wu et al., arXiv 2308.11298, and https://huggingface.co/datasets/Wendy-Fly/BHSD (before: WuBiao/BHSD).
ROOT holds the two unpacked archives, or is one of them:

```text
label_192/images/ID_b1d5d5e8_ID_4cfa36b63f.nii.gz
label_192/ground truths/ID_b1d5d5e8_ID_4cfa36b63f.nii.gz
unlabel_1980/anybleed/ID_00526c11_ID_d6296de728.nii.gz           also nobleed/; first published as unlabel_2000
```

- `domain` is `head-ct`, `unit` HU. `label`: the mask in `ground truths`.
- `subject`: the first of the two identifiers. They are the patient and the study in the RSNA 2019 hemorrhage
  collection that the scans come from, so that two studies of a patient stay together.
- `target`: `anybleed` or `nobleed` for the volumes without masks, as their folder says.
- `split`: none is published. The 50 volumes of `FirstStage_test.zip` belong to a challenge and are left out.
- The authors note that the archive's files "need to be suffixed nii.gz"; files without a suffix are not found.
"""

from collections.abc import Iterator
from pathlib import Path

from mixio.recipes.layout import Row, beside, row, stem, visible, volumes

EXPECTED = "label_192/images/ID_*.nii.gz or unlabel_1980/**/ID_*.nii.gz (rename files without a suffix to *.nii.gz)"
FLAGS = ""


def rows(root: Path) -> Iterator[Row]:
    """A row per scan, those with masks first."""
    for images in [root / "images", *visible(root, "label_*/images")]:
        for path in volumes(images, "ID_*"):
            yield _row(path, beside(images.parent / "ground truths", stem(path)))
    for folder in [root] if root.name.startswith("unlabel_") else visible(root, "unlabel_*"):
        for path in volumes(folder, "**/ID_*"):
            bleeds = path.parent.name if path.parent.name in ("anybleed", "nobleed") else None
            yield _row(path, None, target=bleeds)


def _row(path: Path, label: Path | None, target: str | None = None) -> Row:
    patient = "_".join(stem(path).split("_")[:2])
    return row(path, "head-ct", modality="CT", subject=patient, unit="HU", label=label, target=target)

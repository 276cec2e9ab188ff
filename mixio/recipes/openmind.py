"""OpenMind: 114,000 MRI of head and neck from 800 OpenNeuro data sets, with masks.

Documented by Wald et al., arXiv 2412.17041, https://huggingface.co/datasets/AnonRes/OpenMind and
`dataset_conversion/Dataset001_OpenMind.py` in MIC-DKFZ/nnssl. ROOT is the download or a part of it, with the
metadata or without:

```text
openneuro_metadata.csv       image_path, modality, anat_mask_path, anon_mask_path, ...; paths relative to OpenMind/
OpenMind/ds001454/sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz
OpenMind/ds001454/sub-02/ses-1/anat/sub-02_ses-1_T1w__Data/fb_mask.nii.gz       where there is anatomy
OpenMind/ds001454/sub-02/ses-1/anat/sub-02_ses-1_T1w__Data/deface_mask.nii.gz   what was removed to anonymize
OpenMind/ds000030/sub-10159/dwi/sub-10159_dwi__Data/FA.nii.gz                   derived from diffusion MRI
```

- What is there is listed, so that a part of the terabyte can be downloaded. The modality is the metadata's, else the
  file's: T1w `brain-t1`, T2w `brain-t2`, FLAIR `brain-flair`, FA `brain-fa`, and so on; PET is PET.
- `label:anatomy` and `label:anonymized`: the masks that the metadata names, else the two above (or, after the
  metadata's columns, `anat_mask` and `anon_mask`).
- `subject`: data set and subject, for `sub-01` is another one in each. `split` and `target`: none.
"""

from collections.abc import Iterator
from pathlib import Path

from mixio.recipes.layout import Row, brain_domain, read_csv, row, stem, volumes

EXPECTED = "OpenMind/dsNNNNNN/sub-LABEL/.../*.nii.gz"
FLAGS = ""

_METADATA = "openneuro_metadata.csv"
_ANATOMY = ("anat_mask", "fb_mask")
_ANONYMIZED = ("anon_mask", "deface_mask")


def rows(root: Path) -> Iterator[Row]:
    """A row per image that is there."""
    base = root / "OpenMind" if (root / "OpenMind").is_dir() else root
    known = _metadata(root, base)
    for path in volumes(base, "ds*/sub-*/**/*"):
        if stem(path) in _ANATOMY + _ANONYMIZED:
            continue
        place = path.relative_to(base)
        facts = known.get(place.as_posix(), {})
        modality = facts.get("modality") or stem(path).rpartition("_")[2]
        yield row(
            path,
            brain_domain(modality),
            modality="PET" if modality.lower() == "pet" else "MR",
            subject="_".join(place.parts[:2]),
            label__anatomy=_mask(path, base, facts.get("anat_mask_path"), _ANATOMY),
            label__anonymized=_mask(path, base, facts.get("anon_mask_path"), _ANONYMIZED),
        )


def _metadata(root: Path, base: Path) -> dict[str, dict[str, str]]:
    """The lines of the metadata by the image's place in `base`; none without the file."""
    table = next((p for p in (root / _METADATA, base / _METADATA, base.parent / _METADATA) if p.is_file()), None)
    lines = read_csv(table, "image_path", "modality") if table else []
    return {line["image_path"].removeprefix("OpenMind/"): line for line in lines}


def _mask(image: Path, base: Path, place: str | None, names: tuple[str, ...]) -> Path | None:
    """A mask of the image: where the metadata says, else by its name in the folder that belongs to the image."""
    if place:
        path = base / place.removeprefix("OpenMind/")
        return path if path.is_file() else None
    folder = image.parent if image.parent.name.endswith("__Data") else image.parent / f"{stem(image)}__Data"
    return next((p for p in (folder / f"{name}.nii.gz" for name in names) if p.is_file()), None)

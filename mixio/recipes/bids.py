"""BIDS: any data set in the Brain Imaging Data Structure; its structural MRI and its PET.

Documented at https://bids-specification.readthedocs.io (Gorgolewski et al., Scientific Data 3:160044, 2016). ROOT is
the data set:

```text
dataset_description.json
sub-01/anat/sub-01_T1w.nii.gz
sub-01/ses-1/anat/sub-01_ses-1_acq-hires_run-2_FLAIR.nii.gz        entities, then the suffix
sub-01/ses-1/anat/sub-01_ses-1_ce-gadolinium_T1w.nii.gz
sub-01/ses-1/pet/sub-01_ses-1_pet.nii.gz, .json
derivatives/PIPELINE/sub-01/anat/sub-01_desc-aseg_dseg.nii.gz      and label-lesion_mask, and so on
```

- `domain` is by suffix: T1w `brain-t1` (with a contrast agent `brain-t1c`), T2w `brain-t2`, FLAIR `brain-flair`, PDw
  `brain-pd`, and so on. A data set of another part of the body needs its domains renamed in the table.
- Left out: func, dwi, perf and fmap, phase and complex parts, and files that are read in groups (MP2RAGE, VFA, ...).
- `label:PIPELINE-NAME`: the `_dseg` and `_mask` files of the same session and entities in `derivatives` (the first
  where several are of one name), unless they are in the space of a template; where several images share the entities,
  only if `space-T1w` or another says whose.
- `subject`: `sub-01`; sessions of a subject stay together. `unit`: that of a PET's sidecar. A dynamic PET is 4D and
  needs `--frames`.
- `target` is empty: which column of `participants.tsv` is a target, only you can say. `split`: BIDS has none.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from mixio.errors import InvalidArgument
from mixio.recipes.layout import Row, brain_domain, row, stem, visible, volumes

EXPECTED = "sub-LABEL/[ses-LABEL/]anat/sub-LABEL_..._T1w.nii.gz"
FLAGS = ""

_ANATOMICAL = set(
    "T1w T2w PDw T2starw FLAIR inplaneT1 inplaneT2 angio UNIT1 T1map T2map T2starmap T2star FLASH PD".split()
)
_COMPLEX_PARTS = ("phase", "real", "imag")
_OWN_SPACES = ("orig", "individual", "scanner")
_ADDED_BY_PIPELINES = {"space", "res", "den", "label", "desc", "seg"}


def rows(root: Path) -> Iterator[Row]:
    """A row per structural image and PET."""
    labels = _derived(root)
    for session in [*visible(root, "sub-*"), *visible(root, "sub-*/ses-*")]:
        subject = session.relative_to(root).parts[0]
        images = [path for path in volumes(session / "anat") if _is_anatomical(path)]
        shared = [_entities(path) for path in images]
        for path in images:
            entities, suffix = _entities(path), _suffix(path)
            contrast = "" if not _entity(path, "ce") else "c" if suffix == "T1w" else "-ce"
            yield row(
                path,
                brain_domain(suffix) + contrast,
                modality="MR",
                subject=subject,
                **_labels(path, labels.get(subject, []), is_alone=shared.count(entities) == 1),
            )
        for path in volumes(session / "pet", "*_pet.*"):
            yield row(path, "brain-pet", modality="PET", subject=subject, unit=_unit(path))


def _is_anatomical(path: Path) -> bool:
    return _suffix(path) in _ANATOMICAL and _entity(path, "part") not in _COMPLEX_PARTS


def _suffix(path: Path) -> str:
    return stem(path).rpartition("_")[2]


def _entities(path: Path) -> str:
    return stem(path).rpartition("_")[0]


def _entity(path: Path, name: str) -> str | None:
    pairs = dict(pair.split("-", 1) for pair in _entities(path).split("_") if "-" in pair)
    return pairs.get(name)


def _derived(root: Path) -> dict[str, list[tuple[str, Path]]]:
    """Pipeline and path of every label map among the derivatives, by subject."""
    found: dict[str, list[tuple[str, Path]]] = {}
    for path in volumes(root / "derivatives", "*/sub-*/**/*"):
        if _suffix(path) in ("dseg", "mask"):
            pipeline, subject = path.relative_to(root / "derivatives").parts[:2]
            found.setdefault(subject, []).append((pipeline, path))
    return found


def _labels(image: Path, derived: list[tuple[str, Path]], *, is_alone: bool) -> dict[str, Path]:
    """The label maps of an image, by the name of their column."""
    found: dict[str, Path] = {}
    for pipeline, path in derived:
        space = _entity(path, "space")
        is_in_its_space = space == _suffix(image) or (is_alone and (space is None or space in _OWN_SPACES))
        if is_in_its_space and _is_derived_from(path, image):
            kind = _entity(path, "label") or _entity(path, "desc") or _suffix(path)
            found.setdefault("label__" + re.sub("[^A-Za-z0-9._-]", "-", f"{pipeline}-{kind}"), path)
    return found


def _is_derived_from(path: Path, image: Path) -> bool:
    """Whether the derivative's name is the image's entities and then only such as pipelines add."""
    own, all_of_it = f"{_entities(image)}_", f"{_entities(path)}_"
    added = {pair.partition("-")[0] for pair in all_of_it.removeprefix(own).split("_") if pair}
    return all_of_it.startswith(own) and added <= _ADDED_BY_PIPELINES


def _unit(path: Path) -> str | None:
    sidecar = path.with_name(f"{stem(path)}.json")
    if not sidecar.is_file():
        return None
    try:
        unit = json.loads(sidecar.read_text()).get("Units")
    except (ValueError, AttributeError) as error:
        raise InvalidArgument(f"{sidecar}: expected a JSON object with Units ({error}); repair it") from error
    return str(unit) if unit else None

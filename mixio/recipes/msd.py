"""Medical Segmentation Decathlon: ten tasks of CT and MRI, some with several sequences in one file.

Documented by Antonelli et al., Nature Communications 13:4128 (2022), http://medicaldecathlon.com, and each task's
`dataset.json`. ROOT is one task, or a folder of tasks:

```text
Task01_BrainTumour/
  dataset.json                       "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
  imagesTr/BRATS_001.nii.gz          (X, Y, Z, 4) where there are four modalities, else (X, Y, Z)
  labelsTr/BRATS_001.nii.gz          (X, Y, Z)
  imagesTs/BRATS_485.nii.gz          their labels are not public
```

- A file of several sequences (Task01, Task05) gives a row each; `item` is the frame.
- `domain`: the task's region, with the sequence or `ct`: `brain-flair`, `prostate-adc`, `abdomen-ct`. The hippocampi
  (Task04) are crops of about 35 x 51 x 35 voxels and a domain of their own. A task that is not one of the ten is
  named by its folder.
- `unit`: HU for CT. `label`: the map in `labelsTr`. `subject`: the file's name; no task says which of its scans, or of
  another task's, are of one patient.
- `split`: `test` for `imagesTs`. `imagesTr` has none, so that the converter holds out subjects of its own.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from mixio.errors import InvalidArgument
from mixio.recipes.layout import Row, beside, brain_domain, row, stem, visible, volumes

EXPECTED = "TaskNN_NAME/imagesTr/*.nii.gz with its dataset.json, or a folder of such tasks"
FLAGS = ""

_REGIONS = {
    "01": "brain",
    "02": "heart",
    "03": "abdomen",
    "04": "hippocampus",
    "05": "prostate",
    "06": "chest",
    "07": "abdomen",
    "08": "abdomen",
    "09": "abdomen",
    "10": "abdomen",
}


def rows(root: Path) -> Iterator[Row]:
    """A row per volume and sequence."""
    tasks = [root] if (root / "imagesTr").is_dir() else [p.parent for p in visible(root, "*/imagesTr")]
    for task in tasks:
        sequences = _sequences(task / "dataset.json")
        for part, split in (("imagesTr", None), ("imagesTs", "test")):
            for path in volumes(task / part):
                label = beside(task / "labelsTr", stem(path)) if split is None else None
                for item, sequence in sequences:
                    is_ct = sequence == "CT"
                    yield row(
                        path,
                        _domain(task.name, sequence),
                        modality="CT" if is_ct else "MR",
                        subject=stem(path),
                        split=split,
                        unit="HU" if is_ct else None,
                        item=item if len(sequences) > 1 else None,
                        label=label,
                    )


def _sequences(description: Path) -> list[tuple[str, str]]:
    """Frame number and sequence, in order of the frames."""
    if not description.is_file():
        raise InvalidArgument(
            f"{description}: no such file; it says which sequences the images hold, fetch the task again"
        )
    try:
        modality = json.loads(description.read_text())["modality"]
        return sorted(((str(int(n)), str(name)) for n, name in modality.items()), key=lambda pair: int(pair[0]))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise InvalidArgument(f'{description}: expected {{"modality": {{"0": NAME, ...}}}}, got none') from error


def _domain(task: str, sequence: str) -> str:
    number = re.match(r"Task(\d\d)_", task)
    region = _REGIONS.get(number[1] if number else "", "-".join(re.findall("[a-z0-9]+", task.lower())))
    if sequence in ("CT", "MRI"):
        return f"{region}-{sequence.lower()}"
    return brain_domain(sequence).replace("brain", region, 1)

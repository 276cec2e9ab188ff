"""MedMNIST3D: six classification sets of small volumes, each an `.npz` of its own.

Documented by Yang et al., Scientific Data 10:41 (2023), https://medmnist.com and `medmnist/info.py`. ROOT is the
folder of the files:

```text
organmnist3d.npz  nodulemnist3d.npz  adrenalmnist3d.npz  fracturemnist3d.npz  vesselmnist3d.npz  synapsemnist3d.npz
organmnist3d_64.npz  ...                                 the larger of the two is taken
  train_images (N, 28, 28, 28) or (N, 64, 64, 64) uint8, train_labels (N, 1) uint8; val_ and test_ likewise
```

- One row a volume; `item` is `train_images/12`. `target`: the class number. `split`: as published.
- `domain`: of its own for each set, since these are crops of one thing, scaled to 8 bits: `organ-crop-ct`,
  `nodule-crop-ct`, `fracture-crop-ct`, and without a modality `adrenal-shape` and `vessel-shape` (masks, not images)
  and `synapse-em` (electron microscopy). No `unit`: the CT are gray values.
- `spacing`: nodules were cropped at 1 mm (the paper does not say it of the 64s); adrenals and fractures are 64 mm wide
  and synapses 1024 nm. Organs and vessels were scaled by an amount that is not published, and are given 1 mm. The
  orientation is not published either; the axes are taken as they come.
- `subject`: a volume's own. Which are of one patient is not published; the published splits are by patient where the
  paper says so (organs, adrenals), and all are explicit.
"""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixio.errors import InvalidArgument
from mixio.recipes.layout import Row, row

EXPECTED = "organmnist3d.npz, nodulemnist3d.npz, or another of the six"
FLAGS = ""

_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class _Kind:
    """What is known of a set: its domain, modality and width in mm, or the spacing if that is what is known."""

    domain: str
    modality: str | None = None
    width: float | None = None


_KINDS = {
    "organ": _Kind("organ-crop-ct", "CT"),
    "nodule": _Kind("nodule-crop-ct", "CT"),
    "adrenal": _Kind("adrenal-shape", width=64.0),
    "fracture": _Kind("fracture-crop-ct", "CT", width=64.0),
    "vessel": _Kind("vessel-shape"),
    "synapse": _Kind("synapse-em", width=1.024e-3),
}


def rows(root: Path) -> Iterator[Row]:
    """A row per volume, set by set, each in order of its splits and numbers."""
    for name, kind in _KINDS.items():
        files = (root / f"{name}mnist3d{size}.npz" for size in ("_64", ""))
        path = next((p for p in files if p.is_file()), None)
        if path:
            yield from _set_rows(path, f"{name}mnist3d", kind)


def _set_rows(path: Path, name: str, kind: _Kind) -> Iterator[Row]:
    for split in _SPLITS:
        labels, edge = _contents(path, split)
        spacing = f"{kind.width / edge if kind.width else 1.0:.6g}"
        for index, target in enumerate(labels):
            yield row(
                path,
                kind.domain,
                modality=kind.modality,
                subject=f"{name}-{split}-{index:04d}",
                split=split,
                target=str(target),
                item=f"{split}_images/{index}",
                spacing="x".join([spacing] * 3),
            )


def _contents(path: Path, split: str) -> tuple[list[int], int]:
    """The class of every volume of a split, and the volumes' edge in voxels; the volumes are not read."""
    try:
        with np.load(path) as archive:
            labels = archive[f"{split}_labels"]
        with zipfile.ZipFile(path) as members, members.open(f"{split}_images.npy") as file:
            np.lib.format.read_magic(file)
            shape = np.lib.format.read_array_header_1_0(file)[0]
    except (KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidArgument(f"{path}: not a MedMNIST3D archive ({error}); download it again") from error
    if labels.size != shape[0] or len(shape) != 4:
        raise InvalidArgument(
            f"{path}: expected {split}_images (N, X, Y, Z) and N {split}_labels, got {shape} and {labels.size}"
        )
    return [int(label) for label in labels.reshape(-1)], int(shape[1])

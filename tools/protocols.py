"""The six domains of the synthetic corpus: which body is scanned how often, on which grids, stored as what.

Sizes are unequal on purpose, fields of view and spacings those of coarse clinical scans. The subjects of a body are
numbered, and domains whose ranges overlap scan some of the same people.
"""

from dataclasses import dataclass

from tools.anatomy import Point
from tools.scanners import Scanner, ct, pet, t1, t2


@dataclass(frozen=True)
class Domain:
    """One domain: what is scanned and how. `field` in mm around `center`; `spacing` ranges per axis in mm."""

    name: str
    modality: str
    unit: str
    body: str
    scanner: Scanner
    count: int
    first_subject: int
    center: Point
    field: Point
    spacing: tuple[tuple[float, float], tuple[float, float]]  # in plane, between slices
    orientations: tuple[str, ...]
    storage: tuple[str, ...]
    labels: tuple[str, ...] = ()
    labelled: int = 0


DOMAINS = (
    Domain(
        "abdomen-ct",
        "CT",
        "HU",
        "torso",
        ct,
        count=24,
        first_subject=1,
        center=(0, -10, 0),
        field=(266, 214, 204),
        spacing=((2.8, 3.0), (2.5, 3.0)),
        orientations=("LPS", "LAS", "RAS", "LPS"),
        storage=("ct-offset", "ct-plain"),
        labels=("liver", "spleen", "cortex", "medulla", "bone", "lesion"),
        labelled=8,
    ),
    Domain(
        "head-neck-ct",
        "CT",
        "HU",
        "head-neck",
        ct,
        count=12,
        first_subject=1,
        center=(0, -8, -78),
        field=(200, 204, 222),
        spacing=((2.2, 2.5), (2.5, 3.0)),
        orientations=("LPS", "LAS", "RAS"),
        storage=("ct-plain", "ct-offset"),
    ),
    Domain(
        "abdomen-mri",
        "MR",
        "",
        "torso",
        t1,
        count=10,
        first_subject=21,
        center=(0, -2, 4),
        field=(266, 200, 200),
        spacing=((2.8, 3.0), (2.8, 3.2)),
        orientations=("RAS", "LPS", "LIA"),
        storage=("uint16", "float32", "int16"),
    ),
    Domain(
        "brain-t1",
        "MR",
        "",
        "head",
        t1,
        count=16,
        first_subject=1,
        center=(0, 2, 0),
        field=(142, 178, 134),
        spacing=((1.5, 1.7), (1.6, 1.8)),
        orientations=("RAS", "PSR", "LAS", "ASR"),
        storage=("int16", "uint16", "int16", "float32", "int16"),
    ),
    Domain(
        "brain-t2",
        "MR",
        "",
        "head",
        t2,
        count=8,
        first_subject=13,
        center=(0, 2, 4),
        field=(142, 178, 134),
        spacing=((1.5, 1.8), (1.8, 2.4)),
        orientations=("LAS", "RAS", "ASR"),
        storage=("uint16", "int16"),
    ),
    Domain(
        "head-neck-pet",
        "PET",
        "SUV",
        "head-neck",
        pet,
        count=6,
        first_subject=9,
        center=(0, -8, -78),
        field=(176, 200, 216),
        spacing=((4.0, 4.0), (4.0, 4.0)),
        orientations=("LAS", "RAS"),
        storage=("float32", "suv-scaled"),
        labels=("lesion",),
        labelled=6,
    ),
)

"""Write a small synthetic corpus of six domains, as messy as a real one.

    python -m tools.phantoms corpus --seed 0

NIfTI files of mixed sizes, spacings, orientations and dtypes in OUT/<domain>/, label maps beside some of
them, and OUT/sources.csv to convert from. Domains share bodies, so that training on one helps another:
abdomen CT and MRI scan the same kind of torso, T1 and T2 the same kind of head, head-and-neck CT and PET
the same neck; a few subjects are scanned twice. Every byte is a function of the seed. Limits: shapes and
noise, not patients; grids of up to about 95 x 118 x 85, and `--scale` below 1 coarsens the voxels, at the
same field of view.
"""

import csv
import gzip
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import click
import nibabel
import numpy as np
from numpy.typing import NDArray

from mixio.errors import InvalidArgument
from tools.anatomy import INDEX, Array, Canvas, grid_of
from tools.bodies import BODIES
from tools.command import command
from tools.protocols import DOMAINS, Domain
from tools.scanners import Labels

COLUMNS = ("path", "domain", "modality", "subject", "label", "unit")


@dataclass(frozen=True)
class Scan:
    """One file to write: the `index`-th of its domain."""

    domain: Domain
    index: int
    seed: int
    scale: float

    @property
    def subject(self) -> str:
        """Who was scanned; the same name in two domains is the same body."""
        return f"{self.domain.body}-{self.domain.first_subject + self.index:03d}"

    @property
    def path(self) -> str:
        """Where it goes, relative to the corpus; one file in eight is not compressed."""
        suffix = ".nii" if self.index % 8 == 2 else ".nii.gz"
        return f"{self.domain.name}/{self.domain.name}-{self.index:03d}{suffix}"

    @property
    def label_path(self) -> str:
        """Where its label map goes, or nothing."""
        labelled = self.index < self.domain.labelled
        return f"{self.domain.name}/labels/{self.domain.name}-{self.index:03d}.nii.gz" if labelled else ""

    def row(self) -> dict[str, str]:
        """Its line of sources.csv."""
        return {
            "path": self.path,
            "domain": self.domain.name,
            "modality": self.domain.modality,
            "subject": self.subject,
            "label": self.label_path,
            "unit": self.domain.unit,
        }

    def generator(self, purpose: str, number: int) -> np.random.Generator:
        """Random numbers for one purpose, independent of every other."""
        return np.random.default_rng([self.seed, crc32(purpose.encode()), number])


def geometry(scan: Scan) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    """Shape and affine of a scan: its orientation code, spacing, field of view; every sixth is oblique."""
    domain, rng = scan.domain, scan.generator(f"geometry {scan.domain.name}", scan.index)
    plane, slices = (rng.uniform(*limits) / scan.scale for limits in domain.spacing)
    spacing = np.array([plane, plane, slices])
    size = np.maximum(np.rint(np.array(domain.field) * rng.uniform(0.96, 1.0, 3) / spacing), 8)
    code = domain.orientations[scan.index % len(domain.orientations)]
    axes = nibabel.orientations.axcodes2ornt(code)  # (3, 2): world axis, direction
    affine, order = np.eye(4), axes[:, 0].astype(int)
    affine[:3, :3] = 0
    affine[order, np.arange(3)] = axes[:, 1] * spacing[order]
    if scan.index % 6 == 1:
        affine[:3, :3] = rotation(rng) @ affine[:3, :3]
    shape = tuple(int(side) for side in size[order])
    middle = affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    affine[:3, 3] = np.array(domain.center) + rng.normal(0, 2, 3) - middle
    return shape, affine


def rotation(rng: np.random.Generator) -> NDArray[np.float64]:
    """A rotation by 4 to 12 degrees about a random axis (Rodrigues' formula)."""
    axis = rng.standard_normal(3)
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(rng.uniform(4, 12))
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def acquire(scan: Scan) -> tuple[Array, Labels, NDArray[np.float64]]:
    """The real values, the label map and the affine of one scan."""
    shape, affine = geometry(scan)
    subject = scan.generator(scan.domain.body, scan.domain.first_subject + scan.index)
    canvas = Canvas(grid_of(shape, affine), subject)
    BODIES[scan.domain.body](canvas)
    values = scan.domain.scanner(canvas.labels, canvas.grid, scan.generator(scan.domain.name, scan.index))
    return values, canvas.labels, affine


def stored(values: Array, storage: str) -> tuple[NDArray[np.generic], float, float]:
    """Values as stored, with slope and intercept: real = stored * slope + inter."""
    if storage == "float32":
        return values, 1.0, 0.0
    if storage == "suv-scaled":
        slope = float(np.float32(values.max() / 32000))
        return np.rint(values / slope).astype(np.int16), slope, 0.0
    dtype, low, inter = {
        "ct-plain": (np.int16, -1024, 0.0),
        "ct-offset": (np.int16, 0, -1024.0),
        "int16": (np.int16, 0, 0.0),
        "uint16": (np.uint16, 0, 0.0),
    }[storage]
    return np.clip(np.rint(values - inter), low, np.iinfo(dtype).max).astype(dtype), 1.0, inter


def nifti(data: NDArray[np.generic], affine: NDArray[np.float64], *, slope: float = 1, inter: float = 0) -> bytes:
    """A NIfTI-1 file with qform and sform of code 1, in mm, as bytes."""
    image = nibabel.Nifti1Image(data, affine, dtype=data.dtype)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(slope, inter)
    return image.to_bytes()


def write(path: Path, content: bytes) -> None:
    """Write a file under its final name only when it is whole; .gz is compressed without a time stamp."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(gzip.compress(content, 1, mtime=0) if path.suffix == ".gz" else content)
    os.replace(part, path)


def write_scan(scan: Scan, out: Path) -> dict[str, str]:
    """Acquire one scan, write it and its label map, return its line of sources.csv."""
    values, labels, affine = acquire(scan)
    data, slope, inter = stored(values, scan.domain.storage[scan.index % len(scan.domain.storage)])
    write(out / scan.path, nifti(data, affine, slope=slope, inter=inter))
    if scan.label_path:
        numbers = np.zeros(256, np.uint8)
        numbers[[INDEX[tissue] for tissue in scan.domain.labels]] = np.arange(1, len(scan.domain.labels) + 1)
        write(out / scan.label_path, nifti(numbers[labels], affine))
    return scan.row()


def scans(*, seed: int, scale: float) -> Iterator[Scan]:
    """Every scan of the corpus, domain by domain."""
    for domain in DOMAINS:
        for index in range(domain.count):
            yield Scan(domain, index, seed, scale)


def write_corpus(out: Path, *, seed: int = 0, scale: float = 1.0, workers: int = 2) -> list[dict[str, str]]:
    """Write the whole corpus; returns the rows of sources.csv, which is written last."""
    if not 0.1 <= scale <= 2:
        raise InvalidArgument(f"scale must be between 0.1 and 2, got {scale:g}")
    if seed < 0:
        raise InvalidArgument(f"seed must not be negative, got {seed}")
    with ThreadPoolExecutor(workers) as pool:
        rows = list(pool.map(lambda scan: write_scan(scan, out), scans(seed=seed, scale=scale)))
    part = out / ".sources.csv.part"
    with part.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    os.replace(part, out / "sources.csv")
    return rows


@command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--seed", default=0, help="Another seed is another corpus.")
@click.option("--scale", default=1.0, help="Relative number of voxels along a side; the field of view stays.")
@click.option("--json", "as_json", is_flag=True, help="Print a summary for machines.")
def main(out: Path, seed: int, scale: float, as_json: bool) -> None:
    """Write a synthetic corpus of CT, MRI and PET volumes to OUT."""
    rows = write_corpus(out, seed=seed, scale=scale)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    counts = {domain.name: domain.count for domain in DOMAINS}
    if as_json:
        click.echo(
            json.dumps(
                {
                    "sources": str(out / "sources.csv"),
                    "volumes": len(rows),
                    "domains": counts,
                    "bytes": size,
                    "seed": seed,
                    "scale": scale,
                }
            )
        )
        return
    for name, count in counts.items():
        click.echo(f"  {name:<14} {count:>3} volumes")
    click.echo(f"wrote {len(rows)} volumes, {size / 1e6:.0f} MB, listed in {out / 'sources.csv'}")
    click.echo(f"next: mixio convert {out / 'sources.csv'} STORE")


if __name__ == "__main__":
    main()

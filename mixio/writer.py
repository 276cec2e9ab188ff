"""One source into one volume of a store: what a worker process of the converter does."""

import hashlib
import os
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixio.blob import Grid, plan_grid
from mixio.content import Content, describe
from mixio.errors import SourceError
from mixio.journal import FOLDER, Claim, stamp_of
from mixio.manifest import Blob, Row
from mixio.preprocess import background_of, fill_nonfinite, ras_axes, to_ras
from mixio.readers import read_volume
from mixio.sources import Source
from mixio.stores.zarr import OCCUPANCY, image_attributes, label_attributes, put_in_place, write_array, write_group
from mixio.volume import Volume

_CT_AIR_HU = -500.0
_AFFINE_TOLERANCE_MM = 1e-2


@dataclass(frozen=True)
class Task:
    """A source and what was decided about it before it is opened."""

    source: Source
    key: str
    subject: str
    source_id: str
    split: str
    chunk: int
    settings: str
    claim: Claim = field(init=False)
    """What the journal keeps of it, with the stamp from before it is read."""

    def __post_init__(self) -> None:
        place = hashlib.sha256(os.fsencode(self.source.path.resolve())).hexdigest()[:16]
        claim = Claim(self.source_id, self.name, self.subject, self.split, place, self.stamp_now())
        object.__setattr__(self, "claim", claim)

    def stamp_now(self) -> str | None:
        """The stamp of the files as they are at this moment."""
        source = self.source
        told = [self.name, self.subject, self.split, source.modality, source.unit, source.target, sorted(source.labels)]
        try:
            return stamp_of([source.path, *(source.labels[name] for name in sorted(source.labels))], repr(told))
        except OSError:
            return None

    @property
    def name(self) -> str:
        """`domain/key`."""
        return f"{self.source.domain}/{self.key}"


def write_volume(root: Path, task: Task) -> tuple[Row, int]:
    """Convert one source into the store at `root`; returns its row and the bytes read.

    Raises `SourceError` if the source, or one of its label maps, cannot be trusted.
    """
    source = task.source
    read = read_volume(source.path)
    orientation = _codes(read)
    volume, nonfinite = fill_nonfinite(to_ras(read))
    background = background_of(volume.voxels)
    content = describe(volume, background, source.modality)
    labels = {name: _read_label(path, volume) for name, path in source.labels.items()}
    grid = plan_grid(volume.shape, str(volume.voxels.dtype), background, chunk=task.chunk)
    volume = replace(volume, unit=source.unit or _evident_unit(source, content))
    raw = source.path.read_bytes()
    if task.stamp_now() != task.claim.stamp:
        raise SourceError(f"{source.path.name}: changed while it was read; run again when it is complete")
    blobs = _write(root, task, volume, content, labels, grid)
    row = Row(
        key=task.key,
        domain=source.domain,
        modality=source.modality,
        subject=task.subject,
        split=task.split,
        target=source.target,
        path=task.name,
        shape=volume.shape,
        chunk=grid.chunk,
        shard=grid.shard,
        dtype=grid.dtype,
        background=background,
        slope=volume.slope,
        inter=volume.inter,
        unit=volume.unit,
        spacing=volume.spacing,
        affine=tuple(tuple(line) for line in volume.affine.tolist()),
        orientation=orientation,
        statistics=content.statistics,
        foreground_fraction=content.foreground_fraction,
        foreground_box=content.foreground_box,
        nonfinite=nonfinite,
        labels={name: str(voxels.dtype) for name, voxels in labels.items()},
        blobs=blobs,
        source=task.source_id,
        source_sha256=hashlib.sha256(raw).hexdigest(),
        settings=task.settings,
    )
    return row, len(raw)


def _evident_unit(source: Source, content: Content) -> str | None:
    """CT that holds air at negative numbers is in Hounsfield units; nothing else says its unit by itself."""
    is_hounsfield = source.modality == "CT" and content.statistics["min"] < _CT_AIR_HU
    return "HU" if is_hounsfield else None


def _codes(volume: Volume) -> str:
    """How the source's voxel axes ran, as letters: `LPS` is towards Left, Posterior, Superior."""
    axes, signs = ras_axes(volume.affine)
    letters = ["", "", ""]
    for world, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        letters[axis] = ("RAS" if sign > 0 else "LPI")[world]
    return "".join(letters)


def _read_label(path: Path, image: Volume) -> NDArray[Any]:
    """A label map on the image's grid after both are oriented."""
    label = to_ras(read_volume(path).real())
    if label.shape != image.shape or not np.allclose(label.affine, image.affine, atol=_AFFINE_TOLERANCE_MM):
        raise SourceError(f"{path.name}: the label map is not on its image's grid; resample it to the image first")
    if not np.isfinite(label.voxels).all():
        raise SourceError(f"{path.name}: the label map holds NaN or infinity")
    return _smallest(label.voxels)


def _smallest(voxels: NDArray[Any]) -> NDArray[Any]:
    """The same values in the smallest integer type that holds them; float32 where they are not whole numbers."""
    low, high = float(voxels.min()), float(voxels.max())
    for kind in ("uint8", "int16", "int32"):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            integers = voxels.astype(kind)
            return integers if np.array_equal(integers, voxels) else voxels
    return voxels


def _write(
    root: Path, task: Task, volume: Volume, content: Content, labels: dict[str, NDArray[Any]], grid: Grid
) -> tuple[Blob, ...]:
    """Write all arrays of a volume and move them into place."""
    partial = root / FOLDER / "partial" / task.name
    shutil.rmtree(partial, ignore_errors=True)  # what a killed attempt left
    details = {"slope": volume.slope, "inter": volume.inter, "unit": volume.unit}
    write_group(partial, image_attributes(task.key, volume.affine, details))
    written = list(write_array(partial, "0", volume.voxels, grid))
    if labels:
        write_group(partial / "labels", {"ome": {"version": "0.5", "labels": sorted(labels)}})
    for name, voxels in sorted(labels.items()):
        write_group(partial / "labels" / name, label_attributes(name, volume.affine))
        label_grid = Grid(grid.shape, grid.chunk, grid.shard, str(voxels.dtype), 0)
        written += write_array(partial, f"labels/{name}/0", voxels, label_grid)
    x, y, z = content.occupancy.shape
    cells = Grid((x, y, z), (x, y, z), (x, y, z), "uint8", 0)
    write_group(partial / OCCUPANCY, {})
    written += write_array(partial, f"{OCCUPANCY}/0", content.occupancy, cells)
    put_in_place(partial, root / task.name)
    return tuple(Blob(f"{task.name}/{path}", 0, nbytes, crc) for path, nbytes, crc in written)

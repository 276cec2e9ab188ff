"""A store of one volume in which every direction can be told, for the tests of what is shown of a store.

A body of 500 fills x 2 to 20, y 6 to 16, z 3 to 14 of a grid of 24 x 20 x 16 voxels of 2 x 2 x 4 mm. In its right,
anterior, superior corner lies a block of 1000, x 16 to 20, y 12 to 16, z 10 to 14, which is label 3; label 1 is
2 x 2 x 2 voxels at its left, posterior, inferior corner. The file's axes run to the left, posterior, superior.
"""

from pathlib import Path

import numpy as np

from mixio.convert import convert
from mixio.settings import Settings
from mixio.store import Store, open_store
from tests.conftest import write_nifti

NAME = "spine/marked"
SHAPE = (24, 20, 16)


def marked_store(folder: Path, *, settings: Settings | None = None) -> Store:
    """Write the volume, its label map and their table, and convert them."""
    voxels, labels = np.zeros(SHAPE, np.int16), np.zeros(SHAPE, np.uint8)
    voxels[2:20, 6:16, 3:14] = 500
    voxels[16:20, 12:16, 10:14] = 1000
    labels[16:20, 12:16, 10:14] = 3
    labels[2:4, 6:8, 3:5] = 1
    lps = np.array([[-2.0, 0, 0, 46], [0, -2, 0, 38], [0, 0, 4, 0], [0, 0, 0, 1]])
    write_nifti(folder / "image.nii.gz", voxels[::-1, ::-1], lps)
    write_nifti(folder / "label.nii.gz", labels[::-1, ::-1], lps)
    table = folder / "table.csv"
    table.write_text("path,domain,modality,key,label\nimage.nii.gz,spine,MR,marked,label.nii.gz\n")
    convert(table, folder / "store", settings=settings or Settings(chunk=8, keep_names=True), jobs=0)
    return open_store(folder / "store")

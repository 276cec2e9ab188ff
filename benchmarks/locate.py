"""Where a patch comes from, by its voxels alone: whatever a loader claims, this says which volume and which corner.

The volumes are noisy, so a handful of voxels singles out the place, and the whole patch is then compared. Values are
taken back from [0, 1] to whole Hounsfield units inside the window, where every contestant must agree exactly.
"""

import numpy as np
from numpy.typing import NDArray

from benchmarks.corpus import Corpus, Request, Shape, box
from benchmarks.peers.crops import WINDOW

PROBES = 24


class Locator:
    """Finds patches in the volumes of a corpus."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.volumes = [np.clip(volume, *WINDOW) for volume in corpus.arrays()]

    def find(self, patch: NDArray[np.float32]) -> Request | None:
        """The volume and corner of a normalised patch (X, Y, Z); None if it is nowhere."""
        if patch.shape != self.corpus.size or patch.dtype != np.float32:
            return None
        low, high = WINDOW
        voxels = np.rint(patch * (high - low) + low).astype(np.int16)
        for number, volume in enumerate(self.volumes):
            corner = _place(volume, voxels)
            if corner is not None:
                return number, corner
        return None


def _place(volume: NDArray[np.int16], patch: NDArray[np.int16]) -> Shape | None:
    """The corner at which a volume holds a patch."""
    room = tuple(n - s + 1 for n, s in zip(volume.shape, patch.shape, strict=True))
    rng = np.random.default_rng(0)
    probes = [tuple(int(rng.integers(s)) for s in patch.shape) for _ in range(PROBES)]
    probes.sort(key=lambda probe: -int(patch[probe]))  # the brightest are the rarest: few are in air
    first = probes[0]
    corners = np.argwhere(volume[box(first, room)] == patch[first])
    for probe in probes[1:]:
        x, y, z = (corners + probe).T
        corners = corners[volume[x, y, z] == patch[probe]]
    for corner in corners:
        place = (int(corner[0]), int(corner[1]), int(corner[2]))
        if np.array_equal(volume[box(place, patch.shape)], patch):
            return place
    return None

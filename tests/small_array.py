"""One small array with chunks that are missing, for tests that read it with the compiled part and without it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mixio import normalize, shards
from mixio.blob import plan_grid
from mixio.native import why_not
from mixio.row import Blob
from tests.arrays import write_array

SHAPE = (37, 20, 9)
VOXELS = np.random.default_rng(0).integers(-50, 50, SHAPE).astype(np.int16)
VOXELS[:16, :8] = -7
GRID = plan_grid(SHAPE, "int16", -7, chunk=8)


@pytest.fixture(scope="module", autouse=True, params=["compiled", "python"])
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test of a module that imports this runs with the compiled part and without it."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "python":
            patch.setattr(shards, "compiled", lambda: None)
            patch.setattr(normalize, "compiled", lambda: None)
        elif why_not():
            pytest.skip(f"no compiled part: {why_not()}")
        yield


@pytest.fixture(scope="module", name="array")
def the_array(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("array")
    write_array(folder, "0", VOXELS, GRID)
    return folder / "0"


@pytest.fixture(scope="module", name="blobs")
def the_blobs(array: Path) -> list[Blob]:
    path = "0/c/0/0/0"
    return [Blob(path, 0, (array.parent / path).stat().st_size, 0)]

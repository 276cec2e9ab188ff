"""From a public data set's folder to a table of sources, one data set a file.

A recipe knows the layout that a data set is published in, and fills in the columns that `mixio.sources` reads:
domain, modality, subject, split, unit, label and class target. It opens no image.
"""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from mixio.errors import InvalidArgument
from mixio.readers import is_volume
from mixio.recipes import amos22, bhsd, bids, brats_africa, hecktor, medmnist3d, msd, oasis1, openmind
from mixio.recipes.layout import Recipe, Row

RECIPES: dict[str, Recipe] = {
    "amos22": amos22,
    "bhsd": bhsd,
    "bids": bids,
    "brats-africa": brats_africa,
    "hecktor": hecktor,
    "medmnist3d": medmnist3d,
    "msd": msd,
    "oasis1": oasis1,
    "openmind": openmind,
}

_SHOWN = 6


def summary_of(name: str) -> str:
    """What the data set is, in one line."""
    return (_recipe(name).__doc__ or "").partition("\n")[0]


def flags_of(name: str) -> str:
    """What `mixio convert` must be told for this data set; mostly nothing."""
    return _recipe(name).FLAGS


def table(name: str, root: Path) -> list[Row]:
    """The rows of the data set in `root`, sorted by path, paths absolute.

    Raises `InvalidArgument` for an unknown name, a folder that is none, and one that holds no volume of the data set.
    """
    recipe = _recipe(name)
    if not root.is_dir():
        raise InvalidArgument(f"{root}: no such folder; {name} expects {recipe.EXPECTED}")
    rows = sorted(recipe.rows(root.resolve()), key=lambda row: row["path"])  # stable: items stay in their order
    if not rows:
        there = sorted(path.name for path in root.iterdir())
        shown = ", ".join(there[:_SHOWN]) + (", ..." if len(there) > _SHOWN else "")
        raise InvalidArgument(
            f"{root}: holds no volume of {name}; expected {recipe.EXPECTED}, found {shown or 'nothing'}"
        )
    twice = [key for key, n in Counter((row["path"], row.get("item")) for row in rows).items() if n > 1]
    if twice:
        raise InvalidArgument(
            f"{root}: {twice[0][0]} would be listed twice; give a folder that holds the data set once"
        )
    return rows


def left_out(rows: Iterable[Row], root: Path) -> int:
    """How many files below `root` are volumes by name, but no volume or label of the rows; hidden ones aside."""
    listed = {value for row in rows for name, value in row.items() if name == "path" or name.startswith("label")}
    count = 0
    for place, folders, names in os.walk(root.resolve()):
        folders[:] = [name for name in folders if not name.startswith(".")]
        shown = (name for name in names if not name.startswith(".") and is_volume(Path(name)))
        count += sum(os.path.join(place, name) not in listed for name in shown)
    return count


def _recipe(name: str) -> Recipe:
    if name not in RECIPES:
        raise InvalidArgument(f"no recipe {name!r}; there are {', '.join(sorted(RECIPES))}")
    return RECIPES[name]

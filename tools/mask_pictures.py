"""Predicted beside true label maps: the worst, the middle and the best case of a split, by Dice."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mixio.readers import stem_of
from tools.examples import Example
from tools.scores import Scores

COLUMNS = ("image", "true", "predicted")


def save_masks(scores: Scores, examples: Sequence[Example], classes: Sequence[str], path: Path) -> list[str]:
    """Write a PNG of one axial plane of up to three cases, that with most of the label map; returns their names."""
    shown = chosen(scores)
    known = {example.name: example for example in examples}
    figure = Figure(figsize=(7.5, 2.6 * len(shown) + 0.4), dpi=130, layout="constrained")
    rows = figure.subplots(len(shown), len(COLUMNS), squeeze=False)
    for axes, name in zip(rows, shown, strict=True):
        example = known[name]
        assert example.label is not None
        plane = int(np.argmax((example.label > 0).sum((0, 1))))
        for one, column in zip(axes, COLUMNS, strict=True):
            _draw(one, example, plane, {"true": example.label, "predicted": scores.masks[name]}.get(column))
            one.set_title(f"{column}, Dice {scores.cases[name]['dice']:.3f}" if column == "predicted" else column)
        axes[0].set_ylabel(stem_of(Path(name)))
    for number, name in enumerate(classes[1:], start=1):
        rows[0][0].plot([], [], "s", color=_color(number), label=name)
    figure.legend(loc="outside lower center", ncols=min(6, len(classes)))
    figure.savefig(path)
    return shown


def chosen(scores: Scores) -> list[str]:
    """The cases with the least, the middle and the largest Dice."""
    dice = {name: scores.cases[name]["dice"] for name in scores.masks}
    order = sorted((value, name) for name, value in dice.items() if value is not None)
    return list(dict.fromkeys(order[place][1] for place in (0, len(order) // 2, -1)))


def _draw(axes: Axes, example: Example, plane: int, mask: NDArray[np.uint8] | None) -> None:
    """A plane as a radiologist reads it, Anterior on top and the patient's Right on the left, in square millimeters."""
    aspect = example.spacing[1] / example.spacing[0]
    axes.imshow(example.image[::-1, ::-1, plane].T, cmap="gray", vmin=0, vmax=1, aspect=aspect)
    if mask is not None:
        flat = mask[::-1, ::-1, plane].T
        colors = np.zeros((*flat.shape, 4))
        for number in np.unique(flat[flat > 0]).tolist():
            colors[flat == number] = (*_color(number)[:3], 0.55)
        axes.imshow(colors, aspect=aspect)
    axes.set_xticks([])
    axes.set_yticks([])


def _color(number: int) -> tuple[float, float, float, float]:
    red, green, blue, alpha = colormaps["tab20"]((2 * number) % 20 if number < 10 else (2 * number + 1) % 20)
    return red, green, blue, alpha

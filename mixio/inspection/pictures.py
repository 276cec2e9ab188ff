"""Planes as PNG pictures: gray in a window, with outlines of labels, the foreground box, and which side is which.

A picture has a palette: 216 grays, then the colors of what is drawn on top. That makes it a third of the size of a
full-color one, and what is drawn stays exactly its color. Pixels are square on screen whatever the spacing. Pillow
is used in this file alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mixio.inspection.slices import Box, Slice
from mixio.normalize import Window

EDGE = 240
"""Pixels along the longer side of a picture."""

COLORS = ("#E69F00", "#56B4E9", "#CC79A7", "#009E73", "#F0E442", "#D55E00", "#0072B2")
"""Okabe and Ito (2008), which color-blind readers can tell apart; the most distinct on gray first."""

_GRAYS = 216
_BLACK, _WHITE, _FIRST = _GRAYS, _GRAYS + 1, _GRAYS + 2
_DASH = 5
_LETTER = 13

Colors = Mapping[tuple[str, int], int]


@dataclass(frozen=True)
class Picture:
    """A PNG file, and its size in pixels."""

    png: bytes
    width: int
    height: int


def colors_of(slices: Iterable[Slice]) -> dict[tuple[str, int], int]:
    """A color, as its place in `COLORS`, for each label map and value; they repeat beyond the seventh."""
    values = sorted({value for one in slices for value in one.values})
    return {value: place % len(COLORS) for place, value in enumerate(values)}


def draw(plane: Slice, window: Window, colors: Colors, *, extent_mm: float | None = None) -> Picture:
    """A plane as a picture of `EDGE` pixels on its longer side; the real values of the window are black and white.

    `extent_mm` is the length that `EDGE` pixels stand for, to bring several planes to one scale.
    """
    scale = EDGE / (extent_mm or max(plane.size_mm))
    width, height = (max(1, round(mm * scale)) for mm in plane.size_mm)
    pixels = _gray(plane.image, window, (width, height))
    if plane.box:
        _draw_box(pixels, _scaled(plane.box, plane.image.shape, (width, height)))
    for name, labels in plane.labels.items():
        _outline(pixels, _nearest(labels, height, width), {v: c for (n, v), c in colors.items() if n == name})
    image = Image.fromarray(pixels)
    image.putpalette(_palette())
    _letter(image, plane.sides)
    file = BytesIO()
    image.save(file, "PNG", optimize=True)
    return Picture(file.getvalue(), width, height)


def _gray(values: NDArray[np.float32], window: Window, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Real values (rows, columns) as grays at `size` (width, height); averaged where it shrinks."""
    low, high = window
    width = high - low if high > low else np.inf
    shown = np.clip((values - np.float32(low)) / np.float32(width), 0, 1)
    resized = np.asarray(Image.fromarray(shown).resize(size, Image.Resampling.BILINEAR))
    grays: NDArray[np.uint8] = np.clip(np.rint(resized * (_GRAYS - 1)), 0, _GRAYS - 1).astype(np.uint8)
    return grays


def _nearest(labels: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Labels (rows, columns) at another size, each pixel that of the voxel under its center."""
    rows = (2 * np.arange(height) + 1) * labels.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * labels.shape[1] // (2 * width)
    return labels[np.ix_(rows, columns)]


def _outline(pixels: NDArray[np.uint8], labels: NDArray[Any], colors: Mapping[int, int]) -> None:
    """Color the pixels of each label that touch another value."""
    padded = np.pad(labels, 1, mode="edge")
    middle = padded[1:-1, 1:-1]
    neighbors = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    border = np.zeros(labels.shape, bool)
    for neighbor in neighbors:
        border |= neighbor != middle
    for value, color in colors.items():
        pixels[border & (labels == value)] = _FIRST + color


def _scaled(box: Box, shape: tuple[int, ...], size: tuple[int, int]) -> Box:
    """A box of voxels in pixels; at least one pixel, and inside the picture."""
    left, right = (round(edge * size[0] / shape[1]) for edge in box[::2])
    top, bottom = (round(edge * size[1] / shape[0]) for edge in box[1::2])
    left, top = min(left, size[0] - 1), min(top, size[1] - 1)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _draw_box(pixels: NDArray[np.uint8], box: Box) -> None:
    """A frame of white dashes with black between, which shows on any gray."""
    left, top, right, bottom = box
    for line in (pixels[top, left:right], pixels[bottom - 1, left:right]):
        line[:] = _dashes(len(line))
    for line in (pixels[top:bottom, left], pixels[top:bottom, right - 1]):
        line[:] = _dashes(len(line))


def _dashes(length: int) -> NDArray[np.uint8]:
    dashes: NDArray[np.uint8] = np.where(np.arange(length) // _DASH % 2, _BLACK, _WHITE).astype(np.uint8)
    return dashes


def _letter(image: Image.Image, sides: tuple[str, str]) -> None:
    """The letters of the sides at half height, white on a black patch."""
    canvas, font = ImageDraw.Draw(image), ImageFont.load_default(_LETTER)
    middle = image.height // 2
    for letter, x, anchor in ((sides[0], 4, "lm"), (sides[1], image.width - 5, "rm")):
        left, top, right, bottom = canvas.textbbox((x, middle), letter, font=font, anchor=anchor)
        canvas.rectangle((left - 3, top - 3, right + 2, bottom + 2), fill=_BLACK)
        canvas.text((x, middle), letter, fill=_WHITE, font=font, anchor=anchor)


def _palette() -> bytes:
    grays = [level * 255 // (_GRAYS - 1) for level in range(_GRAYS)]
    drawn = [bytes.fromhex(color[1:]) for color in ("#000000", "#FFFFFF", *COLORS)]
    return bytes(level for gray in grays for level in (gray,) * 3) + b"".join(drawn)

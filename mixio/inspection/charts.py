"""Histograms as inline SVG, which take their colors from the page around them and so follow its light or dark.

Shapes have the classes `bar`, `line` and `mark`, styled once by the page. Every chart says in its title what it shows,
for readers who cannot see it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 340
_LEFT, _RIGHT = 14, 6
_ROW = 30
_GAP = 10
_LETTER = 6.2


@dataclass(frozen=True)
class Ticks:
    """Positions from 0 to 1 along an axis, and what to write there."""

    at: tuple[float, ...]
    texts: tuple[str, ...]


def histogram(
    counts: Sequence[float], ticks: Ticks, *, title: str, marks: Ticks = Ticks((), ()), height: int = 104
) -> str:
    """Bars of equal width; `ticks` below the axis, `marks` as lines through the bars with their text above."""
    base = height - 18
    top = 16 if marks.at else 4
    shapes = [_bars(counts, top, base), _axis(base), _ticks(ticks, base + 13), _marks(marks, top, base)]
    return _svg(shapes, height, title)


def by_axis(counts: Sequence[Sequence[float]], medians: Sequence[float], ticks: Ticks, *, title: str) -> str:
    """One row of bars for each of x, y, z over one axis below; `medians` from 0 to 1 are marked."""
    shapes = []
    for row, (name, bars, median) in enumerate(zip("xyz", counts, medians, strict=True)):
        top = 2 + row * (_ROW + _GAP)
        base = top + _ROW
        shapes += [_bars(bars, top, base), _axis(base), _text(0, base - 2, name, "start"), _mark(median, top, base)]
    bottom = 2 + 3 * (_ROW + _GAP) - _GAP
    shapes.append(_ticks(ticks, bottom + 13))
    return _svg(shapes, bottom + 18, title)


def _svg(shapes: Sequence[str], height: int, title: str) -> str:
    head = f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img"><title>{escape(title)}</title>'
    return head + "".join(shapes) + "</svg>"


def _bars(counts: Sequence[float], top: int, base: int) -> str:
    """One path for all the bars; a count above zero is at least a line."""
    most = max(counts, default=0) or 1
    width = (WIDTH - _LEFT - _RIGHT) / max(1, len(counts))
    gap = 1 if width > 4 else 0
    parts = []
    for place, value in enumerate(counts):
        if value > 0:
            tall = max(1.0, value / most * (base - top))
            x = _LEFT + place * width
            parts.append(f"M{x:.1f} {base}v-{tall:.1f}h{width - gap:.1f}v{tall:.1f}z")
    return f'<path class="bar" d="{"".join(parts)}"/>'


def _marks(marks: Ticks, top: int, base: int) -> str:
    """Lines, the outermost with their text on the outer side; a text that has no room is left out."""
    shapes = [_mark(at, top, base) for at in marks.at]
    last, taken = len(marks.at) - 1, list[tuple[float, float]]()
    for place in dict.fromkeys([0, last, *range(last)] if marks.at else []):
        x, width = _place(marks.at[place]), _LETTER * len(marks.texts[place])
        left = x - width * (1.0 if place == 0 else 0.0 if place == last else 0.5)
        left = min(max(0.0, left), WIDTH - width)
        if all(left + width < begin or left > end for begin, end in taken):
            taken.append((left, left + width))
            shapes.append(_text(left + width / 2, top - 4, marks.texts[place], "middle", kind="said"))
    return "".join(shapes)


def _mark(at: float, top: int, base: int) -> str:
    x = _place(at)
    return f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{base}"/>'


def _axis(base: int) -> str:
    return f'<line class="line" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{base + 0.5}" y2="{base + 0.5}"/>'


def _ticks(ticks: Ticks, y: int) -> str:
    return "".join(_text(_place(at), y, text, _anchor(at)) for at, text in zip(ticks.at, ticks.texts, strict=True))


def _place(at: float) -> float:
    return _LEFT + min(1.0, max(0.0, at)) * (WIDTH - _LEFT - _RIGHT)


def _anchor(at: float) -> str:
    return "start" if at < 0.1 else "end" if at > 0.9 else "middle"


def _text(x: float, y: float, text: str, anchor: str, *, kind: str = "tick") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'

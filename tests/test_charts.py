"""Histograms as SVG, read back with an XML parser."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from mixio.inspection.charts import WIDTH, Ticks, by_axis, histogram

ENDS = Ticks((0.0, 1.0), ("low", "high"))


def bars(svg: str) -> list[list[float]]:
    """Left edge and height of each bar, path by path."""
    found = []
    for path in ElementTree.fromstring(svg).iter("path"):
        found += [[float(x), float(tall)] for x, tall in re.findall(r"M([\d.]+) \d+v-([\d.]+)", path.get("d", ""))]
    return found


def test_bars_are_as_tall_as_their_counts() -> None:
    drawn = bars(histogram([1, 0, 4, 2], ENDS, title="t"))
    assert [tall / drawn[1][1] for _, tall in drawn] == pytest.approx([0.25, 1, 0.5], abs=0.01)
    assert drawn[1][0] - drawn[0][0] == pytest.approx(2 * (drawn[2][0] - drawn[1][0]), abs=0.2)


def test_a_single_one_in_a_million_is_still_seen() -> None:
    assert [tall for _, tall in bars(histogram([1_000_000, 1], ENDS, title="t"))][1] >= 1


def test_no_counts_are_no_bars() -> None:
    assert bars(histogram([0.0] * 8, ENDS, title="t")) == []


def test_each_axis_has_its_row_and_its_median() -> None:
    tree = ElementTree.fromstring(by_axis([[1, 2], [3, 0], [0, 1]], (0.0, 0.5, 1.0), ENDS, title="t"))
    marks = [float(line.get("x1", "")) for line in tree.iter("line") if line.get("class") == "mark"]
    assert len(list(tree.iter("path"))) == 3
    assert marks[1] - marks[0] == pytest.approx(marks[2] - marks[1], abs=0.2)


@pytest.mark.parametrize("at", [(0.0, 0.01, 0.02), (0.4, 0.45, 0.5), (0.98, 0.99, 1.0), (0.1, 0.5, 0.9)])
def test_texts_of_marks_stay_inside_and_apart(at: tuple[float, ...]) -> None:
    tree = ElementTree.fromstring(histogram([1] * 9, ENDS, title="t", marks=Ticks(at, ("5 %", "50 %", "95 %"))))
    said = [text for text in tree.iter("text") if text.get("class") == "said"]
    spans = sorted((float(text.get("x", "")), 3 * len(text.text or "")) for text in said)  # center, half a width
    assert spans[0][0] - spans[0][1] >= 0
    assert spans[-1][0] + spans[-1][1] <= WIDTH
    assert all(a + half <= b - other for (a, half), (b, other) in pairwise(spans))


def test_texts_are_escaped() -> None:
    svg = histogram([1], Ticks((0.5,), ("<b>",)), title="</title><script>")
    assert ElementTree.fromstring(svg)[0].text == "</title><script>"

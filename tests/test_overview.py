"""An inspection as tables for a terminal."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from mixio.inspection.faults import Kind, Quarantine
from mixio.inspection.inspect import Inspection, inspect_store
from mixio.inspection.overview import number, print_inspection, short, size
from mixio.store import Store
from tests.marked import marked_store


def printed(inspection: Inspection, width: int) -> str:
    file = StringIO()
    print_inspection(inspection, Console(file=file, width=width))
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_rows_of_both_tables_fit_and_hold_the_counts(small_store: Store, width: int) -> None:
    text = printed(inspect_store(small_store), width)
    tables = text.split("\n", 1)[1]
    assert max(map(len, tables.splitlines())) <= width
    row = next(line.split() for line in tables.splitlines() if line.startswith(" pet"))
    assert row[:3] == ["pet", "3", "3"]
    assert "x 2  " in text
    assert "−1000 to " in text


def test_a_range_is_in_brackets_where_there_is_one(tmp_path: Path) -> None:
    inspection = inspect_store(marked_store(tmp_path))
    domain = inspection.domains[0]
    wide = replace(domain, spacing_mm=replace(domain.spacing_mm, low=(0.5, 2, 4), high=(3, 2, 4)))
    text = printed(replace(inspection, domains=(wide,)), 80)
    assert "x 2 (0.5–3)" in text
    assert "z 4 " in text


def test_what_to_look_at_is_said(small_store: Store) -> None:
    kinds = tuple(Kind(f"reason {letter}", 2) for letter in "abcdefg")
    text = printed(replace(inspect_store(small_store), quarantine=Quarantine(14, kinds, 1)), 80)
    assert "quarantined: 14 sources\n  2 × reason a\n" in text
    assert "and 2 more kinds of reason" in text
    assert "1 line cannot be read" in text


def test_markup_in_names_is_printed_as_it_is(small_store: Store) -> None:
    inspection = inspect_store(small_store)
    spoilt = replace(inspection.domains[0], domain="[red]x[/red]")
    assert printed(replace(inspection, domains=(spoilt,)), 120).count("[red]x[/red]") == 2


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.9765625, "0.977"), (273860.0, "273860"), (-1000.0, "−1000"), (1234.5, "1234"), (2e7, "2e+07")],
)
def test_numbers_have_three_digits_or_are_whole(value: float, text: str) -> None:
    assert number(value) == text


def test_amounts_have_a_unit_near_them() -> None:
    assert [short(999), short(1_234_567), size(55_100_000), size(12)] == ["999", "1.23 M", "55.1 MB", "12 B"]

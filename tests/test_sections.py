"""The parts of a store's page as HTML."""

import re
from dataclasses import replace
from pathlib import Path

from mixio.inspection.faults import Example, Kind, Quarantine
from mixio.inspection.gallery import gallery
from mixio.inspection.inspect import inspect_store
from mixio.inspection.sections import domain_section, quarantine_section, remarks_section, settings_section, table
from mixio.store import Store
from tests.marked import NAME, marked_store

LOST = Quarantine(3, (Kind("too <short>", 3, [Example("/disk/Doe.nii", "Doe.nii: too <short>")]),), 0)


def test_a_store_with_names_lists_the_quarantined_sources() -> None:
    html = quarantine_section(LOST, names=True)
    assert "<b>3</b> × too &lt;short&gt;" in html
    assert "<li><b>/disk/Doe.nii</b>: Doe.nii: too &lt;short&gt;</li><li>and 2 more, in quarantine.jsonl</li>" in html


def test_a_store_without_names_tells_only_the_reasons() -> None:
    html = quarantine_section(LOST, names=False)
    assert "<b>3</b> × too &lt;short&gt;" in html
    assert "Doe" not in html


def test_a_long_quarantine_is_cut_with_a_count() -> None:
    kinds = tuple(Kind(f"reason {n}", 1, []) for n in range(70))
    html = quarantine_section(Quarantine(70, kinds, 0), names=True)
    assert html.count("<details>") == 50
    assert "and 20 more kinds of reason" in html


def test_an_empty_quarantine_is_said_to_be_empty() -> None:
    assert "Every source was converted." in quarantine_section(Quarantine(0, (), 0), names=True)


def test_remarks_say_what_stands_out_or_that_nothing_does(small_store: Store) -> None:
    inspection = inspect_store(small_store)
    assert "Nothing stands out" in remarks_section(inspection, [])
    html = remarks_section(replace(inspection, quarantine=LOST), ["pet/x cannot be shown: <damaged>"])
    assert "pet/x cannot be shown: &lt;damaged&gt;</li><li>3 sources in quarantine" in html


def test_a_domain_shows_its_volumes_with_their_facts(tmp_path: Path) -> None:
    store = marked_store(tmp_path)
    html = domain_section(inspect_store(store).domains[0], gallery(store, [NAME]), anchor="domain-1")
    assert "24 × 20 × 16 voxels<br>2 × 2 × 4 mm<br>" in html
    assert "label 3</li>" in html
    assert "label 1</li>" not in html  # in no plane shown
    assert re.findall(r'alt="(\w+) \d+ of \d+ of spine/marked, 1 label outlined"', html) == [
        "axial",
        "coronal",
        "sagittal",
    ]


def test_settings_are_said_in_words() -> None:
    html = settings_section({"keep_names": False, "spacing": [1.5, 2], "dtype": None, "<i>": "<b>"})
    assert "<dt>keep names</dt><dd>no</dd>" in html
    assert "<dd>1.5, 2</dd>" in html
    assert "<dt>dtype</dt><dd>none</dd>" in html
    assert "<dt>&lt;i&gt;</dt><dd>&lt;b&gt;</dd>" in html


def test_a_table_sets_words_left_and_scrolls_in_its_own_box() -> None:
    html = table(["a", "b"], [["1", "2"]])
    assert html.startswith('<div class="scroll"')
    assert '<td class="w">1</td><td>2</td>' in html

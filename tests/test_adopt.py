"""The pages of docs/adopt as a whole; what each says is tested in the file of its framework."""

import re

import pytest

from tests.adopted import FOLDER, ROOT, example

PAGES = sorted(path.stem for path in FOLDER.glob("*.md") if path.stem != "README")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_one_example_of_at_most_15_lines(page):
    lines = [line for line in example(page).splitlines() if line]
    assert 1 <= len(lines) <= 15
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_what_changes_how_to_go_on_and_what_to_look_out_for(page):
    headings = re.findall(r"^## (.*)$", (FOLDER / f"{page}.md").read_text(), re.MULTILINE)
    assert headings == ["What changes", "Example", "Save and resume", "Traps"]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_its_row_in_the_table_and_its_test(page):
    assert f"({page}.md)" in (FOLDER / "README.md").read_text()
    assert (ROOT / "tests" / f"test_adopt_{page}.py").exists()


def test_the_table_leads_to_no_page_that_is_not_there():
    links = re.findall(r"\((\w+)\.md\)", (FOLDER / "README.md").read_text())
    assert sorted(set(links)) == PAGES

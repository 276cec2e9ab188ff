"""The page of a store, in a real browser and as bytes."""

from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mixio.inspection.faults import Example, Kind, Quarantine
from mixio.inspection.inspect import inspect_store
from mixio.inspection.page import page, write_page
from mixio.store import Store, open_store
from tests.chromium import Browser, chromium
from tests.marked import marked_store

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&" + "a" * 400
PICTURES = """[...document.images].map(image => [image.naturalWidth, image.naturalHeight,
    image.getAttribute('width'), image.getAttribute('height')])"""
WIDTH = "document.scrollingElement.scrollWidth"


@pytest.fixture(scope="module")
def hostile_page(small_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of `small_store`, as if hostile texts had come into its settings, domains and quarantine."""
    folder = tmp_path_factory.mktemp("page")
    inspection = inspect_store(small_store)
    first, *others = inspection.domains
    kind = Kind(HOSTILE, 2, [Example(HOSTILE, HOSTILE), Example("/ok.nii", HOSTILE)])
    spoilt = replace(
        inspection,
        domains=(replace(first, modalities=(HOSTILE,), dtypes={HOSTILE: 1}), *others),
        settings={**inspection.settings, HOSTILE: HOSTILE},
        quarantine=Quarantine(2, (kind,), 1),
    )
    write_page(small_store, spoilt, folder / "page.html")
    return folder / "page.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    chromium()
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("width", [400, 1280])
def test_a_browser_shows_it_without_an_error_or_a_request(browser: Browser, hostile_page: Path, width: int) -> None:
    browser.open(hostile_page, width=width)
    said = {"Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Page.javascriptDialogOpening"}
    assert not said & browser.methods()
    assert set(browser.requested()) <= {"file", "data"}
    assert browser.value("document.scripts.length") == 0


def test_every_picture_has_its_natural_size(browser: Browser, hostile_page: Path) -> None:
    browser.open(hostile_page, width=1280)
    sizes = browser.value(PICTURES)
    assert len(sizes) == 13 + 3 * 2 * 2  # one for each volume, and two more for two of each of the three domains
    assert all(width > 0 and (str(width), str(height)) == (w, h) for width, height, w, h in sizes)


@pytest.mark.parametrize("width", [320, 400, 768, 1280])
def test_nothing_is_wider_than_the_window(browser: Browser, hostile_page: Path, width: int) -> None:
    browser.open(hostile_page, width=width)
    assert browser.value(WIDTH) <= width


def test_hostile_texts_are_shown_as_they_are(browser: Browser, hostile_page: Path) -> None:
    browser.open(hostile_page, width=1280)
    assert browser.value("document.querySelector('#domain-1 .tags').textContent").startswith(HOSTILE[:60])
    assert browser.value("document.querySelectorAll('[onerror]').length") == 0


def test_the_same_store_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = marked_store(tmp_path)
    text, _ = page(store, inspect_store(store))
    monkeypatch.chdir(tmp_path)
    again = open_store("store")
    assert page(again, inspect_store(again))[0] == text
    assert str(tmp_path) not in text


def test_every_element_is_closed_and_every_picture_says_what_it_shows(small_store: Store) -> None:
    open_elements: list[str] = []
    alternatives = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            if tag == "img":
                alternatives.append(dict(attributes)["alt"])
            elif tag not in ("meta", "link", "br"):
                open_elements.append(tag)

        def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            assert tag in ("line", "path"), "only SVG closes itself"

        def handle_endtag(self, tag: str) -> None:
            assert open_elements.pop() == tag

    Checker().feed(page(small_store, inspect_store(small_store))[0])
    assert open_elements == []
    assert "axial 16 of 30 of abdomen-ct/0, 1 label outlined" in alternatives


def test_a_damaged_volume_is_named_and_the_others_are_shown(tmp_path: Path) -> None:
    store = marked_store(tmp_path)
    (tmp_path / "store/spine/marked/0/c/0/0/0").write_bytes(b"")
    faults = write_page(store, inspect_store(store), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert [fault.volume for fault in faults] == ["spine/marked"]
    assert "spine/marked cannot be shown: " in text
    assert str(tmp_path) not in text


def test_a_place_that_cannot_be_written_keeps_no_half_page(small_store: Store, tmp_path: Path) -> None:
    (tmp_path / "page.html").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_page(small_store, inspect_store(small_store, sample=0), tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]

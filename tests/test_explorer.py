"""The sliders of a report, in a real browser, and the solver in the page beside the one in Python."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixio.allocation import Allocation
from tests.chromium import Browser, chromium
from tests.reports import BUDGET, FITTED, evidence_of
from tests.truths import DOMAINS, law, planted, runs_under
from tools.explorer import as_script, explorer
from tools.fitting import fit_laws
from tools.forms import FORMS
from tools.laws import Laws
from tools.portable import portable
from tools.problem import problem_of
from tools.report import write_report
from tools.solve import solve

CLOSE = 1e-4
HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'
SAID = {"Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Page.javascriptDialogOpening"}
TEXTS = "[...document.querySelectorAll('#explorer-{}')].map(one => one.textContent)"
NEXT_FRAME = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    chromium()
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(evidence_of(samples=25, trial=True), None, tmp_path_factory.mktemp("report"))[-1]


@pytest.fixture
def page(browser: Browser, report: Path) -> Browser:
    browser.open(report, width=1280)
    return browser


def model_of(laws: Laws, weights: dict[str, float] | None = None, caps: dict[str, float] | None = None) -> str:
    """The laws as a page has them, as JSON."""
    counts = np.array([1.0 if weights is None else weights.get(target, 0.0) for target in laws.targets])
    told = {"weights": (counts / counts.sum()).tolist(), "caps": [(caps or {}).get(name) for name in laws.domains]}
    numbers = portable(laws)
    assert numbers is not None
    return json.dumps({**numbers, **told})


def answer(browser: Browser, model: str, budget: float, floor: float) -> tuple[list[float], float]:
    """Shares and objective that the page finds."""
    call = f"(m => [solver.solve(m, {budget}, {floor})].map(h => [h, solver.mean(m, h, {budget})])[0])({model})"
    shares, objective = browser.value(call)
    return shares, objective


def agree(browser: Browser, laws: Laws, budget: float, floor: float, **options: Any) -> None:
    shares, objective = answer(browser, model_of(laws, **options), budget, floor)
    ours = solve(laws, budget, floor=floor, **options)
    assert shares == pytest.approx(list(ours.shares.values()), abs=CLOSE)
    assert objective == pytest.approx(ours.objective, rel=CLOSE, abs=0)
    assert objective < ours.objective * (1 + 1e-7)


def move(browser: Browser, slider: str, value: float) -> None:
    place = f"document.getElementById('explorer-{slider}')"
    browser.value(f"{place}.value = {value}; {place}.dispatchEvent(new Event('input', {{bubbles: true}}))")
    browser.call("Runtime.evaluate", expression=NEXT_FRAME, awaitPromise=True)


@pytest.mark.parametrize("floor", [0, 0.01, 0.05, 1 / 6])
@pytest.mark.parametrize("seed", range(4))
def test_the_page_finds_the_mixture_that_python_finds(page: Browser, seed: int, floor: float) -> None:
    for budget in (300, BUDGET, 1e6):
        agree(page, planted(seed), budget, floor)


@pytest.mark.parametrize("form", [name for name in FORMS if name != "total"])
def test_it_does_so_for_every_form_of_law(page: Browser, form: str) -> None:
    unique = {name: 100.0 * 2**place for place, name in enumerate(DOMAINS)}
    laws = fit_laws([replace(run, unique=unique) for run in runs_under(planted(1), noise=0.03)], form=form)
    for budget, floor in ((500, 0.0), (BUDGET, 0.05), (8 * BUDGET, 0.0), (BUDGET, 1 / 6)):
        agree(page, laws, budget, floor)


def test_where_draws_of_any_kind_are_alike_it_stays_uniform(page: Browser) -> None:
    laws = fit_laws(runs_under(planted(1), noise=0.03), form="total")
    assert answer(page, model_of(laws), BUDGET, 0)[0] == pytest.approx([1 / 6] * 6, abs=1e-9)


def test_weights_and_caps_count(page: Browser) -> None:
    caps = {"abdomen-ct": 0.3, "headneck-pet": 0.02}
    agree(page, planted(2), BUDGET, 0.02, caps=caps, weights={"brain-t1": 2.0, "abdomen-mr": 1.0})
    agree(page, planted(2), BUDGET, 0.0, caps=dict.fromkeys(DOMAINS, 1 / 6))


def test_sixty_four_domains_take_less_than_a_second(page: Browser) -> None:
    rng = np.random.default_rng(0)
    names = tuple(f"d{number}" for number in range(64))
    laws = Laws(
        names,
        1000.0,
        {
            name: law(0.1, rng.uniform(0.1, 0.4), 0.5, 20, dict(zip(names, rng.uniform(0, 0.3, 64), strict=True)))
            for name in names
        },
    )
    agree(page, laws, 50_000, 0.001)
    model = model_of(laws)
    assert (
        page.value(
            f"(m => {{ const t = performance.now(); solver.solve(m, 5e4, 0); return performance.now() - t }})({model})"
        )
        < 1000
    )


@pytest.mark.parametrize("width", [400, 1280])
def test_the_report_opens_without_an_error_a_request_or_a_bar_across(
    browser: Browser, report: Path, width: int
) -> None:
    browser.open(report, width=width)
    assert not SAID & browser.methods()
    assert set(browser.requested()) <= {"file", "data"}
    assert browser.value("document.scrollingElement.scrollWidth") <= width


def test_at_first_the_sliders_stand_at_the_plan(page: Browser) -> None:
    plan = evidence_of().allocation.shares
    shown = page.value(TEXTS.format("shares li span:last-child"))
    assert shown == [f"{100 * share:.1f} %" for share in plan.values()]
    assert page.value(TEXTS.format("budget-value")) == [f"{BUDGET:,} draws"]
    assert page.value(TEXTS.format("floor-value")) == ["5.0 %"]


def test_moving_a_slider_moves_shares_losses_and_the_note(page: Browser) -> None:
    laws = evidence_of().laws
    move(page, "floor", 0)
    move(page, "budget", 40)  # a third of the way from a quarter to 16 times
    expected = solve(laws, FITTED, floor=0)
    assert page.value(TEXTS.format("budget-value")) == ["2,050 draws"]
    assert page.value(TEXTS.format("shares li span:last-child")) == [
        f"{100 * share:.1f} %" for share in solve(laws, 2050, floor=0).shares.values()
    ]
    mean = float(page.value(TEXTS.format("losses tr:last-child td:first-of-type"))[0])
    assert mean == pytest.approx(1e3 * expected.objective, rel=1e-3)
    move(page, "budget", 120)
    assert page.value(TEXTS.format("note"))[0].startswith("Beyond the runs: 16.0 times the largest budget")
    assert page.value("document.getElementById('explorer-budget').getAttribute('aria-valuetext')") == "32,800 draws"


def test_the_largest_floor_is_the_uniform_mixture_and_reset_goes_back(page: Browser) -> None:
    before = page.value(TEXTS.format("shares li"))
    move(page, "floor", 120)
    assert set(page.value(TEXTS.format("shares li span:last-child"))) == {"16.7 %"}
    assert set(page.value(TEXTS.format("losses td:last-child"))) == {"0.0 %"}
    page.value("document.getElementById('explorer-reset').click() || true")
    page.call("Runtime.evaluate", expression=NEXT_FRAME, awaitPromise=True)
    assert page.value(TEXTS.format("shares li")) == before


def test_every_slider_has_a_label(page: Browser) -> None:
    assert page.value("[...document.querySelectorAll('input')].map(one => one.labels[0].textContent)") == [
        "Budget",
        "Floor",
    ]


def test_a_hostile_name_is_shown_as_text(browser: Browser, tmp_path: Path) -> None:
    names = (HOSTILE, "b")
    laws = Laws(names, 1000.0, {name: law(0.1, 0.3, 0.5, 5.0, dict.fromkeys(names, 0.1)) for name in names})
    evidence = evidence_of()
    hostile = replace(
        evidence,
        laws=replace(laws, data={"budgets": [500, 1000]}),
        allocation=Allocation(dict.fromkeys(names, 0.5), 1000),
    )
    section = explorer(hostile, problem_of(hostile))
    (tmp_path / "page.html").write_text(f"<!DOCTYPE html><meta charset=utf-8>{section.body}")
    browser.open(tmp_path / "page.html", width=400)
    assert not SAID & browser.methods()
    assert browser.value("document.querySelector('#explorer-shares li span').textContent") == HOSTILE
    assert browser.value("document.images.length") == 0


def test_json_in_a_script_cannot_end_it() -> None:
    text = as_script({"name": "</script><!--"})
    assert "<" not in text
    assert json.loads(text) == {"name": "</script><!--"}


def test_a_form_that_the_formula_does_not_hold_is_said_to_have_no_sliders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.explorer.portable", lambda laws: None)
    evidence = evidence_of()
    body = explorer(evidence, problem_of(evidence)).body
    assert body == "<p>Not shown: laws of the form transfer are solved by tools.allocate alone.</p>"


def test_a_slider_moves_by_the_keyboard(page: Browser) -> None:
    page.value("document.getElementById('explorer-floor').focus()  || true")
    for kind in ("keyDown", "keyUp"):
        page.call("Input.dispatchKeyEvent", type=kind, key="Home", code="Home", windowsVirtualKeyCode=36)
    page.call("Runtime.evaluate", expression=NEXT_FRAME, awaitPromise=True)
    assert page.value(TEXTS.format("floor-value")) == ["0.0 %"]


def test_without_scripts_the_rest_is_there_and_a_sentence_says_what_is_not(browser: Browser, report: Path) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(report, width=400)
    browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert browser.value("document.getElementById('explorer-panel').hidden")
    assert browser.value("document.querySelector('noscript').innerText").startswith("The sliders need JavaScript")
    assert browser.value("[...document.images].every(image => image.naturalWidth > 0)")


def test_a_plan_for_the_largest_loss_has_no_sliders() -> None:
    evidence = evidence_of()
    plan = Allocation(evidence.allocation.shares, BUDGET, "minimax", {"minimax": True})
    section = explorer(replace(evidence, allocation=plan), problem_of(replace(evidence, allocation=plan)))
    assert section.body.startswith("<p>Not shown: the plan makes the largest loss small")

"""The parts of a report that judge the laws and the plan, as HTML."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mixio.allocation import Allocation
from tests.reports import BUDGET, FITTED, evidence_of
from tests.truths import DOMAINS
from tools import law_sections, plan_sections
from tools.calibration import coverage, places
from tools.evidence import Evidence
from tools.page import percent
from tools.problem import problem_of
from tools.sections import Writer

ENTRY = {"form": "transfer", "parameters": 9.0, "budget_error": 0.03, "mixture_error": 0.02, "error": 0.025}
REFUSED = {"form": "additive", "parameters": 15.0, "error": None, "refused": "<too few> runs"}


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return evidence_of(samples=20)


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path)


def cells(html: str, row: str) -> list[str]:
    found = re.search(rf'<tr><th scope="row">{row}</th>(.*?)</tr>', html)
    assert found, row
    return re.findall("<td>(.*?)</td>", found.group(1))


def test_runs_beyond_the_fit_are_held_out(evidence: Evidence, writer: Writer) -> None:
    html = law_sections.validation(evidence, writer).body
    larger = sum(run.total > FITTED * 1.01 for run in evidence.runs)
    assert [cells(html, name)[0] for name in ("fitted", "held out")] == [str(54 - larger), str(larger)]
    assert 0.97 < float(cells(html, "held out")[1]) <= 1
    assert "--max-draws" not in html


def test_without_any_held_out_the_page_says_how_to(evidence: Evidence, writer: Writer) -> None:
    fitted = replace(evidence, runs=evidence.fitted)
    assert "fit with --max-draws" in law_sections.validation(fitted, writer).body
    assert "fit with --max-draws" in law_sections.calibration(fitted).body


def test_runs_gone_astray_are_named(evidence: Evidence, writer: Writer) -> None:
    assert "No run went astray." in law_sections.residuals(evidence, writer).body
    told = {
        name: replace(law, diagnostics=law.diagnostics | {"astray": ["run-7"]})
        for name, law in evidence.laws.targets.items()
    }
    strayed = replace(evidence, laws=replace(evidence.laws, targets=told))
    assert "which count little in the fit: run-7." in law_sections.residuals(strayed, writer).body


def test_parameters_stand_with_their_intervals(evidence: Evidence, writer: Writer) -> None:
    html = law_sections.intervals(evidence, writer).body
    low, high = evidence.laws.interval("beta", "brain-t1")
    beta = evidence.laws.targets["brain-t1"].parameters["beta"]
    assert cells(html, "brain-t1")[2] == f"{beta:.2f} ({low:.2f}–{high:.2f})"
    assert [path.name for path in writer.written] == ["intervals.png"]


def test_what_targets_share_has_intervals_too(writer: Writer) -> None:
    html = law_sections.intervals(evidence_of(form="transfer+gamma", samples=5), writer).body
    assert all(re.fullmatch(r"\d\.\d\d \(\d\.\d\d–\d\.\d\d\)", cells(html, f"gamma of {name}")[0]) for name in DOMAINS)


def test_a_comparison_names_the_chosen_form_and_the_refused(evidence: Evidence) -> None:
    told = {
        "comparison": {
            "entries": [{**ENTRY, "worse": 0.001, "doubt": 0.002, "refused": ""}, REFUSED],
            "chosen": "transfer",
        }
    }
    html = law_sections.comparison(replace(evidence, laws=replace(evidence.laws, provenance=told))).body
    assert cells(html, "transfer ← chosen") == ["2.50", "0.10 ± 0.20", "3.00", "2.00", "9"]
    assert "Not fitted: additive: &lt;too few&gt; runs" in html


def test_calibration_counts_what_lies_inside(evidence: Evidence) -> None:
    html = law_sections.calibration(evidence).body
    place = places(evidence.laws, evidence.unseen)
    assert place is not None
    assert cells(html, "held out") == [str(len(place)), *map(percent, coverage(place))]


def test_what_is_missing_is_said_with_the_command_that_makes_it(writer: Writer) -> None:
    evidence = evidence_of()
    assert "--compare" in law_sections.comparison(evidence).body
    assert "--samples 200" in law_sections.intervals(evidence, writer).body
    assert "--samples 200" in law_sections.calibration(evidence).body
    assert "--samples 200" in plan_sections.share_intervals(evidence, problem_of(evidence), writer).body


def test_a_plan_that_is_no_better_than_the_baseline_is_called_so(evidence: Evidence, writer: Writer) -> None:
    said = plan_sections.share_intervals(evidence, problem_of(evidence), writer).body
    assert "cannot tell" not in said
    even = replace(evidence, allocation=Allocation(dict.fromkeys(DOMAINS, 1 / 6), BUDGET))
    said = plan_sections.share_intervals(even, problem_of(even), writer).body
    assert "These runs cannot tell the plan from the uniform mixture." in said


def test_the_floor_table_starts_without_a_floor_and_ends_uniform(evidence: Evidence, writer: Writer) -> None:
    html = plan_sections.floors(evidence, problem_of(evidence), writer).body
    assert cells(html, "0.0 %")[1:2] == ["0.00 %"]
    assert cells(html, "16.7 %")[2] == "16.7 %"
    costs = [float(cells(html, floor)[1].split()[0]) for floor in ("0.0 %", "6.7 %", "13.3 %", "16.7 %")]
    assert costs == sorted(costs)


def test_a_power_law_has_its_exponent() -> None:
    at = np.geomspace(100, 10_000, 40)
    assert plan_sections.exponent(3 * at**-0.37, at, 1234) == pytest.approx(0.37)


def test_a_law_of_shares_has_one_best_mixture_for_all_budgets(writer: Writer) -> None:
    evidence = evidence_of(form="exponential")
    html = plan_sections.budgets(evidence, problem_of(evidence), writer).body
    assert "the best mixture is the same at every budget" in html


def test_the_plan_beats_the_baseline_at_every_budget_near_its_own(evidence: Evidence, writer: Writer) -> None:
    html = plan_sections.scaling(evidence, problem_of(evidence), writer).body
    needed = re.search(r"the uniform mixture needs ([\d.]+) times as many", html)
    assert needed
    assert float(needed.group(1)) > 1

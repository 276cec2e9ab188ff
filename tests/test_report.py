import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from mixio.allocation import Allocation
from mixio.convert import convert
from tests.truths import law
from tools.evidence import Strategy, Trial, read_evidence
from tools.fitting import fit_laws
from tools.laws import Laws
from tools.loss_figures import curves
from tools.phantoms import write_corpus
from tools.report import main
from tools.runlog import Run, append_event, read_runs

TAU = {"ct": {"mri": 0.5, "pet": 0.02}, "mri": {"ct": 0.9, "pet": 0.02}, "pet": {"ct": 0.03, "mri": 0.01}}
TRUTH = Laws(("ct", "mri", "pet"), 1000.0, {name: law(0.004, 0.01, 0.5, 50.0, tau) for name, tau in TAU.items()})
SHARES = {"proportional": {"ct": 0.7, "mri": 0.2, "pet": 0.1}, "transfer-aware": {"ct": 0.4, "mri": 0.1, "pet": 0.5}}
SECTIONS = (
    "slices curves validation residuals intervals comparison calibration transfer graph shares sure explorer scaling "
    "budgets floors forecast result domains"
).split()
PICTURES = 11
"""All but those of a store and of a bootstrap."""
VOID = {"meta", "img", "input"}


def losses(shares: dict[str, float], budget: float) -> dict[str, float]:
    return dict(zip(TRUTH.targets, TRUTH.predict(TRUTH.array(shares) * budget).tolist(), strict=True))


def scaled(values: dict[str, float], factor: float) -> dict[str, float]:
    return {name: value * factor for name, value in values.items()}


def log_run(folder: Path, name: str, shares: dict[str, float], budget: int) -> None:
    append_event(
        folder / f"{name}.jsonl",
        {
            "event": "config",
            "schema_version": 1,
            "run": name,
            "seed": 0,
            "draws": budget,
            "shares": shares,
            "strategy": None,
            "model": {"width": 96},
            "training": {"batch": 16},
            "store": "scans/phantoms",
            "host": {},
        },
    )
    append_event(
        folder / f"{name}.jsonl",
        {
            "event": "result",
            "draws": {domain: share * budget for domain, share in shares.items()},
            "unique": None,
            "loss": losses(shares, budget),
            "seconds": 1.0,
        },
    )


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that follow TRUTH exactly, laws fitted to them, and two strategies at four times the draws."""
    root = tmp_path_factory.mktemp("inputs")
    corners = np.vstack([np.eye(3), [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.4, 0.3, 0.3]]])
    for budget in (500, 2000):
        for row, corner in enumerate(corners):
            shares = dict(zip(TRUTH.domains, corner.tolist(), strict=True))
            log_run(root / "runs", f"run-{budget}-{row}", shares, budget)
    fit_laws(read_runs(root / "runs")).save(root / "laws.json")
    Allocation(SHARES["transfer-aware"], 8000, "transfer-aware").save(root / "allocation.json")
    strategies = [
        {
            "name": name,
            "shares": shares,
            "predicted": losses(shares, 8000),
            "measured": [scaled(losses(shares, 8000), 0.99), scaled(losses(shares, 8000), 1.01)],
        }
        for name, shares in SHARES.items()
    ]
    (root / "strategies.json").write_text(json.dumps({"schema_version": 1, "budget": 8000, "strategies": strategies}))
    return root


def report(inputs: Path, out: Path, *options: str, **replaced: str) -> Result:
    runs = replaced.pop("runs", str(inputs / "runs"))
    files = {name: str(inputs / f"{name}.json") for name in ("laws", "allocation", "strategies")} | replaced
    given = [part for name, path in files.items() for part in (f"--{name}", path)]
    return CliRunner().invoke(main, [runs, *given, "-o", str(out), *options])


@pytest.fixture(scope="module")
def html(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("report")
    result = report(inputs, out)
    assert result.exit_code == 0, result.output
    return (out / "index.html").read_text()


class Outline(HTMLParser):
    """Checks that tags nest, and notes sections, images and every attribute that could fetch something."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.sections, self.images, self.addresses = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.open += [] if tag in VOID else [tag]
        self.sections += [values["id"]] if tag == "section" else []
        self.images += [values] if tag == "img" else []
        self.addresses += [value for name, value in attributes if name in ("src", "href", "srcset", "action")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_has_every_section(html):
    outline = Outline(html)
    assert outline.open == []
    assert outline.sections == SECTIONS


def test_the_page_needs_nothing_from_outside(html):
    addresses = Outline(html).addresses
    assert sum(address.startswith("data:image/png;base64,") for address in addresses) == PICTURES
    assert [address for address in addresses if not address.startswith("data:")] == [f"#{name}" for name in SECTIONS]
    assert not re.search(r"https?://|url\(|@import|<script src|<link", html)


def test_every_picture_has_words_for_those_who_cannot_see_it(html):
    assert all(len(image["alt"]) > 20 for image in Outline(html).images)


def test_the_title_says_what_was_trained_and_on_what(html):
    assert "<h1>A masked autoencoder trained on mixtures of 3 domains</h1>" in html


def test_the_table_holds_the_measured_losses_and_the_gain(html):
    means = {name: 1e3 * np.mean(list(losses(shares, 8000).values())) for name, shares in SHARES.items()}
    gain = 100 * (1 - means["transfer-aware"] / means["proportional"])
    row = re.search(r'<tr><th scope="row">transfer-aware</th>(.*?)</tr>', html).group(1)
    cells = re.findall("<td>(.*?)</td>", row)
    spread = means["transfer-aware"] * 0.01 * 2**0.5  # standard deviation of -1 % and +1 %
    assert cells == [
        f"{means['transfer-aware']:.2f} ± {spread:.2f}",
        f"{gain:+.1f} % ({gain:+.1f} to {gain:+.1f})",  # in both seeds the same
        f"{means['transfer-aware']:.2f}",
        "40.0 %",
        "10.0 %",
        "50.0 %",
    ]


def test_laws_that_fit_exactly_beat_the_nulls_and_one_null_cannot_rank(inputs, tmp_path):
    result = report(inputs, tmp_path, "--json")
    verdicts = json.loads(result.stdout)["verdicts"]
    assert verdicts["transfer law"]["mre"] == pytest.approx(0.01, abs=0.001)  # seeds are 1 % off, either way
    assert verdicts["own draws only"]["mre"] > 0.03
    assert verdicts["total draws only"]["r"] is None


def test_runs_that_repeat_data_are_drawn_at_what_they_are_worth_in_fresh_draws(inputs):
    """However often its own few data are repeated, a domain does not reach what others bring; fresh draws do."""
    evidence = read_evidence(
        inputs / "runs", laws=inputs / "laws.json", allocation=inputs / "allocation.json", strategies=None
    )
    unique = dict.fromkeys(TRUTH.domains, 50.0)
    tired = replace(evidence.laws, form="transfer+repeats", shared={"lambda": 3.0}, unique=unique)
    figure = curves(replace(evidence, laws=tired))
    for ax, target in zip(figure.axes, tired.targets, strict=False):
        law, *dots = sorted(ax.lines, key=lambda line: -len(line.get_xdata()))
        for dot in dots:
            for worth, loss in zip(*dot.get_data(), strict=True):
                run = next(each for each in evidence.runs if each.loss[target] == pytest.approx(loss / 1e3))
                expected = tired.predict(tired.array(run.draws))[list(tired.targets).index(target)]
                assert np.interp(np.log(worth), np.log(law.get_xdata()), law.get_ydata()) == pytest.approx(
                    1e3 * expected, rel=0.01
                )


def test_a_gain_is_the_part_of_the_baselines_loss_that_is_saved():
    plain = Strategy("proportional", {"ct": 1.0}, {"ct": 4.0}, [{"ct": 4.0}])
    better = Strategy("better", {"ct": 1.0}, {"ct": 3.0}, [{"ct": 2.0}, {"ct": 4.0}])
    trial = Trial(100, [plain, better])
    assert trial.gain(better) == pytest.approx(0.25)
    assert trial.gain(plain) is None
    assert plain.spread is None
    assert better.spread == pytest.approx(2**0.5)


def test_the_table_by_domain_shows_predictions_beside_measurements_and_who_loses(html):
    table = html[html.index('id="domains"') :]
    shown = re.findall(r'<tr><th scope="row">([^<]+)</th>(.*?)</tr>', table)
    assert len(shown) == 3
    assert all(len(re.findall(r"\d+\.\d → \d+\.\d", cells)) == len(SHARES) for _, cells in shown)


def test_a_difference_within_the_noise_of_seeds_is_not_called_a_gain():
    def strategy(name, *means):
        return Strategy(name, {"a": 1.0}, {"a": 1.0}, [{"a": mean} for mean in means])

    base, close, far = strategy("proportional", 1.0, 1.1), strategy("x", 0.97, 1.08), strategy("y", 0.5, 0.52)
    trial = Trial(10, [base, close, far])
    assert trial.is_noise(close) is True
    assert trial.is_noise(far) is False
    assert Trial(10, [base, strategy("z", 0.5)]).is_noise(strategy("z", 0.5)) is None


def test_without_strategies_the_page_says_what_is_missing(inputs, tmp_path):
    arguments = [
        str(inputs / "runs"),
        "--laws",
        str(inputs / "laws.json"),
        "--allocation",
        str(inputs / "allocation.json"),
        "-o",
        str(tmp_path),
    ]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    html = (tmp_path / "index.html").read_text()
    assert Outline(html).sections == SECTIONS
    assert "no strategies were given (--strategies)" in html


def test_slices_of_a_store_are_shown(inputs, tmp_path):
    write_corpus(tmp_path / "corpus", scale=0.15)
    convert(tmp_path / "corpus" / "sources.csv", tmp_path / "store")
    result = report(inputs, tmp_path / "report", "--store", str(tmp_path / "store"))
    assert result.exit_code == 0, result.output
    assert (tmp_path / "report" / "slices.png").read_bytes().startswith(b"\x89PNG")
    assert "Slices of abdomen-ct, abdomen-mri" in (tmp_path / "report" / "index.html").read_text()


def test_a_name_with_markup_in_it_is_shown_as_text(inputs, tmp_path):
    content = json.loads((inputs / "strategies.json").read_text())
    content["strategies"][1]["name"] = "<b>bold</b>"
    (tmp_path / "strategies.json").write_text(json.dumps(content))
    assert report(inputs, tmp_path / "out", strategies=str(tmp_path / "strategies.json")).exit_code == 0
    html = (tmp_path / "out" / "index.html").read_text()
    assert "<b>" not in html
    assert "&lt;b&gt;bold&lt;/b&gt;" in html


def test_runs_the_laws_never_saw_are_pointed_out(inputs, tmp_path, html):
    assert "not exactly those" not in html
    runs = tmp_path / "runs"
    log_run(runs, "other", SHARES["proportional"], 500)
    log_run(runs, "another", SHARES["transfer-aware"], 500)
    for log in (inputs / "runs").glob("*.jsonl"):
        (runs / log.name).write_bytes(log.read_bytes())
    assert report(inputs, tmp_path / "out", runs=str(runs)).exit_code == 0
    assert "not exactly those the laws were fitted on" in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.parametrize("name", ["laws", "allocation", "strategies"])
def test_a_missing_file_is_one_line_and_exit_2(inputs, tmp_path, name):
    result = report(inputs, tmp_path, **{name: str(tmp_path / "nowhere.json")})
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert "nowhere.json" in result.stderr
    assert result.stderr.count("\n") == 1


def test_missing_runs_are_one_line_and_exit_2(inputs, tmp_path):
    result = report(inputs, tmp_path, runs=str(tmp_path / "nowhere"))
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "schema_version 2, expected 1"),
        ({"strategies": [{"name": "x"}]}, "cannot read"),
        (
            {"strategies": [{"name": "x", "shares": {"ct": 1.0}, "predicted": {"ct": 1.0}, "measured": []}]},
            "no measured",
        ),
        ({"strategies": [{"name": "x", "shares": {"ct": 1.0}, "predicted": {}, "measured": [{}]}]}, "no measured"),
        (
            {"strategies": [{"name": "x", "shares": {"mars": 1}, "predicted": {"ct": 1}, "measured": [{"ct": 1}]}]},
            "mars",
        ),
        (
            {"strategies": [{"name": "x", "shares": {"ct": 1}, "predicted": {"mars": 1}, "measured": [{"mars": 1}]}]},
            "mars",
        ),
    ],
)
def test_a_bad_strategies_file_is_refused_in_one_line(inputs, tmp_path, change, message):
    content = json.loads((inputs / "strategies.json").read_text()) | change
    (tmp_path / "strategies.json").write_text(json.dumps(content))
    result = report(inputs, tmp_path / "out", strategies=str(tmp_path / "strategies.json"))
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_run_that_is_measured_is_a_run_like_any_other():
    trial = Trial(100, [Strategy("plain", {"ct": 0.25, "mri": 0.75}, {"ct": 1.0}, [{"ct": 2.0}])])
    assert trial.runs() == [
        Run("plain-0", 0, {"ct": 25.0, "mri": 75.0}, None, {"ct": 2.0}, {"ct": 0.25, "mri": 0.75}, "plain")
    ]

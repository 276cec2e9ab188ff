"""Turn runs, laws and an allocation into one page with pictures that can be mailed as a single file.

    python -m tools.report runs --laws laws.json --allocation allocation.json --strategies strategies.json -o report

Writes report/index.html, which holds everything, and the same pictures as PNG files beside it. `--store` adds
slices of what was trained on; `--strategies` adds the test that counts, mixtures trained at a budget that the
fit never saw, measured against what was predicted for them.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import click

from tools import law_sections, plan_sections, sections, trial_sections
from tools.command import command
from tools.evidence import Evidence, read_evidence
from tools.explorer import explorer
from tools.page import page
from tools.problem import problem_of
from tools.slices import Slices, read_held_out, read_slices


def write_report(
    evidence: Evidence, slices: Slices | None, folder: Path, *, held_out: Mapping[str, int] | None = None
) -> list[Path]:
    """Write the page and its pictures; returns the files, index.html last.

    `held_out` is the number of validation volumes of each domain, where known.
    """
    writer, problem = sections.Writer(folder), problem_of(evidence)
    parts = [
        sections.seen(slices, writer),
        sections.curves(evidence, writer),
        law_sections.validation(evidence, writer),
        law_sections.residuals(evidence, writer),
        law_sections.intervals(evidence, writer),
        law_sections.comparison(evidence),
        law_sections.calibration(evidence),
        sections.transfer(evidence, writer),
        sections.graph(evidence, writer),
        sections.shares(evidence, writer),
        plan_sections.share_intervals(evidence, problem, writer),
        explorer(evidence, problem),
        plan_sections.scaling(evidence, problem, writer),
        plan_sections.budgets(evidence, problem, writer),
        plan_sections.floors(evidence, problem, writer),
        trial_sections.forecast(evidence, writer),
        trial_sections.result(evidence),
        trial_sections.domains(evidence, held_out),
    ]
    html = page(sections.title_of(evidence), sections.lead_of(evidence), parts, sections.footer_of(evidence))
    writer.write("index.html", html.encode())
    return writer.written


@command()
@click.argument("runs", type=click.Path(path_type=Path))
@click.option("--laws", required=True, type=click.Path(path_type=Path), help="laws.json of tools.fit_laws.")
@click.option("--allocation", required=True, type=click.Path(path_type=Path), help="allocation.json of tools.allocate.")
@click.option("--store", type=click.Path(path_type=Path), help="The store trained on, for slices.")
@click.option("--strategies", type=click.Path(path_type=Path), help="Mixtures measured at a new budget.")
@click.option("-o", "--output", default="report", type=click.Path(path_type=Path), help="Folder to write to.")
@click.option("--json", "as_json", is_flag=True, help="Print a summary for machines.")
def main(
    runs: Path, laws: Path, allocation: Path, store: Path | None, strategies: Path | None, output: Path, as_json: bool
) -> None:
    """Write a page about RUNS, a directory of run logs or a CSV."""
    evidence = read_evidence(runs, laws=laws, allocation=allocation, strategies=strategies)
    slices, held_out = (read_slices(store), read_held_out(store)) if store else (None, None)
    written = write_report(evidence, slices, output, held_out=held_out)
    if evidence.unfinished:
        click.echo(f"warning: left out {len(evidence.unfinished)} runs without a result", err=True)
    if as_json:
        verdicts = {each.name: {"r": each.correlation, "mre": each.error} for each in evidence.verdicts}
        click.echo(json.dumps({"files": [str(path) for path in written], "verdicts": verdicts}))
        return
    click.echo(f"wrote {written[-1]}, which holds its {len(written) - 1} pictures")
    click.echo(f"next: open {written[-1]} in a browser")


if __name__ == "__main__":
    main()

"""The `mixio` command: convert, inspect, verify, recipe.

Long work shows a progress bar on a terminal and plain lines elsewhere. Exit codes: 0 done, 1 finished with faults
(listed), 2 wrong use; what a user can cause ends in one line that says what to do, never in a traceback.
"""

import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from mixio import __version__
from mixio.convert import QUARANTINE, Summary, convert
from mixio.recipes import RECIPES, flags_of, left_out, summary_of, table
from mixio.recipes.tables import as_csv, write_table
from mixio.inspection.inspect import SAMPLE, Inspection, inspect_store
from mixio.inspection.overview import print_inspection
from mixio.inspection.page import Unreadable, write_page
from mixio.settings import Settings, settings_of
from mixio.store import Store, open_store
from mixio.terminal import Reporter, one_line_errors

_CONTEXT = {"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 110}
_LISTED_FAULTS = 10


class Group(click.Group):
    """Commands that turn a `MixioError`, or a failing file system, into one line on stderr and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        with one_line_errors(ctx):
            return super().invoke(ctx)


@click.group(cls=Group, context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="mixio")
def main() -> None:
    """Volumes to stores, stores to exact mixtures of patches."""


@main.command("convert", context_settings=_CONTEXT)
@click.argument("sources", type=click.Path(path_type=Path))
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--jobs", type=int, help="Worker processes.  [default: one a core]")
@click.option("--chunk", type=int, help="Edge of a chunk in voxels.  [default: 48]")
@click.option("--val-fraction", type=float, help="Share of subjects held out for validation.  [default: 0.1]")
@click.option("--split-seed", type=int, help="Which subjects.  [default: so that every domain has some]")
@click.option("--keep-names/--hash-names", default=None, help="Keep source names and subjects, or hash them (default).")
@click.option("--salt", type=str, help="Secret that goes into the hashes.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def convert_command(sources: Path, store: Path, jobs: int | None, as_json: bool, **settings: Any) -> None:
    """Convert SOURCES into STORE; goes on where an interrupted conversion was.

    SOURCES is a table (.csv, .jsonl, .parquet) with columns path and domain, and optionally modality, subject,
    split, label, unit, key; or a folder with one subfolder a domain.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    with Reporter("converting", quiet=as_json) as reporter:
        summary = convert(
            sources,
            store,
            settings=replace(settings_of(store, salt=given.get("salt", "")) or Settings(), **given),
            jobs=jobs,
            progress=lambda so_far, total: reporter.update(_done(so_far), total, faults=len(so_far.faults)),
        )
    if as_json:
        click.echo(json.dumps(asdict(summary)))
    else:
        _print_summary(summary)
    if summary.faults:
        click.get_current_context().exit(1)


def _done(summary: Summary) -> int:
    return summary.converted + summary.found + len(summary.faults)


def _print_summary(summary: Summary) -> None:
    for fault in summary.faults[:_LISTED_FAULTS]:
        click.echo(f"quarantined {fault.source}: {fault.reason}", err=True)
    if len(summary.faults) > _LISTED_FAULTS:
        click.echo(f"... and {len(summary.faults) - _LISTED_FAULTS} more", err=True)
    size = f" ({summary.source_bytes / 1e6:.1f} MB read, {summary.stored_bytes / 1e6:.1f} MB written)"
    there = f", {summary.found} were there already" if summary.found else ""
    click.echo(f"{summary.converted} volumes converted{size if summary.converted else ''}{there}")
    if summary.faults:
        click.echo(f"{len(summary.faults)} sources quarantined, see {Path(summary.store) / QUARANTINE}")
    click.echo(f"wrote {summary.store}; next: mixio inspect {summary.store}")


@main.command("inspect", context_settings=_CONTEXT)
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--html", "page", type=click.Path(path_type=Path, dir_okay=False), help="Write a page with pictures.")
@click.option("--volumes", type=click.IntRange(0), default=SAMPLE, help="Volumes of each domain on the page.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def inspect_command(store: Path, page: Path | None, volumes: int, as_json: bool) -> None:
    """What is in STORE: two tables with a row per domain; with --html, a page to look at in a browser.

    The page needs no network. It has no more names than the store keeps, but it shows anatomy: mind who may see it.
    """
    opened = open_store(store)
    inspection = inspect_store(opened, sample=volumes)
    faults = _draw_page(opened, inspection, page, quiet=as_json) if page else ()
    if as_json:
        unreadable = [asdict(fault) for fault in faults]
        click.echo(json.dumps({**asdict(inspection), "page": page and str(page), "unreadable": unreadable}))
    else:
        print_inspection(inspection, Console())
        for fault in faults:
            click.echo(f"{fault.volume} cannot be shown: {fault.reason}", err=True)
        if page:
            click.echo(f"wrote {page}")
        click.echo(f"next: mixio verify {opened.path}, or sample from it with mixio.MixtureDataset")
    if faults:
        click.get_current_context().exit(1)


def _draw_page(store: Store, inspection: Inspection, page: Path, *, quiet: bool) -> tuple[Unreadable, ...]:
    with Reporter("drawing", quiet=quiet) as reporter:
        return write_page(store, inspection, page, progress=reporter.update)


@main.command("verify", context_settings=_CONTEXT)
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the damage as JSON.")
def verify_command(store: Path, as_json: bool) -> None:
    """Check every stored byte of STORE against its checksum; exit 1 and a list if anything is wrong."""
    opened = open_store(store)
    damage = [{"volume": name, "file": blob.path, "damage": what} for name, blob, what in opened.damage()]
    if as_json:
        click.echo(json.dumps({"store": opened.path, "volumes": len(opened), "damage": damage}))
    else:
        for entry in damage:
            click.echo(f"{entry['volume']}: {entry['file']} {entry['damage']}", err=True)
        click.echo(f"{len(opened)} volumes checked, {len(damage)} files damaged")
        if damage:
            click.echo(f"next: delete the damaged volumes' folders in {opened.path} and run mixio convert again")
    if damage:
        click.get_current_context().exit(1)


def _recipe_lines() -> str:
    return "\n".join(f"{name:<14}{summary_of(name)}" for name in RECIPES)


def _list_recipes(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(_recipe_lines())
        context.exit()


@main.command("recipe", context_settings=_CONTEXT, epilog=f"\b\n{_recipe_lines()}")
@click.argument("name")
@click.argument("root", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Write a .csv or .jsonl.  [default: CSV to stdout]"
)
@click.option("--list", is_flag=True, is_eager=True, expose_value=False, callback=_list_recipes, help="List the names.")
def recipe_command(name: str, root: Path, output: Path | None) -> None:
    """The table of sources of a public data set: NAME is one of those below, ROOT the folder it was unpacked in.

    Paths are absolute on stdout, and relative to the table in a file.
    """
    rows = table(name, root)
    counts = ", ".join(f"{domain} {n}" for domain, n in sorted(Counter(row["domain"] for row in rows).items()))
    if output is None:
        click.echo(as_csv(rows), nl=False)
        wrote, source = f"save it with -o {name}.csv", f"{name}.csv"
    else:
        write_table(rows, output)
        wrote, source = f"wrote {output}", str(output)
    click.echo(f"{len(rows)} volumes: {counts}", err=True)
    if others := left_out(rows, root):
        manual = f"python -m pydoc mixio.recipes.{name.replace('-', '_')}"
        click.echo(f"{others} other volume files in {root} are left out, as {manual} says", err=True)
    click.echo(f"{wrote}; next: mixio convert {source} STORE {flags_of(name)}".rstrip(), err=True)

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
from mixio.cast import DTYPES
from mixio.conversion import Summary
from mixio.convert import convert
from mixio.errors import DamagedStoreError
from mixio.inspection.inspect import SAMPLE, Inspection, inspect_store
from mixio.inspection.overview import print_inspection
from mixio.inspection.page import Unreadable, write_page
from mixio.quarantine import PRIVATE
from mixio.readers import FRAMES
from mixio.recipes import RECIPES, flags_of, left_out, summary_of, table
from mixio.recipes.tables import as_csv, write_table
from mixio.settings import CONTAINERS, Settings, parse_spacing, settings_of
from mixio.sources import read_sources
from mixio.store import Store, open_store
from mixio.terminal import Reporter, one_line_errors
from mixio.verify import Damage, compare, unopened, verify
from mixio.workers import parse_bytes

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


@main.command("convert", short_help="Convert volumes into a store.", context_settings=_CONTEXT)
@click.argument("sources", type=click.Path(path_type=Path))
@click.argument("store")
@click.option("--container", type=click.Choice(CONTAINERS), help="Zarr, or tars to stream.  [default: zarr]")
@click.option(
    "--spacing", metavar="X,Y,Z", help="Resample to this voxel size in mm, as 1.5,1.5,2.0.  [default: native]"
)
@click.option(
    "--dtype", type=click.Choice(DTYPES), help="Type of stored voxels; what that costs is recorded.  [default: native]"
)
@click.option(
    "--crop-foreground/--whole", default=None, help="Keep the box around the foreground only, or all (default)."
)
@click.option("--chunk", type=int, help="Edge of a chunk in voxels.  [default: 32]")
@click.option("--codec", metavar="NAME:LEVEL:FILTER", help="lz4, lz4hc, zstd or none.  [default: lz4:5:bitshuffle]")
@click.option("--shard-size", metavar="BYTES", help="Close a tar at this size.  [default: 1GiB]")
@click.option("--frames", type=click.Choice(FRAMES), help="What to take of 4D sources.  [default: quarantine them]")
@click.option(
    "--assume-affine/--known-affine",
    default=None,
    help="Guess where left and right are in files that do not say, or quarantine them (default).",
)
@click.option(
    "--max-nonfinite",
    type=float,
    help="Share of NaN and infinite voxels above which a source is quarantined.  [default: 0.01]",
)
@click.option("--val-fraction", type=float, help="Share of subjects held out for validation.  [default: 0.1]")
@click.option("--split-seed", type=int, help="Draws these subjects.  [default: one that gives every domain some]")
@click.option("--keep-names/--hash-names", default=None, help="Keep source names and subjects, or hash them (default).")
@click.option("--salt", metavar="SECRET", help="Goes into the hashes of names, so that nobody can guess them.")
@click.option("--jobs", type=int, help="Worker processes; 0 works in this one.  [default: one a core]")
@click.option(
    "--memory", metavar="BYTES", help="What all jobs together may take, as 16GB.  [default: 4/5 of what is free]"
)
@click.option("--dask", metavar="ADDRESS", help="Work on this Dask cluster; local starts one.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def convert_command(
    sources: Path, store: str, jobs: int | None, memory: str | None, dask: str | None, as_json: bool, **settings: Any
) -> None:
    """Convert SOURCES into STORE; goes on where an interrupted conversion was.

    SOURCES is a table (.csv, .jsonl, .parquet) with columns path and domain, and optionally modality, subject,
    split, target, label, label:<name>, unit, key, item, spacing; or a folder with one subfolder a domain. A path is a
    file, a folder of DICOM, or an s3://, gs:// or https:// address. STORE is a folder, or an s3:// or gs:// address.

    What cannot be trusted is left out and listed, with the reason, in quarantine.jsonl; then the exit code is 1. It is
    2 for wrong use. A store is made with one set of settings: leave them out to add to it.
    """
    given = _settings_given(settings)
    with Reporter("converting", quiet=as_json) as reporter, reporter.log("mixio"):
        summary = convert(
            sources,
            store,
            settings=replace(settings_of(store, salt=given.get("salt", "")) or Settings(), **given),
            jobs=jobs,
            memory=parse_bytes(memory) if memory else None,
            dask=dask,
            progress=lambda so_far, total: reporter.update(so_far.done, total, faults=len(so_far.faults)),
        )
    if as_json:
        click.echo(json.dumps(asdict(summary)))
    else:
        _print_summary(summary)
    if summary.faults:
        click.get_current_context().exit(1)


def _settings_given(options: dict[str, Any]) -> dict[str, Any]:
    """The settings that the user chose, in the types of `Settings`."""
    given = {name: value for name, value in options.items() if value is not None}
    if "spacing" in given:
        given["spacing"] = parse_spacing(given["spacing"])
    if "shard_size" in given:
        given["shard_size"] = parse_bytes(given["shard_size"])
    return given


def _print_summary(summary: Summary) -> None:
    for fault in summary.faults[:_LISTED_FAULTS]:
        reason = fault.reason.removeprefix(f"{Path(fault.source).name}: ")
        click.echo(f"quarantined {fault.source}: {reason}", err=True)
    if len(summary.faults) > _LISTED_FAULTS:
        click.echo(f"... and {len(summary.faults) - _LISTED_FAULTS} more", err=True)
    size = f" ({summary.source_bytes / 1e6:.1f} MB read, {summary.stored_bytes / 1e6:.1f} MB written)"
    there = f", {summary.found} were there already" if summary.found else ""
    click.echo(f"{summary.converted} volumes converted{size if summary.converted else ''}{there}")
    if summary.faults:
        click.echo(f"{len(summary.faults)} sources quarantined, see {summary.store}/{PRIVATE}")
    if summary.older_faults:
        told = f"{summary.older_faults} sources not listed now are in quarantine from before"
        click.echo(f"{told}, see {summary.store}/{PRIVATE}")
    click.echo(f"wrote {summary.store}; next: mixio inspect {summary.store}")


@main.command("inspect", short_help="Show what is in a store.", context_settings=_CONTEXT)
@click.argument("store")
@click.option("--html", "page", type=click.Path(path_type=Path, dir_okay=False), help="Write a page with pictures.")
@click.option("--volumes", type=click.IntRange(0), default=SAMPLE, help="Volumes of each domain on the page.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def inspect_command(store: str, page: Path | None, volumes: int, as_json: bool) -> None:
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


@main.command("verify", short_help="Check every byte of a store.", context_settings=_CONTEXT)
@click.argument("store")
@click.option("--source", type=click.Path(path_type=Path), help="Table or folder of the originals, to compare with.")
@click.option("--salt", default="", help="Secret that the names were hashed with; needed with --source.")
@click.option("--json", "as_json", is_flag=True, help="Print the damage as JSON.")
def verify_command(store: str, source: Path | None, salt: str, as_json: bool) -> None:
    """Check every stored byte of STORE against what it should be; exit 1 and a list if anything is wrong.

    With --source, the originals are read again and their voxels compared with the stored ones.
    """
    damage, checked = [], 0
    try:
        opened = open_store(store)
    except DamagedStoreError as error:
        damage = [unopened(store, error)]
    else:
        damage, checked = _damage(opened, source, salt, quiet=as_json)
    if as_json:
        click.echo(json.dumps({"store": store, "volumes": checked, "damage": [asdict(entry) for entry in damage]}))
    else:
        for entry in damage:
            click.echo(": ".join(filter(None, (entry.volume, entry.file, entry.damage))), err=True)
        click.echo(f"{checked} volumes checked, {len(damage)} faults found")
        if damage:
            click.echo(_advice(store, damage))
        else:
            click.echo("next: sample from it with mixio.MixtureDataset")
    if damage:
        click.get_current_context().exit(1)


def _advice(store: str, damage: list[Damage]) -> str:
    """What mends a store, with the files and folders that are to be deleted for it."""
    places = sorted({entry.delete for entry in damage} - {""})
    listed = "".join(f"\n  {store}/{place}" for place in places)
    return f"next: delete these and run mixio convert again{listed}" if places else "next: run mixio convert again"


def _damage(store: Store, source: Path | None, salt: str, *, quiet: bool) -> tuple[list[Damage], int]:
    """What is damaged, and how many volumes were checked."""
    found: list[Damage] = []
    checked = 0
    passes = [("verifying", verify(store), len(store))]
    if source is not None:
        passes.append(("comparing", compare(store, source, salt=salt), len(read_sources(source))))
    for what, steps, total in passes:
        done = 0
        with Reporter(what, quiet=quiet) as reporter:
            try:
                for step in steps:
                    if isinstance(step, Damage):
                        found.append(step)
                    else:
                        done += 1
                        reporter.update(done, total, faults=len(found))
            except DamagedStoreError as error:
                found.append(unopened(store.path, error))
        checked = max(checked, done)
    return found, checked


def _recipe_lines() -> str:
    return "\n".join(f"{name:<14}{summary_of(name)}" for name in RECIPES)


def _list_recipes(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(_recipe_lines())
        context.exit()


@main.command(
    "recipe",
    short_help="Make the table of a public data set.",
    context_settings=_CONTEXT,
    epilog=f"\b\n{_recipe_lines()}",
)
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

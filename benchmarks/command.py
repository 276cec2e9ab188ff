"""The command line that readers and loaders have, and what they leave: a table, a JSON file, a chart."""

import json
import os
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from benchmarks.chart import draw
from benchmarks.measure import contest, nifti_bytes, table
from benchmarks.peers.roster import BENCHES
from benchmarks.run import Task

SHAPE, SIZE = (320, 320, 256), (96, 96, 96)
PACKAGES = (
    "numpy torch numcodecs nibabel zarr zarrs tensorstore blosc2 monai torchio webdataset mosaicml-streaming litdata"
).split()


def command(bench: str, *, rounds: int, seconds: float, about: str) -> click.Command:
    """The command of a contest."""

    @click.command(help=about)
    @click.option("--folder", type=click.Path(path_type=Path), help="Where volumes are made, kept, and used again.")
    @click.option("--only", default="", help="Contestants, as the table names them, with commas between.")
    @click.option("--rounds", default=rounds, type=click.IntRange(min=1), help="Turns of each.")
    @click.option("--seconds", default=seconds, type=click.FloatRange(min=0.1), help="How long a turn is measured.")
    @click.option("--json", "record", type=click.Path(path_type=Path), help="A file for every turn's figures.")
    @click.option("--chart", type=click.Path(path_type=Path), help="A PNG.")
    def run(
        folder: Path | None, only: str, rounds: int, seconds: float, record: Path | None, chart: Path | None
    ) -> None:
        names = known_names(bench, only)
        with tempfile.TemporaryDirectory() as temporary:
            task = Task(bench, "", str(folder or temporary), 12, SHAPE, SIZE, seconds=seconds)
            entries = contest(task, rounds, names)
            reference = nifti_bytes(task)
        told = conditions(task, rounds)
        print("\n" + "\n".join([*told.values(), "", table(entries, reference)]))
        if record:
            figures = {"nifti_bytes": reference, "entries": [asdict(entry) for entry in entries]}
            record.write_text(json.dumps(told | figures, indent=1))
        if chart:
            draw(entries, told["what"], chart)

    return run


def known_names(bench: str, text: str) -> list[str]:
    """The names in `--only`; raises `click.BadParameter` for one that nobody has."""
    known = [one.name for one in BENCHES[bench]]
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise click.BadParameter(f"there is no contestant {name!r}; they are {', '.join(known)}")
    return names


def conditions(task: Task, rounds: int) -> dict[str, str]:
    """What was measured, where, and with which versions."""
    shape, size = ("x".join(map(str, edges)) for edges in (task.shape, task.size))
    how = "int16, one core"
    if task.bench == "load":
        how = f"float32 in [0, 1], batches of {task.batch}, {task.workers} workers or threads"
    what = f"{size} patches of {task.volumes} volumes of {shape}, {how}"
    return {
        "what": f"{what}; warm file cache, {rounds} rounds of {task.seconds:g} s",
        "machine": machine(),
        "versions": versions(PACKAGES),
    }


def machine() -> str:
    """The processors that this process may use, and how busy they are."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{len(os.sched_getaffinity(0))} cores of {models[0].partition(': ')[2]}, load {load} at the end"


def versions(packages: Sequence[str]) -> str:
    """Of Python and of these packages."""
    return f"Python {platform.python_version()}, " + ", ".join(map(_version, packages))


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} not installed"

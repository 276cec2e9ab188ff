"""From nothing to the first batch of a store of a million volumes, and what its workers hold.

    python -m benchmarks.bench_start [ROWS [STORE]]

Four small volumes are converted into tars, and a manifest of a million rows is written that all point into them; with
STORE it is kept there and used again. Then every measurement runs in a fresh process, `RUNS` times in turn, beside the
same with torch alone: a data set of batches of zeros of that size. Prints medians and, in brackets, least and most:

    start      seconds from opening the store to the first batch of 4, imports apart; the peak of the process; and the
               proportional memory (PSS) of it and its spawned workers together, 8 batches later
    rows       random rows a second, few of them read before, and random patches of 96 voxels a second
    fingerprint    seconds of those that a saved position carries; and the bytes of a pickled data set

PSS counts a page that n processes share as one n-th in each.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import nibabel as nib
import numpy as np

from benchmarks.start_process import DOMAINS
from mixio.convert import convert
from mixio.manifest import write_manifest
from mixio.row import Row
from mixio.settings import Settings
from mixio.store import open_store
from mixio.stores.storage import storage_of

ROWS = 1_000_000
RUNS = 3


def write_store(root: Path, count: int) -> None:
    """A store of `count` rows over four volumes of 160 voxels a side; reading checks chunks, not whole shards."""
    rng, table = np.random.default_rng(0), ["path,domain,key"]
    with tempfile.TemporaryDirectory() as folder:
        for number in range(4):
            voxels = (rng.random((160, 160, 160)) * 900).astype(np.int16)
            voxels[:60] = 0
            nib.Nifti1Image(voxels, np.eye(4)).to_filename(Path(folder) / f"{number}.nii")
            table.append(f"{number}.nii,{DOMAINS[number % 2]},{number}")
        (Path(folder) / "table.csv").write_text("\n".join(table))
        convert(Path(folder) / "table.csv", root, settings=Settings(container="webdataset", keep_names=True), jobs=0)
    write_manifest(storage_of(root), _many(list(open_store(root).manifest.rows()), count))


def _many(rows: list[Row], count: int) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    for domain in DOMAINS:
        own = [row for row in rows if row.domain == domain]
        for number in range(count // len(DOMAINS)):
            yield _another(own[number % len(own)], number, rng.bytes(32).hex())


def _another(row: Row, number: int, noise: str) -> Row:
    """The volume under another name; `noise` stands for what differs between volumes, and so makes a large file."""
    spacing = (0.5 + int(noise[:8], 16) / 2**33, *row.spacing[1:])
    return replace(
        row,
        key=f"case-{number:012x}",
        subject=f"subject-{noise[:12]}",
        split="val" if number % 10 == 0 else "train",
        spacing=spacing,
        affine=((spacing[0], *row.affine[0][1:]), *row.affine[1:]),
        blobs=tuple(replace(blob, crc32c=blob.crc32c ^ int(noise[:8], 16)) for blob in row.blobs),
        source=noise[:32],
        source_sha256=noise,
    )


PLAN = [
    *(("start", workers, alone) for workers in (0, 1, 4) for alone in (True, False)),
    ("rows", 0, False),
    ("fingerprint", 0, False),
]


def _in_a_fresh_process(what: str, root: str, workers: int, alone: bool) -> dict[str, float]:
    # torch warns of more workers than cores, which is what is to be measured here.
    words = ["-W", "ignore", "-m", "benchmarks.start_process", what, root, str(workers), str(int(alone))]
    command = [sys.executable, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _report(root: str) -> None:
    found: dict[tuple[str, int, bool], list[dict[str, float]]] = {step: [] for step in PLAN}
    for _ in range(RUNS):
        for step in PLAN:
            found[step].append(_in_a_fresh_process(step[0], root, *step[1:]))
    for (what, workers, alone), told in found.items():
        label = f"{what}, {workers} workers, {'torch alone' if alone else 'mixio'}" if what == "start" else what
        spread = {name: sorted(one[name] for one in told) for name in told[0]}
        figures = (f"{name} {median(v):.4g} ({v[0]:.4g} to {v[-1]:.4g})" for name, v in spread.items())
        print(f"{label:<32} {', '.join(figures)}")


def main(words: list[str]) -> None:
    """Write the store, measure, print."""
    count = int(words[0]) if words else ROWS
    with tempfile.TemporaryDirectory() as folder:
        root = Path(words[1]) if words[1:] else Path(folder) / "store"
        if not (root / "manifest.json").exists():
            write_store(root, count)
        print(f"{len(open_store(root))} rows; the index has {(root / 'manifest.index').stat().st_size / 1e6:.0f} MB")
        _report(str(root))


if __name__ == "__main__":
    main(sys.argv[1:])

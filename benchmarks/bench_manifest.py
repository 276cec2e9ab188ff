"""A manifest of a million volumes: written, opened, looked into.

    python -m benchmarks.bench_manifest [ROWS]

The rows are synthetic: ten domains, CT-like fields, one image shard, one label map, the occupancy. The manifest is
written once; then every measurement runs in a fresh process, whose peak memory is that of the whole process, Python
and pyarrow included. The peer reads the whole file with `pyarrow.parquet.read_table`. Prints seconds, processor seconds
of the whole process, imports and all its threads included (to be believed where others use the machine), and MB.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from mixio.inspection.inspect import inspect_store
from mixio.manifest import NAME, write_manifest
from mixio.row import Blob, Row
from mixio.settings import Settings, write_settings
from mixio.store import open_store
from mixio.stores.storage import storage_of

ROWS = 1_000_000
DOMAINS = 10
LOOKUPS = 20_000
_SHAPE = (512, 512, 320)


def synthetic_rows(count: int) -> Iterator[Row]:
    """Rows as converting makes them, in the order of their names."""
    each = count // DOMAINS
    for number in range(count):
        domain = f"domain-{min(number // each, DOMAINS - 1):02d}"
        yield synthetic_row(domain, f"case-{number:012x}", np.random.default_rng(number).random(8).tolist())


def synthetic_row(domain: str, key: str, noise: list[float]) -> Row:
    """One volume; `noise` stands for what differs between volumes."""
    path, crc = f"{domain}/{key}", int(noise[0] * 2**32)
    places = ("0/c/0/0/0", "labels/label/0/c/0/0/0", "occupancy/0/c/0/0/0")
    percentiles = {
        "0.5": -900.0,
        "5": -100 * noise[1],
        "50": 40 * noise[2],
        "95": 90 + noise[3],
        "99.5": 900 * noise[4],
    }
    return Row(
        key=key, domain=domain, modality="CT", subject=f"subject-{crc:012x}", split="train" if crc % 10 else "val",
        target=None, path=path, shape=_SHAPE, chunk=(48, 48, 48), shard=(528, 528, 336), codec="lz4:5", dtype="int16",
        background=-1024, slope=1.0, inter=0.0, unit="HU", spacing=(0.7 + noise[5], 0.7 + noise[5], 1.25),
        affine=((0.7 + noise[5], 0.0, 0.0, -180 * noise[6]), (0.0, 0.7 + noise[5], 0.0, -170.0),
                (0.0, 0.0, 1.25, -300 * noise[7]), (0.0, 0.0, 0.0, 1.0)),
        orientation="LPS",
        statistics={"min": -1024.0, "max": 3071.0, "mean": -400 * noise[1], "std": 500.0, "percentiles": percentiles},
        foreground_fraction=noise[2], foreground_box=((int(40 * noise[3]), 30, 0), (480, 460, 320)), nonfinite=0,
        quantization_error=0.0, labels={"label": "uint8"},
        blobs=tuple(Blob(f"{path}/{place}", 0, 50_000_000 + crc % 10**6, crc ^ n) for n, place in enumerate(places)),
        source=f"{crc:032x}", part="", source_sha256=f"{crc:064x}", notes={}, settings="0123abcd",
    )  # fmt: skip


def _opened(root: Path) -> None:
    open_store(root)


def _listed(root: Path) -> None:
    open_store(root).names()


def _looked_up(root: Path) -> None:
    store = open_store(root)
    names = store.names()
    chosen = np.random.default_rng(0).integers(len(names), size=LOOKUPS)
    started = time.perf_counter()
    for number in chosen:
        assert store.row(names[number]).name == names[number]
    print(f"{LOOKUPS / (time.perf_counter() - started):.0f} rows a second at random", file=sys.stderr)


def _iterated(root: Path) -> None:
    assert sum(1 for _ in open_store(root).manifest.rows()) == len(open_store(root))


def _fingerprinted(root: Path) -> None:
    assert len(open_store(root).fingerprint) == 16


def _inspected(root: Path) -> None:
    inspection = inspect_store(open_store(root))
    assert inspection.volumes == len(open_store(root))


def _read_by_pyarrow(root: Path) -> None:
    pq.read_table(root / NAME)


MEASURED: dict[str, Callable[[Path], None]] = {
    "open_store": _opened,
    "open and names()": _listed,
    f"open and {LOOKUPS} row()": _looked_up,
    "open and all rows()": _iterated,
    "open and fingerprint": _fingerprinted,
    "open and inspect": _inspected,
    "pyarrow read_table": _read_by_pyarrow,
}


def write_store(root: Path, count: int) -> dict[str, Any]:
    """A store that is a root and a manifest only; returns what writing it took."""
    storage = storage_of(root)
    write_settings(storage, Settings(split_seed=0))
    started = time.perf_counter()
    write_manifest(storage, synthetic_rows(count))
    return _told(started)


def _told(started: float) -> dict[str, Any]:
    cpu = time.process_time()
    return {"seconds": time.perf_counter() - started, "cpu_seconds": cpu, "peak_mb": _peak_mb()}


def _peak_mb() -> float:
    """Since this program began; ru_maxrss would begin at what the parent process had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (kilobytes,) = (int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return kilobytes * 1024 / 1e6


def _in_a_fresh_process(*words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.bench_manifest", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {**json.loads(done.stdout.splitlines()[-1]), "note": done.stderr.strip()}


def _measure(what: str, root: Path) -> dict[str, Any]:
    started = time.perf_counter()
    MEASURED[what](root)
    return _told(started)


def main(words: list[str]) -> None:
    """Write, measure, print the table; `--do` is what the fresh processes are given."""
    if words[:1] == ["--do"]:
        what, root, count = words[1], Path(words[2]), int(words[3])
        print(json.dumps(write_store(root, count) if what == "write" else _measure(what, root)))
        return
    count = int(words[0]) if words else ROWS
    with tempfile.TemporaryDirectory() as folder:
        print(f"{count} rows")
        for what in ("write", *MEASURED):
            told = _in_a_fresh_process("--do", what, folder, str(count))
            seconds = f"{told['seconds']:>8.2f} s {told['cpu_seconds']:>8.2f} s"
            print(f"{what:<24} {seconds} {told['peak_mb']:>8.0f} MB  {told['note']}", flush=True)
        print(f"{NAME} has {(Path(folder) / NAME).stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])

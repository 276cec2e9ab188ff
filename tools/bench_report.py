"""What a benchmark found: as one object, as tables, and as the limits that a picture and a verdict need."""

from dataclasses import asdict, dataclass
from typing import Any

from tools.bench_disk import Disk
from tools.bench_limits import Memory, Pipe
from tools.bench_loaders import Loading
from tools.bench_peers import Peer
from tools.bench_readers import Reading
from tools.bench_turns import Spread
from tools.bench_verdict import Loader, Rates, Verdict
from tools.bench_work import Weight
from tools.table import table

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Results:
    """Everything measured. `stored` is bytes of the volumes drawn from; `fits` whether memory can hold them.

    `is_remote` says that the store lies behind a network.
    """

    store: str
    patch_size: tuple[int, int, int]
    batch_size: int
    need: float | None
    machine: dict[str, Any]
    weight: Weight
    stored: int
    fits: bool
    is_remote: bool
    disk: Disk
    memory: Memory
    pipe: Pipe | None
    reader: list[Reading]
    loaders: list[Loading]
    peers: list[Peer]
    left_out: list[str]

    def disk_patches(self) -> float | None:
        """Patches a second whose chunks the disk could fetch one by one."""
        rate = self.disk.best_random
        return None if rate is None or not self.weight.stored else rate / self.weight.stored

    def rates(self) -> Rates:
        """What the verdict compares."""
        warm = [row for row in self.loaders if not row.is_cold]
        waiting = {row.name: row.waiting for row in warm if row.step}
        return Rates(
            tuple(
                Loader(row.kind, row.count, row.patches.median, waiting.get(row.name)) for row in warm if not row.step
            ),
            {row.processes: row.patches.median for row in self.reader if not row.is_cold},
            self.machine["cores"],
            self.disk_patches(),
            next((row.patches.median for row in self.reader if row.is_cold), None),
            self.pipe.float32.median if self.pipe else None,
            self.need,
            self.fits,
            self.is_remote,
        )

    def limit_lines(self) -> dict[str, float]:
        """The limits in patches a second, as a picture names them."""
        lines = {"crop in memory, 1 core": self.memory.crop.median}
        if (disk := self.disk_patches()) is not None:
            lines["disk, chunk by chunk"] = disk
        if self.pipe is not None:
            lines["pipe, float32"] = self.pipe.float32.median
        if self.need is not None:
            lines["needed"] = self.need
        return lines

    def as_json(self, verdict: Verdict, *, seconds: float) -> dict[str, Any]:
        """One object with everything."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self), "verdict": asdict(verdict), "seconds": seconds}


def limits_text(results: Results) -> str:
    """The limits, a line each, in MB/s and in patches a second."""
    memory, disk, pipe, weight = results.memory, results.disk, results.pipe, results.weight
    rows: list[list[object]] = []
    for name, rate in (
        (f"disk, random {disk.read_bytes / 1e3:.0f} kB, one at a time", disk.random),
        (f"disk, random {disk.read_bytes / 1e3:.0f} kB, 16 at a time", disk.random_deep),
        (f"disk, {disk.sequential_bytes / 1e6:.1f} MB in a row", disk.sequential),
    ):
        if rate is not None:
            rows.append([name, _number(rate, 1e-6), _whole(rate.median / max(1.0, weight.stored))])
    rows.append(["memory copy, one core", _number(memory.copy, 1e-6), None])
    mega = weight.voxels / 1e6
    rows.append(["crop of integers in memory, one core", _number(memory.crop, mega), _whole(memory.crop.median)])
    if memory.threads > 1:
        crops = memory.crop_threads
        rows.append([f"the same, {memory.threads} threads", _number(crops, mega), _whole(crops.median)])
    if pipe is not None:
        name = f"DataLoader without work, {pipe.workers} workers"
        for kind, rate, itemsize in (("float32", pipe.float32, 4), ("int16", pipe.int16, 2)):
            x, y, z = results.patch_size
            rows.append([f"{name}, {kind}", _number(rate, x * y * z * itemsize / 1e6), _whole(rate.median)])
    return table(["limit", "MB/s", "patches/s"], [[*map(_dash, row)] for row in rows]) + f"\ndisk: {disk.how}"


def reader_text(results: Results) -> str:
    """The reader alone, a row for each number of processes."""
    rows = [
        [
            f"{row.processes}, cold" if row.is_cold else f"{row.processes}",
            _number(row.patches),
            f"{row.voxel_megabytes:.0f}",
            f"{row.stored_megabytes:.0f}",
            f"{1e3 * row.p50:.1f} / {1e3 * row.p99:.1f}",
            f"{1e3 * row.cpu_seconds:.2f}",
            _megabytes(row.memory),
            "-" if row.disk_share is None else f"{100 * row.disk_share:.0f} %",
        ]
        for row in results.reader
    ]
    header = ["processes", "patches/s", "MB/s", "stored MB/s", "ms p50/p99", "CPU ms", "MB", "from disk"]
    return table(header, rows)


def loaders_text(results: Results) -> str:
    """The loaders end to end."""
    rows = [
        [
            row.name + (", cold" if row.is_cold else "") + (f", step {_whole(1e3 * row.step)} ms" if row.step else ""),
            _number(row.patches),
            f"{_whole(100 * row.waiting)} %" if row.step else "-",
            f"{1e3 * row.p50:.1f} / {1e3 * row.p99:.1f}",
            "-" if row.cpu_seconds is None else f"{1e3 * row.cpu_seconds:.2f}",
            _megabytes(row.memory),
        ]
        for row in results.loaders
    ]
    return table(["loader", "patches/s", "waiting", "wait ms p50/p99", "CPU ms", "MB"], rows)


def peers_text(results: Results) -> str:
    """Other readers of the store."""
    rows = [[peer.name, _number(peer.patches), f"{peer.ratio:.2f} x"] for peer in results.peers]
    return table(["reader, one thread", "patches/s", "mixio is"], rows)


def is_noisy(results: Results) -> bool:
    """Whether any rate of readers, loaders or peers has quartiles far apart."""
    rows = [*results.reader, *results.loaders, *results.peers]
    return any(row.patches.is_noisy for row in rows)


def _number(rate: Spread, factor: float = 1.0) -> str:
    """The median; a question mark where the quartiles are far apart."""
    return _whole(rate.median * factor) + ("?" if rate.is_noisy else "")


def _whole(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _dash(value: object) -> str:
    return "-" if value is None else str(value)


def _megabytes(nbytes: int | None) -> str:
    return "-" if nbytes is None else f"{nbytes / 1e6:.0f}"

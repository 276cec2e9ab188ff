"""Converting one large CT beside loading it, part by part, its memory, and what a second job brings.

    python -m benchmarks.bench_convert
    python -m benchmarks.bench_convert --repeats 9 --volumes 48 --folder /fast/disk

The volume is a 512 x 512 x 320 int16 phantom of a CT (body, lungs, bone, correlated noise: gzip makes half of it, as
of a real one) written by nibabel with its default compression. Loading is `np.asanyarray(nib.load(p).dataobj)`,
converting is all that `mixio convert` does to a volume with one job: inflate, statistics, checksums, compression,
the store. Each measurement is a process of its own, the two take turns, and imports are not counted: every process
does its work on a tiny volume first. Peak memory is the process's largest resident set.
"""

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import nibabel as nib
import numpy as np
from isal import isal_zlib
from scipy.ndimage import gaussian_filter

from mixio.blob import extend_crc32c, plan_grid, shard_pieces
from mixio.content import describe
from mixio.convert import convert
from mixio.preprocess import background_of, to_ras
from mixio.volume import Volume

SHAPE = (512, 512, 320)
VOXELS = 512 * 512 * 320
TINY = (32, 32, 20)
ALLOWANCE = 150 * 2**20
DOMAIN = "abdomen-ct"


def write_phantom(path: Path, shape: tuple[int, int, int]) -> None:
    """Write a CT with body, lungs, bone and the correlated noise of a reconstruction."""
    x, y, z = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    body = x**2 / 0.64 + y**2 / 0.4 < 1
    voxels = np.broadcast_to(np.where(body, 40.0, -1000.0), shape).astype(np.float32)
    voxels += np.where(x**2 + (y - 0.4) ** 2 < 0.02, 700, 0)
    voxels += np.where((np.abs(x) - 0.4) ** 2 / 0.06 + y**2 / 0.1 + z**2 < 1, -840, 0) * body
    noise = gaussian_filter(np.random.default_rng(0).normal(size=shape).astype(np.float32), (0.6, 0.6, 0.3))
    voxels += 25 / noise.std() * noise
    image = nib.Nifti1Image(voxels.clip(-1024, 3071).astype(np.int16), np.diag([-0.7, -0.7, 1.0, 1.0]))
    image.set_qform(image.affine, code=1)
    image.set_sform(image.affine, code=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.to_filename(path)


def load(path: Path, _: Path) -> None:
    """What nibabel's users do."""
    np.asanyarray(nib.load(path).dataobj)


def convert_one(path: Path, scratch: Path) -> None:
    """What our users do, to the one volume in the path's folder."""
    convert(path.parent.parent, scratch / "store", jobs=0)


def child(name: str, path: Path, tiny: Path) -> None:
    """Measure one contestant in this process; prints seconds and peak bytes as JSON."""
    work = {"load": load, "convert": convert_one}[name]
    with tempfile.TemporaryDirectory(dir=path.parents[2]) as folder:
        work(tiny, Path(folder) / "tiny")
        begin = time.perf_counter()
        work(path, Path(folder))
        seconds = time.perf_counter() - begin
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps({"seconds": seconds, "peak": peak * 1024}))


def measured(name: str, path: Path, tiny: Path) -> dict[str, float]:
    """The same in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.bench_convert", "--child", name, str(path), str(tiny)]
    found: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def compare(path: Path, tiny: Path, repeats: int) -> None:
    """Print time and memory of loading and converting, taking turns."""
    found: dict[str, list[dict[str, float]]] = {"load": [], "convert": []}
    for _ in range(repeats):
        for name, runs in found.items():
            runs.append(measured(name, path, tiny))
    size = VOXELS * 2
    base = median(run["seconds"] for run in found["load"])
    print(f"{'':<12} {'seconds':>8} {'spread':>13} {'ratio':>6} {'peak MB':>8} {'(peak-150)/volume':>18}")
    for name, runs in found.items():
        seconds = sorted(run["seconds"] for run in runs)
        peak = median(run["peak"] for run in runs)
        spread = f"{seconds[0]:.2f} to {seconds[-1]:.2f}"
        memory = f"{peak / 2**20:8.0f} {(peak - ALLOWANCE) / size:18.2f}"
        print(f"{name:<12} {median(seconds):8.2f} {spread:>13} {median(seconds) / base:6.2f} {memory}")


def parts(path: Path, repeats: int) -> None:
    """Print what each part of a conversion costs, measured alone and warm, and the sum of medians."""
    seconds: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        result = work()
        seconds.setdefault(name, []).append(time.perf_counter() - begin)
        return result

    for _ in range(repeats):
        raw = timed("read", path.read_bytes)
        timed("sha256", lambda raw=raw: hashlib.sha256(raw).digest())
        content = timed("inflate", lambda raw=raw: isal_zlib.decompress(raw, wbits=31, bufsize=VOXELS * 2 + 352))
        stored = np.ndarray(SHAPE, np.int16, content, offset=352, order="F")
        volume = to_ras(Volume(stored, nib.load(path).affine))
        background = timed("background", lambda volume=volume: background_of(volume.voxels))
        timed("survey", lambda volume=volume, background=background: describe(volume, background, "CT"))
        grid = plan_grid(volume.shape, "int16", background)
        pieces = timed("encode", lambda volume=volume, grid=grid: list(shard_pieces(volume.voxels, grid)))
        timed("write", lambda pieces=pieces: write(path.with_name("shard"), pieces))
    for name, times in seconds.items():
        print(f"  {name:<10} {median(times):8.3f} s")
    print(f"  {'sum':<10} {sum(map(median, seconds.values())):8.3f} s")


def write(path: Path, pieces: list[bytes]) -> int:
    """Write a shard and take its checksum on the way."""
    crc = 0
    with path.open("wb") as file:
        for piece in pieces:
            crc = extend_crc32c(crc, piece)
            file.write(piece)
    path.unlink()
    return crc


def second_job(path: Path, folder: Path, volumes: int, repeats: int) -> None:
    """Print how long many volumes take with one job and with two, processes started for them included."""
    sources = folder / "many" / DOMAIN
    sources.mkdir(parents=True)
    for number in range(volumes):
        os.link(path, sources / f"{number}.nii.gz")
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(repeats):
        for jobs, times in seconds.items():
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                begin = time.perf_counter()
                convert(sources.parent, Path(scratch) / "store", jobs=jobs)
                times.append(time.perf_counter() - begin)
    one, two = (median(times) for times in seconds.values())
    print(f"{volumes} volumes: {one:.2f} s with one job, {two:.2f} s with two: {one / two:.2f} times as fast")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--volumes", type=int, default=24, help="volumes for the comparison of one job and two")
    parser.add_argument("--folder", type=Path, help="where files are written meanwhile (default: the system's)")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, path, tiny = options.child
        child(name, Path(path), Path(tiny))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path, tiny = (Path(folder) / name / DOMAIN / "ct.nii.gz" for name in ("one", "tiny"))
        write_phantom(tiny, TINY)
        # In another process, as children inherit their parent's peak of memory.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
            other.submit(write_phantom, path, SHAPE).result()
        print(f"{path.stat().st_size / 2**20:.0f} MiB of gzip, {VOXELS * 2 / 2**20:.0f} MiB of voxels")
        compare(path, tiny, options.repeats)
        parts(path, options.repeats)
        second_job(path, Path(folder), options.volumes, max(1, options.repeats // 3))


if __name__ == "__main__":
    main()

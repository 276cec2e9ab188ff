"""Which chunk and which codec a store should have: the study behind the defaults.

    python -m benchmarks.bench_chunks                                 # a CT-like volume with noise
    python -m benchmarks.bench_chunks volumes/*.nii.gz --rounds 5     # and real ones

Each volume is stored in every way; then all ways are read in turn, warm, one thread: random patches of 96 cubed (less
where a volume is thinner), and patches whose corners are multiples of the chunk. Printed are geometric means over the
volumes relative to the first row, and the plain rate for the first volume: patches a second, stored bytes beside the
.nii.gz, stored bytes that are read for a patch beside its own (what a cold disk or a bucket feels), MB/s of encoding.
"""

import tempfile
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import geometric_mean, median

import click
import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from benchmarks.corpus import write_volume
from mixio.blob import Grid, encode_shard
from mixio.codec import Codec
from mixio.patches import Patch, read_patches
from mixio.row import Blob
from mixio.shards import ShardCache
from mixio.stores.storage import storage_of

SHAPE = (320, 320, 256)
EDGE, PATCHES = 96, 12
CHUNKS = (
    (24,) * 3,
    (32,) * 3,
    (40,) * 3,
    (48,) * 3,
    (64,) * 3,
    (96,) * 3,
    (48, 32, 32),
    (64, 32, 32),
    (16, 48, 48),
    (32, 32, 64),
)
SHUFFLES = ("bitshuffle", "shuffle")
CODECS = (
    "lz4:5:noshuffle",
    "lz4:1:bitshuffle",
    "lz4:9:bitshuffle",
    "lz4hc:5",
    "lz4hc:5:bitshuffle",
    "lz4hc:9:bitshuffle",
    "zstd:1",
    "zstd:1:bitshuffle",
    "zstd:3",
    "zstd:3:bitshuffle",
    "none",
)
Corner = tuple[int, int, int]


@dataclass(frozen=True)
class Way:
    """A chunk and a codec."""

    chunk: Corner
    codec: str

    def __str__(self) -> str:
        chunk = str(self.chunk[0]) if len(set(self.chunk)) == 1 else "x".join(map(str, self.chunk))
        return f"{chunk:<9} {self.codec}"


WAYS = [Way((32,) * 3, "lz4:5:bitshuffle")]
WAYS += [way for chunk, shuffle in product(CHUNKS, SHUFFLES) if (way := Way(chunk, f"lz4:5:{shuffle}")) not in WAYS]
WAYS += [Way((32,) * 3, codec) for codec in CODECS]


class Stored:
    """One volume stored in one way, in one shard."""

    def __init__(self, folder: Path, voxels: NDArray[np.int16], way: Way) -> None:
        chunk = tuple(min(c, n) for c, n in zip(way.chunk, voxels.shape, strict=True))
        shard = tuple(-(-n // c) * c for n, c in zip(voxels.shape, chunk, strict=True))
        self.grid = Grid(voxels.shape, chunk, shard, "int16", 0, Codec.parse(way.codec))
        started = time.perf_counter()
        data = encode_shard(voxels, self.grid)
        self.encoding = voxels.nbytes / (time.perf_counter() - started) / 1e6
        self.nbytes = len(data)
        (folder / "shard").write_bytes(data)
        self.blob = Blob("shard", 0, len(data), 0)
        self.cache = ShardCache(storage_of(folder))
        self.target = np.empty([min(EDGE, n) for n in voxels.shape], np.int16)
        self.rates: dict[str, list[float]] = {"random": [], "aligned": []}

    def read(self, corner: Corner) -> NDArray[np.int16]:
        read_patches(self.cache, [Patch([self.blob], self.grid, corner, self.target)])
        return self.target

    def amplification(self, corners: list[Corner]) -> float:
        """Stored bytes of the chunks that patches touch, beside the patches' own bytes."""
        index = self.cache.open(self.blob, self.grid).index[..., 1]
        total = 0
        for corner in corners:
            spans = (
                slice(c // e, -(-(c + s) // e))
                for c, s, e in zip(corner, self.target.shape, self.grid.chunk, strict=True)
            )
            lengths = index[tuple(spans)]
            total += int(lengths[lengths < 2**63].sum())
        return total / len(corners) / self.target.nbytes

    def turn(self, kind: str, corners: list[Corner]) -> None:
        if kind == "aligned":
            corners = [tuple(x // e * e for x, e in zip(c, self.grid.chunk, strict=True)) for c in corners]
        started = time.perf_counter()
        for corner in corners:
            self.read(corner)
        self.rates[kind].append(len(corners) / (time.perf_counter() - started))


def study(path: Path, folder: Path, rounds: int) -> list[dict[str, float]]:
    """A dictionary of figures for each way."""
    voxels = np.ascontiguousarray(np.asarray(nib.load(path).dataobj.get_unscaled()), np.int16)
    rng = np.random.default_rng(1)
    stored = []
    for number, way in enumerate(WAYS):
        (folder / str(number)).mkdir()
        stored.append(Stored(folder / str(number), voxels, way))
    everything: list[Corner] = []
    for _ in range(rounds):
        corners = [tuple(int(rng.integers(n - min(n, EDGE) + 1)) for n in voxels.shape) for _ in range(PATCHES)]
        everything += corners
        wanted = voxels[tuple(slice(c, c + EDGE) for c in corners[0])]
        for number in rng.permutation(len(stored)):
            assert np.array_equal(stored[number].read(corners[0]), wanted), WAYS[number]
            stored[number].turn("random", corners)
            stored[number].turn("aligned", corners)
    return [
        {
            "random": median(one.rates["random"]),
            "aligned": median(one.rates["aligned"]),
            "size": one.nbytes / path.stat().st_size,
            "read": one.amplification(everything),
            "encode": one.encoding,
        }
        for one in stored
    ]


@click.command()
@click.argument("volumes", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--rounds", default=5, help="Turns of each way.")
def main(volumes: tuple[Path, ...], rounds: int) -> None:
    """Study chunks and codecs on a CT-like volume and on VOLUMES of integers."""
    with tempfile.TemporaryDirectory() as name:
        made = Path(name) / "made.nii.gz"
        write_volume(made, 0, SHAPE)
        paths = [made, *volumes]
        found = []
        for number, path in enumerate(paths):
            folder = Path(name) / str(number)
            folder.mkdir()
            found.append(study(path, folder, rounds))
            click.echo(f"{path.name}: {found[-1][0]['random']:.0f} patches/s in the first way", err=True)
    first = [figures[0] for figures in found]
    click.echo(f"{len(found)} volumes; relative to the first row, but for size (x .nii.gz), read (x patch) and MB/s")
    click.echo(
        f"{'chunk     codec':<30} {'random':>7} {'aligned':>8} {'size':>6} {'read':>6} {'encode':>7} {'made /s':>8}"
    )
    for number, way in enumerate(WAYS):
        mine = [figures[number] for figures in found]
        ratio = {
            kind: geometric_mean(one[kind] / base[kind] for one, base in zip(mine, first, strict=True))
            for kind in ("random", "aligned")
        }
        mean = {kind: geometric_mean(one[kind] for one in mine) for kind in ("size", "read", "encode")}
        click.echo(
            f"{way!s:<30} {ratio['random']:>7.2f} {ratio['aligned']:>8.2f} {mean['size']:>6.2f} {mean['read']:>6.2f} "
            f"{mean['encode']:>7.0f} {mine[0]['random']:>8.0f}"
        )


if __name__ == "__main__":
    main()

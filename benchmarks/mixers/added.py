"""What the mixture adds to reading a patch, and what a look-up costs, on one core.

    python -m benchmarks.mixers.added FOLDER

A store of six domains, two CT-like volumes of 128 voxels a side in each; patches of 64, warm file cache. In batches
of 4 and of 32: what plans a draw has left the processor's cache while others were decoded, and comes back once a batch.
The same requests are read by `Store.read_patches` and, with everything around them, by `MixtureDataset.read_batch`, in
turn; both leave stored numbers, so that the difference is the plan, the seeds and the batch's tensors.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.corpus import write_volume
from benchmarks.mixers.contract import Run, name
from benchmarks.mixers.roster import OURS, mixer
from benchmarks.mixers.trial import FAR, WEIGHTS
from mixio.convert import convert
from mixio.dataset import MixtureDataset
from mixio.mixture import Mixture
from mixio.sampler import MixtureSampler
from mixio.settings import Settings
from mixio.store import Store, open_store

EDGE, PATCH = 128, 64
BATCHES = 4, 32
DRAWS = 8_000
ROUNDS = 15
LOOKUPS = 4_000
MANY = 1_000_000


def store_of(folder: Path) -> Store:
    """The store, which is written if it is not there."""
    path, sources = folder / "store", folder / "sources"
    if not path.exists():
        for domain in range(len(WEIGHTS["six"])):
            (sources / name(domain)).mkdir(parents=True, exist_ok=True)
            for number in range(2):
                target = sources / name(domain) / f"{number}.nii.gz"
                write_volume(target, 2 * domain + number, (EDGE, EDGE, EDGE))
        convert(sources, path, settings=Settings(val_fraction=0, split_seed=0, keep_names=True), jobs=0)
    return open_store(path)


def added(folder: Path, size: int) -> dict[str, float]:
    """Microseconds a sample in batches of `size`: medians over the batches, and of the differences within them."""
    store = store_of(folder)
    mixture = Mixture({name(domain): share for domain, share in enumerate(WEIGHTS["six"])})
    dataset = MixtureDataset(store, mixture, patch_size=PATCH)
    sampler = MixtureSampler(dataset, num_samples=DRAWS, batch_size=size, rank=0, num_replicas=1)
    batches = [range(first, first + size) for first in range(0, DRAWS, size)]
    drawn = iter(sampler)
    planned = [_seconds(lambda: [dataset.plan(next(drawn)) for _ in range(size)]) for _ in batches]
    read = [_both(store, dataset, batch, turned=bool(number % 2)) for number, batch in enumerate(batches)]
    told = {
        "plan and sampler": median(planned),
        "read_patches": median(patches for patches, _ in read),
        "read_batch": median(batch for _, batch in read),
        "added": median(batch - patches for patches, batch in read),
    }
    return {what: seconds / size * 1e6 for what, seconds in told.items()}


def _both(store: Store, dataset: MixtureDataset, draws: Sequence[int], *, turned: bool) -> tuple[float, float]:
    """Seconds of the patches alone and of the batch; which is read first changes, for the second finds them near."""
    requests = [(draw.volume, draw.corner) for draw in map(dataset.plan, draws)]
    size = (PATCH, PATCH, PATCH)
    ways = [partial(store.read_patches, requests, size=size), partial(dataset.read_batch, draws, raw=True)]
    if turned:
        batch, patches = _seconds(ways[1]), _seconds(ways[0])
    else:
        patches, batch = _seconds(ways[0]), _seconds(ways[1])
    return patches, batch


def _seconds(read: Callable[[], object]) -> float:
    began = time.perf_counter()
    read()
    return time.perf_counter() - began


def lookups() -> dict[str, dict[str, float]]:
    """Microseconds of one look-up near draw 10^12, by the number of domains; and draws a second of many at once."""
    return {weights: _lookups(WEIGHTS[weights]) for weights in ("six", "64")}


def _lookups(weights: Sequence[float]) -> dict[str, float]:
    mixture = Mixture({name(domain): share for domain, share in enumerate(weights)})
    contestants: dict[str, Callable[[int], object]] = {"locate": mixture.locate}
    with suppress(ModuleNotFoundError):
        contestants["Grain mix"] = mixer("Grain mix").file.mixed(Run("", tuple(weights))).__getitem__
    seconds: dict[str, list[float]] = {one: [] for one in contestants}
    for number in range(ROUNDS):
        for one, look in contestants.items():
            began = time.perf_counter()
            for g in range(FAR + number * LOOKUPS, FAR + (number + 1) * LOOKUPS):
                look(g)
            seconds[one].append(time.perf_counter() - began)
    told = {one: median(times) / LOOKUPS * 1e6 for one, times in seconds.items()}
    return {**told, **_together(mixture)}


def _together(mixture: Mixture) -> dict[str, float]:
    if not hasattr(mixture, "locate_many"):
        return {}
    seconds = []
    for number in range(ROUNDS):
        began = time.perf_counter()
        mixture.locate_many(FAR + number * MANY, MANY)
        seconds.append(time.perf_counter() - began)
    return {"locate_many, draws a second": MANY / median(seconds)}


if __name__ == "__main__":
    assert mixer(OURS).variant == str(Mixture({"one": 1.0}).window)
    cost = {f"batch of {size}": added(Path(sys.argv[1]) / "added", size) for size in BATCHES}
    print(json.dumps({"added": cost, "lookups": lookups()}))

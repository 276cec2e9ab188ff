"""The mixture beside its peers: what a look-up costs, and how far the realised shares stray.

    python -m benchmarks.bench_mixture

Peers: multinomial drawing with NumPy, which most weighted samplers do, and `grain.MapDataset.mix` if grain
is installed (`pip install 'mixio[bench]'`); it does not shuffle, so its deviation belongs beside ours without
shuffle. A look-up is one random access at a draw number near 10^12; for grain, whose length is bounded by its
sources, near 10^5, and with the fetch of one integer. Deviation is the largest |count - n*w| of any domain over
all n up to 40,000, inside windows too. Times are medians over interleaved repeats; deviations have no noise.
"""

import time
from collections.abc import Callable
from statistics import median

import numpy as np
from numpy.typing import NDArray

from mixio.mixture import Mixture

try:
    import grain
except ImportError:
    grain = None

DRAWS = 40_000
LOOKUPS = 2_000
REPEATS = 9
SIZES = (6, 64)


def shares_of(size: int) -> NDArray[np.float64]:
    """Shares of `size` domains over two orders of magnitude, the same for everybody."""
    weights = np.random.default_rng(size).lognormal(sigma=1.0, size=size)
    return weights / weights.sum()


def mixture_of(shares: NDArray[np.float64], window: int) -> Mixture:
    """The mixture of these shares, domains named by number."""
    return Mixture({f"{i:02}": share for i, share in enumerate(shares.tolist())}, window=window)


def grain_of(shares: NDArray[np.float64]) -> Callable[[int], int]:
    """Draw g of the same mixture by grain; items are the domains' numbers."""
    sources = [grain.MapDataset.source([i]).repeat(10**6) for i in range(len(shares))]
    mixed = grain.MapDataset.mix(sources, weights=shares.tolist())
    return lambda g: int(mixed[g])


def deviation(domains: NDArray[np.int64], shares: NDArray[np.float64]) -> float:
    """Largest |count - n*w| over all prefixes n and domains."""
    steps = np.arange(1, len(domains) + 1)
    return max(float(np.abs(np.cumsum(domains == i) - steps * w).max()) for i, w in enumerate(shares))


def microseconds(lookups: dict[str, Callable[[int], object]], starts: dict[str, int]) -> dict[str, float]:
    """Median time of one look-up, the contestants taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in lookups}
    for repeat in range(REPEATS):
        for name, lookup in lookups.items():
            first = starts[name] + repeat * LOOKUPS
            begin = time.perf_counter()
            for g in range(first, first + LOOKUPS):
                lookup(g)
            seconds[name].append(time.perf_counter() - begin)
    return {name: median(times) / LOOKUPS * 1e6 for name, times in seconds.items()}


def drawn(lookup: Callable[[int], int]) -> NDArray[np.int64]:
    """The first `DRAWS` draws."""
    return np.array([lookup(g) for g in range(DRAWS)])


def compare(size: int) -> None:
    """Print the rows for `size` domains; ratios are to mixio with its default window."""
    shares = shares_of(size)
    ours, plain = mixture_of(shares, 64), mixture_of(shares, 1)
    sequences = {
        "mixio, window 64": drawn(lambda g: int(ours.locate(g)[0])),
        "mixio, no shuffle": drawn(lambda g: int(plain.locate(g)[0])),
        "multinomial": np.random.default_rng(0).choice(size, DRAWS, p=shares),
    }
    lookups: dict[str, Callable[[int], object]] = {"mixio, window 64": ours.locate, "mixio, no shuffle": plain.locate}
    if grain is not None:
        lookups["grain"] = grain_of(shares)
        sequences["grain"] = drawn(grain_of(shares))
    times = microseconds(lookups, {name: 10**5 if name == "grain" else 10**12 for name in lookups})
    off = {name: deviation(domains, shares) for name, domains in sequences.items()}
    base = "mixio, window 64"
    for name in sequences:
        cost = f"{times[name]:8.2f} {times[name] / times[base]:7.2f}x" if name in times else f"{'-':>8} {'-':>8}"
        print(f"{size:>3}  {name:<18} {cost}  {off[name]:9.2f} {off[name] / off[base]:7.2f}x")


def main() -> None:
    """Print the table."""
    print(f"  K  {'':<18} {'us/look-up':>10} {'ratio':>6}  {'max |count-nw|':>9} {'ratio':>5}")
    for size in SIZES:
        compare(size)
    if grain is None:
        print("grain is not installed: skipped; pip install 'mixio[bench]' brings it")


if __name__ == "__main__":
    main()

"""Which of disk, processor, pipe or model holds training up, from measured rates alone, and what to change.

The best loader is put beside the limits that bind its kind: what the disk could fetch, if the store does not stay in
the page cache; what the reader alone decodes on as many cores; for worker processes what the pipe between them
carries. The smallest of these is the bottleneck, unless the model needs less than the loader delivers. Decoding and
the pipe take turns on the same cores, so together they bind at the inverse of the sum of their inverses.
"""

from dataclasses import dataclass

_REACHED = 0.6
"""Of what the limits allow; below that they do not explain the rate."""
_SLACK = 1.15
"""By which a loader must be faster than the model to be called enough."""
_LITTLE = 0.05
"""Share of its time that a training loop may wait for a loader that is called enough."""


@dataclass(frozen=True)
class Loader:
    """A loader by its kind, "DataLoader" or "MixtureLoader", and its number of workers or threads.

    `waiting` is the share of the time that a loop waits for it whose step takes as long as the model's.
    """

    kind: str
    count: int
    patches: float
    waiting: float | None = None

    @property
    def name(self) -> str:
        """As a sentence calls it."""
        if self.kind == "DataLoader" and self.count == 0:
            return "DataLoader without workers"
        unit = "worker" if self.kind == "DataLoader" else "thread"
        return f"{self.kind} with {self.count} {unit}{'' if self.count == 1 else 's'}"


@dataclass(frozen=True)
class Rates:
    """All in patches a second; None is not measured. `reader` is by number of processes.

    `cold` is the reader from an empty page cache; `fits` says whether the store stays in it; `need` is what the model
    eats.
    """

    loaders: tuple[Loader, ...]
    reader: dict[int, float]
    cores: int
    disk: float | None = None
    cold: float | None = None
    pipe: float | None = None
    need: float | None = None
    fits: bool = True


@dataclass(frozen=True)
class Circumstances:
    """What else decides the advice: the store's codecs, and whether the fast reader is there and suits them.

    `why_slow` is why the compiled reader is missing, None if it is there; `unshuffles` whether the processor undoes the
    bit shuffle in hardware.
    """

    codecs: tuple[str, ...]
    why_slow: str | None = None
    unshuffles: bool = True


@dataclass(frozen=True)
class Verdict:
    """The bottleneck ("disk", "CPU", "IPC", "model" or "loader"), one or two sentences, and what to change."""

    bottleneck: str
    says: str
    advice: tuple[str, ...]


def judge(rates: Rates, circumstances: Circumstances) -> Verdict:
    """The verdict on the best of the loaders that were measured."""
    best = max(rates.loaders, key=lambda loader: loader.patches)
    if rates.need is not None and best.patches >= rates.need:
        return _fed(rates.need, rates)
    limits = limits_of(best, rates)
    name, limit = min(limits.items(), key=lambda item: item[1])
    together = 1 / sum(1 / limits[part] for part in ("CPU", "IPC") if part in limits)
    bottleneck = "loader" if best.patches < _REACHED * min(limit, together) else name
    says = f"{_NAMES[bottleneck]}: {best.name} delivers {best.patches:,.0f} patches/s, "
    says += _LIMITS[name].format(limit=limit, count=_peers(best)) + "."
    if rates.need is not None:
        says += f" The model needs {rates.need:,.0f}: this starves the GPU, which waits"
        says += f" {1 - best.patches / rates.need:.0%} of its time."
    return Verdict(bottleneck, says, tuple(_advice(bottleneck, best, rates, circumstances)))


def limits_of(loader: Loader, rates: Rates) -> dict[str, float]:
    """What could hold a loader of this kind and size up, in patches a second."""
    limits = {"CPU": _reader(rates.reader, _peers(loader))}
    if rates.disk is not None and not rates.fits:
        limits["disk"] = rates.disk
    if rates.pipe is not None and loader.kind == "DataLoader" and loader.count:
        limits["IPC"] = rates.pipe
    return limits


_NAMES = {
    "CPU": "The processor (decoding) is the bottleneck",
    "disk": "The disk is the bottleneck",
    "IPC": "The pipe between processes (IPC) is the bottleneck",
    "loader": "The loader itself is the bottleneck",
}
_LIMITS = {
    "CPU": "and reading alone, with {count} at a time, {limit:,.0f}",
    "disk": "and the disk could fetch the chunks of {limit:,.0f}",
    "IPC": "and a DataLoader that does no work at all {limit:,.0f}",
}


def _fed(need: float, rates: Rates) -> Verdict:
    feeding = [loader for loader in rates.loaders if loader.patches >= need]
    best = min(feeding, key=lambda loader: (loader.waiting or 0.0, -loader.patches))
    says = f"The model is the bottleneck: {best.name} delivers {best.patches:,.0f} patches/s, {best.patches / need:.2f}"
    says += f" of the {need:,.0f} needed; this feeds the GPU."
    if best.waiting is not None:
        says += f" With steps as long as the model's, the loop waited {best.waiting:.0%} of its time."
    advice = []
    if rates.cold is not None and rates.cold < need:
        when = "the first pass over the data" if rates.fits else "every pass, for the store is larger than free memory,"
        advice.append(f"from a cold disk the reader gives {rates.cold:,.0f} patches/s: {when} is slower than the model")
    if not rates.fits and rates.disk is not None and rates.disk < need:
        advice.append(
            f"the disk could fetch the chunks of {rates.disk:,.0f} patches/s only, and the store is not cached"
        )
    enough = [each for each in feeding if each.patches >= _SLACK * need and (each.waiting or 0.0) <= _LITTLE]
    least = min(enough, key=lambda loader: loader.count, default=best)
    if least.count < best.count:
        advice.append(f"{least.name} is enough already ({least.patches:,.0f} patches/s)")
    return Verdict("model", says, tuple(advice))


def _advice(bottleneck: str, best: Loader, rates: Rates, around: Circumstances) -> list[str]:
    advice = []
    if around.why_slow is not None:
        advice.append(f"the compiled reader is missing, which more than halves the speed: {around.why_slow}")
    if bottleneck in ("IPC", "loader") and best.kind == "DataLoader":
        advice.append("use mixio.MixtureLoader: its threads hand batches over without a pipe")
    if bottleneck == "CPU":
        advice += _cheaper(around)
    if bottleneck in ("CPU", "loader"):
        unit = "workers" if best.kind == "DataLoader" else "threads"
        is_short = _peers(best) < rates.cores
        advice.append(
            f"more {unit}: {best.count} used of {rates.cores} cores"
            if is_short
            else "more cores for this training process"
        )
    if bottleneck == "disk":
        advice.append("a faster disk, or a copy of the store on one; or more memory, so that the store stays cached")
        if not any(codec.startswith("zstd") for codec in around.codecs):
            advice.append("fewer bytes: convert with --codec zstd:3, if processor time is left")
    return advice


def _cheaper(around: Circumstances) -> list[str]:
    """How decoding gets cheaper."""
    advice = []
    if not around.unshuffles and any(codec.endswith("bitshuffle") for codec in around.codecs):
        advice.append("this processor undoes the bit shuffle slowly (no GFNI): convert with --codec lz4:5:shuffle")
    if any(codec.startswith("zstd") for codec in around.codecs):
        advice.append("a faster codec: convert with --codec lz4")
    advice.append('patches on the chunk grid, MixtureDataset(align="chunk"): fewer chunks are decoded for each')
    return advice


def _peers(loader: Loader) -> int:
    return max(1, loader.count)


def _reader(reader: dict[int, float], count: int) -> float:
    """The reader's rate with this many processes, or the nearest number below that was measured."""
    return reader[max((n for n in reader if n <= count), default=min(reader))]

"""Which of disk, processor, pipe or model holds training up, from measured rates alone, and what to change.

The best loader is put beside the limits that bind its kind: what the disk could fetch, if the store does not stay in
the page cache; what the reader alone decodes on as many cores; for worker processes what the pipe between them
carries. The smallest of these is the bottleneck, unless the model hardly waits for the loader. Decoding and the pipe
take turns on the same cores, so together they bind at the inverse of the sum of their inverses. Where the store lies
behind a network, the reader waits for answers, not for decoding: then the network binds, if the pipe does not.
"""

from dataclasses import dataclass

_REACHED = 0.6
"""Of what the limits allow; below that they do not explain the rate."""
_SLACK = 1.15
"""By which a loader must be faster than the model to be called enough."""
_LITTLE = 0.05
"""Share of its time below which a training loop may wait for a loader that feeds it."""


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

    def waits(self, need: float) -> float:
        """Share of the time that a model waits which eats `need`: as measured, else by the rate without a step."""
        return max(0.0, 1 - self.patches / need) if self.waiting is None else self.waiting

    def feeds(self, need: float) -> bool:
        """Whether that model hardly waits, or, where no loop with its step was measured, eats no more."""
        return self.patches >= need if self.waiting is None else self.waiting < _LITTLE


@dataclass(frozen=True)
class Rates:
    """All in patches a second; None is not measured. `reader` is by number of processes.

    `cold` is the reader from an empty page cache; `fits` says whether the store stays in it; `need` is what the model
    eats; `is_remote` says that the store lies behind a network.
    """

    loaders: tuple[Loader, ...]
    reader: dict[int, float]
    cores: int
    disk: float | None = None
    cold: float | None = None
    pipe: float | None = None
    need: float | None = None
    fits: bool = True
    is_remote: bool = False


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
    """The bottleneck, one to three sentences, what to change, and the loader that they speak of.

    The bottleneck is "disk", "network", "CPU", "IPC", "loader" or "model".
    """

    bottleneck: str
    says: str
    advice: tuple[str, ...]
    loader: Loader


def judge(rates: Rates, circumstances: Circumstances) -> Verdict:
    """The verdict on the best of the loaders that were measured: the fastest, or that for which the model waits least.

    Of loaders that all feed the model it is the one that is waited for least, too.
    """
    need = rates.need
    if need is None:
        best = max(rates.loaders, key=lambda loader: loader.patches)
    else:
        candidates = [loader for loader in rates.loaders if loader.feeds(need)] or rates.loaders
        best = min(candidates, key=lambda loader: (loader.waits(need), -loader.patches))
        if best.feeds(need):
            return _fed(best, need, rates)
    bottleneck, says = _bound(best, rates)
    if need is not None:
        says += f" That is {_compared(best.patches, need)}"
        says += ": " if best.waiting is None else "; with steps as long as the model's, "
        says += f"this starves the GPU, which waits {_share(best.waits(need))} of its time."
    return Verdict(bottleneck, says, tuple(_advice(bottleneck, best, rates, circumstances)), best)


def _bound(best: Loader, rates: Rates) -> tuple[str, str]:
    """What holds the loader up, and the sentence that says so."""
    delivers = f"{best.name} delivers {best.patches:,.0f} patches/s"
    limits = limits_of(best, rates)
    if rates.is_remote and best.patches < _REACHED * limits.get("IPC", float("inf")):
        return "network", f"The network is the bottleneck: {delivers} from a store that is not on this machine."
    name, limit = min(limits.items(), key=lambda item: item[1])
    together = 1 / sum(1 / limits[part] for part in ("CPU", "IPC") if part in limits)
    bottleneck = "loader" if best.patches < _REACHED * min(limit, together) else name
    return bottleneck, f"{_NAMES[bottleneck]}: {delivers}, {_LIMITS[name].format(limit=limit, count=_peers(best))}."


def _share(value: float) -> str:
    return f"{value:.1%}" if value < 0.1 else f"{value:.0%}"


def _compared(patches: float, need: float) -> str:
    """A rate as a part or a multiple of what is needed.

    >>> _compared(9598, 100), _compared(320, 160), _compared(720, 1000)
    ('96 times the 100 needed', '2.0 times the 160 needed', '0.72 of the 1,000 needed')
    """
    ratio = patches / need
    whole = f"{need:,.0f}" if need >= 10 else f"{need:.2g}"
    if ratio < 1:
        return f"{min(ratio, 0.99):.2g} of the {whole} needed"  # not "1 of", for it is less
    return f"{ratio:,.{0 if ratio >= 10 else 1}f} times the {whole} needed"


def limits_of(loader: Loader, rates: Rates) -> dict[str, float]:
    """What could hold a loader of this kind and size up, in patches a second."""
    limits = {} if rates.is_remote else {"CPU": _reader(rates.reader, _peers(loader))}
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


def _fed(best: Loader, need: float, rates: Rates) -> Verdict:
    says = f"The model is the bottleneck: {best.name} delivers {best.patches:,.0f} patches/s, "
    says += f"{_compared(best.patches, need)}; "
    if best.waiting is not None:
        says += f"with steps as long as the model's, the loop waited {_share(best.waiting)} of its time: "
    says += "this feeds the GPU."
    advice = []
    if rates.cold is not None and rates.cold < need:
        when = "the first pass over the data" if rates.fits else "every pass, for the store is larger than free memory,"
        advice.append(f"from a cold disk the reader gives {rates.cold:,.0f} patches/s: {when} is slower than the model")
    if not rates.fits and rates.disk is not None and rates.disk < need:
        advice.append(
            f"the disk could fetch the chunks of {rates.disk:,.0f} patches/s only, and the store is not cached"
        )
    enough = [each for each in rates.loaders if each.feeds(need) and each.patches >= _SLACK * need]
    least = min(enough, key=lambda loader: loader.count, default=best)
    if least.count < best.count:
        advice.append(f"{least.name} is enough already ({least.patches:,.0f} patches/s)")
    return Verdict("model", says, tuple(advice), best)


def _advice(bottleneck: str, best: Loader, rates: Rates, around: Circumstances) -> list[str]:
    advice = []
    if around.why_slow is not None:
        advice.append(f"the compiled reader is missing, which more than halves the speed: {around.why_slow}")
    if bottleneck in ("IPC", "loader", "network") and best.kind == "DataLoader":
        advice.append("use mixio.MixtureLoader: its threads hand batches over without a pipe")
    if bottleneck == "CPU":
        advice += _cheaper(around)
    if bottleneck in ("CPU", "loader"):
        unit = "workers" if best.kind == "DataLoader" else "threads"
        were_tried = any(loader.kind == best.kind and loader.count > best.count for loader in rates.loaders)
        is_short = _peers(best) < rates.cores and not were_tried
        advice.append(
            f"more {unit}: {best.count} used of {rates.cores} cores"
            if is_short
            else "more cores for this training process"
        )
    if bottleneck == "network":
        advice += _nearer(best)
    if bottleneck == "disk":
        advice.append("a faster disk, or a copy of the store on one; or more memory, so that the store stays cached")
        if not any(codec.startswith("zstd") for codec in around.codecs):
            advice.append("fewer bytes: convert with --codec zstd:3, if processor time is left")
    return advice


def _nearer(best: Loader) -> list[str]:
    """How a network is waited for less."""
    unit = "workers" if best.kind == "DataLoader" else "threads"
    return [
        f"more {unit}, more than there are cores, for they wait for answers: try --{unit} {4 * _peers(best)}",
        "open_store(url, cache=folder): what was read once is then read from this machine's disk",
        "MixtureLoader(prefetch=n), with a larger n: more batches are under way before they are asked for",
    ]


def _cheaper(around: Circumstances) -> list[str]:
    """How decoding gets cheaper."""
    advice = []
    if not around.unshuffles and any(codec.endswith("bitshuffle") for codec in around.codecs):
        advice.append("this processor undoes the bit shuffle slowly (no AVX2): convert with --codec lz4:5:shuffle")
    if any(codec.startswith("zstd") for codec in around.codecs):
        advice.append("a faster codec: convert with --codec lz4")
    advice.append('patches on the chunk grid, MixtureDataset(align="chunk"): fewer chunks are decoded for each')
    return advice


def _peers(loader: Loader) -> int:
    return max(1, loader.count)


def _reader(reader: dict[int, float], count: int) -> float:
    """The reader's rate with this many processes, or the nearest number below that was measured."""
    return reader[max((n for n in reader if n <= count), default=min(reader))]

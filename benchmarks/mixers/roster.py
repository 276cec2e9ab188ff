"""Who takes part in which comparison, and with how many draws: the slow ones with fewer, so that all end in time.

Nothing is imported here: a contestant's libraries are loaded in the process in which it runs, and nowhere else.
"""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType


@dataclass(frozen=True)
class Mixer:
    """A row of the tables.

    `asked` are the comparisons it takes part in; `draws` those of one rank, `each` those of each of 64 ranks; `long` is
    the longest run that is planned, `many` the volumes of it.
    """

    name: str
    module: str
    variant: str = ""
    asked: tuple[str, ...] = ("deviation", "gap", "ranks", "resume", "start", "elastic")
    draws: int = 1_000_000
    each: int = 10_000
    long: int = 10**9
    many: int = 10**6

    @property
    def file(self) -> ModuleType:
        """Its module; raises ImportError if a library is missing."""
        return import_module(f"benchmarks.mixers.{self.module}")


OURS = "mixio"
MIXERS = (
    Mixer(OURS, "ours", "64"),
    Mixer("mixio, window 4", "ours", "4", ("gap",)),
    Mixer("mixio, no shuffle", "ours", "1", ("gap", "ranks"), each=1_000),
    Mixer("Grain mix", "grain_mix", each=1_000),
    Mixer("Grain mix, windows", "grain_mix", "1024", ("gap", "ranks", "resume", "elastic"), 200_000, 1_000),
    Mixer("MDS random", "mosaic_streams", "random"),
    Mixer("MDS stratified", "mosaic_streams", "stratified"),
    Mixer("LitData", "litdata_combined", draws=100_000, each=1_000, long=10**6),
    Mixer("WebDataset", "webdataset_random", draws=200_000, each=1_000, many=10**4),
    Mixer("torchdata", "torchdata_nodes", draws=200_000, each=1_000),
    Mixer("HF datasets", "hf_interleave", draws=200_000, each=1_000),
    Mixer("multinomial", "multinomial"),
)


def mixer(name: str) -> Mixer:
    """By its name."""
    return next(one for one in MIXERS if one.name == name)

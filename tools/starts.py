"""Where fine-tuning runs begin, as the command line says it: from checkpoints, each under a name, and from scratch.

    mae.pt                                            one, called pretrained
    uniform=a.pt aware=b.pt                           several
    uniform=trial/uniform-seed{seed}.pt               another one for each seed

Checkpoints are read when they are needed, one at a time.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mixio.errors import InvalidArgument
from models.checkpoint import load_checkpoint
from models.vit import ViTConfig
from tools.finetune_options import FinetuneOptions
from tools.finetuning import Start, encoder_of

SCRATCH, PRETRAINED = "scratch", "pretrained"
SEED = "{seed}"


@dataclass(frozen=True)
class Origin:
    """What the runs of one name begin from: `path`, in which `{seed}` stands for that of the run, or nothing."""

    path: str | None = None
    head: bool = False

    def file(self, seed: int) -> Path | None:
        """The checkpoint of a run."""
        return None if self.path is None else Path(self.path.replace(SEED, str(seed)))


@dataclass(frozen=True)
class Origins:
    """Every start by its name, the one that others are compared with first."""

    named: dict[str, Origin]
    options: FinetuneOptions

    def start(self, name: str, seed: int) -> tuple[Start, str | None]:
        """Where a run begins, and what identifies its checkpoint. Raises `InvalidArgument` for one that is unfit."""
        origin = self.named[name]
        path = origin.file(seed)
        if path is None:
            return Start(self._untrained(seed)), None
        checkpoint, identity = _loaded(path)
        return Start(encoder_of(checkpoint, self.options), checkpoint, origin.head), identity

    def starts(self, seeds: Sequence[int]) -> Iterator[Start]:
        """That of every name and seed, files that seeds share once."""
        seen = set()
        for name, origin in self.named.items():
            for seed in seeds:
                if (name, origin.file(seed)) not in seen:
                    seen.add((name, origin.file(seed)))
                    yield self.start(name, seed)[0]

    def _untrained(self, seed: int) -> ViTConfig:
        """The encoder from scratch: of the first checkpoint's shape, or of the options'."""
        path = next((path for origin in self.named.values() if (path := origin.file(seed))), None)
        return encoder_of(_loaded(path)[0] if path else None, self.options)


def origins_of(words: Sequence[str], options: FinetuneOptions, *, compare: bool, head: bool) -> Origins:
    """The starts that `--checkpoint`, as often as it was given, `--compare` and `--head` ask for."""
    if not words and (compare or head):
        raise InvalidArgument(f"--{'compare' if compare else 'head'} needs a --checkpoint; make one with tools.train")
    named = {SCRATCH: Origin()} if compare or not words else {}
    for word in words:
        name, path = _parsed(word)
        if name == SCRATCH:
            raise InvalidArgument(
                f"--checkpoint {word}: {SCRATCH} is the start without a checkpoint; choose another name"
            )
        if name in named:
            raise InvalidArgument(
                f"two starts are called {name}; name each checkpoint, as in --checkpoint uniform=a.pt --checkpoint "
                "aware=b.pt"
            )
        named[name] = Origin(path, head)
    return Origins(named, options)


def _parsed(word: str) -> tuple[str, str]:
    """Name and path; a path that has an equals sign of its own and exists is one without a name."""
    name, equals, path = word.partition("=")
    if not equals or Path(word).exists() or "/" in name:
        return PRETRAINED, word
    if not name or not path:
        raise InvalidArgument(f"--checkpoint {word}: it must be a path, or a name and a path, as in uniform=a.pt")
    return name, path


@lru_cache(maxsize=1)
def _loaded(path: Path) -> tuple[dict[str, Any], str]:
    try:
        checkpoint = load_checkpoint(path)
    except ValueError as error:
        raise InvalidArgument(" ".join(str(error).split())) from error
    checkpoint["training"] = None  # two thirds of the file, which fine-tuning has no use for
    with path.open("rb") as file:
        return checkpoint, hashlib.file_digest(file, "sha256").hexdigest()

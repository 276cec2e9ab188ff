"""Too little memory, told with the settings that need less of it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mixio.errors import MixioError
from tools.options import TrainOptions

_ON_CPU = ("can't allocate memory", "not enough memory")
"""How torch says on Linux and on Windows that the CPU's is full, for which it has no error of its own."""


class OutOfMemory(MixioError):
    """A run that needs more memory than its device has."""


@contextmanager
def explained(options: TrainOptions) -> Iterator[None]:
    """Turn what torch raises where memory is full into an `OutOfMemory` that says what to lower."""
    try:
        yield
    except (torch.cuda.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemory(_advice(options, error)) from error
    except RuntimeError as error:
        if not any(words in str(error) for words in _ON_CPU):
            raise
        raise OutOfMemory(_advice(options, error)) from error


def _advice(options: TrainOptions, error: BaseException) -> str:
    """What to lower, first what changes nothing that is learned."""
    ways = []
    if options.batch_size > 1:
        parts = 2 if options.batch_size % 2 == 0 else options.batch_size
        ways.append(f"--batch-size {options.batch_size // parts} --accumulate {options.accumulate * parts}")
    if not options.recompute:
        ways.append("--recompute")
    smaller = f"a smaller --patch-size than {options.model.patch_size}, or a smaller model"
    same = f"{' and '.join(ways)} (the same steps with less memory), or " if ways else ""
    reason = str(error).splitlines()[0] if str(error) else "memory is full"
    return f"out of memory; use {same}{smaller}; torch says: {reason}"
